"""From CTC columns to characters with probabilities."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.recognise import load_active
from agent.recognise.ocr import Ocr
from agent.records import Box, CharRead, PlateText
from hw.images import load_rgb
from tests.runtimes import RUNTIMES

if TYPE_CHECKING:
    from pathlib import Path

    from agent.recognise.bundle import Bundle


@pytest.fixture(scope="module")
def ocr(repo: Path) -> Ocr:
    return Ocr(load_active(repo / "models")[1])


def columns(ocr: Ocr, spelled: str) -> np.ndarray:
    """Raw tensor whose best path is ``spelled``, one column a symbol, ``-`` for blank."""
    raw = np.full((len(spelled), 37), -100, np.int8)
    for i, symbol in enumerate(spelled):
        raw[i, 36 if symbol == "-" else ocr._ocr.alphabet.index(symbol)] = 100
    return raw


@pytest.mark.parametrize(
    ("path", "text"),
    [("--7-A-B--", "7AB"), ("77AA-", "7A"), ("7-7", "77"), ("-----", ""), ("AAAA", "A"), ("A-AA-A", "AAA")],
)
def test_ctc_runs_collapse_and_blanks_separate(ocr: Ocr, path: str, text: str) -> None:
    """CTC: a run is one character, a blank between equal ones makes two."""
    chars, _ = ocr._decode(columns(ocr, path))

    assert "".join(c.symbol for c in chars) == text


def test_character_keeps_its_alternatives(ocr: Ocr) -> None:
    """A close second is kept with the character, for fusion."""
    raw = columns(ocr, "-8-")
    raw[1, ocr._ocr.alphabet.index("B")] = 99

    (char,), product = ocr._decode(raw)

    assert char.symbol == "8"
    assert char.alternatives[0][0] == "B"
    assert char.confidence == pytest.approx(product)
    assert char.confidence > char.alternatives[0][1] > 0


def test_box_is_clipped_to_the_picture(ocr: Ocr) -> None:
    """A detection at the edge, or outside, never crashes and yields the pixels that exist."""
    rgb = np.zeros((50, 60, 3), np.uint8)

    for box in (Box(-20, -20, 30, 10), Box(50, 45, 200, 90), Box(100, 100, 120, 110), Box(5, 5, 5, 5)):
        crop = ocr.read(rgb, box).crop
        assert crop.shape[0] >= 1
        assert crop.shape[1] >= 1


def test_every_runtime_reads_the_golden_plates_the_same(repo: Path) -> None:
    """Kernels round differently; the decoded text must not."""
    bundle = load_active(repo / "models")[1]
    with np.load(bundle.folder / "golden.npz") as golden:
        pictures = (golden["input"].view(np.uint8) ^ 0x80).copy()

    texts = [[Ocr(bundle, runtime=runtime).read_crop(p).text for p in pictures] for runtime in RUNTIMES]

    assert all(text == texts[0] for text in texts)
    assert any(texts[0])


class Counting:
    """A model that counts its calls."""

    def __init__(self, model: object) -> None:
        self._model = model
        self.calls = 0

    def invoke(self, tensor: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        return self._model.invoke(tensor)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("confidence", "single_image", "cuts"),
    [(0.04, True, 1), (0.1, True, 4), (0.1, False, 1), (0.5, True, 4), (0.5, False, 4), (0.95, True, 1)],
)
def test_only_uncertain_plates_are_cropped_again(
    repo: Path, monkeypatch: pytest.MonkeyPatch, confidence: float, single_image: bool, cuts: int
):
    """High and very low confidence cost one call, others four; a single picture is read again more often."""
    ocr = Ocr(load_active(repo / "models")[1])
    counting = Counting(ocr._model)
    monkeypatch.setattr(ocr, "_model", counting)
    look = ocr._predict

    def doubtful(crop):
        plate, *rest = look(crop)
        return replace(plate, confidence=confidence), *rest

    monkeypatch.setattr(ocr, "_predict", doubtful)
    frame = load_rgb(repo / "tests/drives/city-day/frames/0010.jpg")

    ocr.read(frame, Box(800, 400, 880, 440), single_image=single_image)

    assert counting.calls == cuts


@pytest.mark.parametrize("turn_deg", [0.0, 6.0])
@pytest.mark.parametrize("off", [(-0.12, 0.05), (0.1, -0.1), (0.12, 0.12)])
def test_reader_returns_the_plate_corners(repo: Path, off: tuple[float, float], turn_deg: float):
    """From a box that is off, and turned: the corners are nearer to the plate than the box was."""
    bundle = load_active(repo / "models")[1]
    ocr = Ocr(bundle)
    with np.load(bundle.folder / "golden.npz") as golden:
        plate = np.bitwise_xor(golden["input"][0].view(np.uint8), 0x80)
    true = np.array([[200, 120], [328, 120], [328, 184], [200, 184]], np.float32)
    turn = cv2.getRotationMatrix2D((264, 152), turn_deg, 1)
    true = (np.c_[true, np.ones(4)] @ turn.T).astype(np.float32)
    flat = np.array([[0, 0], [128, 0], [128, 64], [0, 64]], np.float32)
    picture = np.full((320, 520, 3), 70, np.uint8)
    cv2.warpPerspective(
        plate, cv2.getPerspectiveTransform(flat, true), (520, 320), dst=picture, borderMode=cv2.BORDER_TRANSPARENT
    )
    (left, top), (right, bottom) = true.min(axis=0), true.max(axis=0)
    box = Box(left + off[0] * 128, top + off[1] * 64, right + off[0] * 128, bottom + off[1] * 64)
    crop, place = ocr._crop(picture, box)
    _, corners, _ = ocr._predict(crop)
    found = corners.shares() * [place.width_px, place.height_px] + [place.x0, place.y0]
    given = np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]])
    assert np.abs(found - true).mean() < 0.6 * np.abs(given - true).mean()
    assert ocr.read_crop(ocr._rectify(picture, found)).text == "7ABC123"


CORNERS = st.lists(st.floats(-0.35, 1.35), min_size=8, max_size=8).map(
    lambda values: np.array(values, np.float32).reshape(4, 2)
)


@given(st.lists(CORNERS, min_size=4, max_size=4))
@example([np.zeros((4, 2), np.float32)] * 4)
@example([np.array([[0, 0], [1, 1], [0, 0], [1, 1]], np.float32)] * 4)
def test_invalid_corners_are_ignored(ocr: Ocr, corners: list[np.ndarray]):
    """For any corners of the model, the plate has a text and the first crop."""
    told = iter(corners)
    doubtful = PlateText((CharRead("A", 0.5),), 0.5, "?", 0.0)
    with patch.object(ocr, "_predict", lambda crop: (doubtful, SimpleNamespace(shares=lambda: next(told)), True)):
        look = ocr.read(np.zeros((60, 120, 3), np.uint8), Box(40, 20, 80, 40))
    assert look.plate.text == "A"


def golden_plates(ocr: Ocr, bundle: Bundle) -> list[np.ndarray]:
    """Drawn plates that this bundle reads."""
    with np.load(bundle.folder / "golden.npz") as golden:
        plates = list(np.bitwise_xor(golden["input"].view(np.uint8), 0x80))
    assert all(ocr.read_crop(plate).text for plate in plates)
    return plates


def test_two_line_plates_are_not_reported(repo: Path):
    """The left half of a plate above its right half: not reported, and not read again."""
    bundle = load_active(repo / "models")[1]
    ocr = Ocr(bundle)
    for plate in golden_plates(ocr, bundle):
        half_px = plate.shape[1] // 2
        picture = np.vstack([plate[:, :half_px], plate[:, half_px:]])
        read = ocr.read(picture, Box(4, 8, half_px - 4, picture.shape[0] - 8)).plate
        assert (read.text, read.confidence) == ("", 0.0)


def test_model_without_line_output_reports_every_text(repo: Path, monkeypatch: pytest.MonkeyPatch):
    """Older bundles still work."""
    bundle = load_active(repo / "models")[1]
    ocr = Ocr(bundle)
    plates = golden_plates(ocr, bundle)
    monkeypatch.setattr(ocr, "_one_line", None)
    assert all(ocr.read_crop(plate).text for plate in plates)


def test_model_without_corners_uses_fixed_crops(repo: Path, monkeypatch: pytest.MonkeyPatch):
    """Older bundles still work."""
    ocr = Ocr(load_active(repo / "models")[1])
    picture = np.full((100, 200, 3), 90, np.uint8)
    widths = []
    look = ocr._predict

    def without_corners(crop):
        widths.append(crop.shape[1])
        return replace(look(crop)[0], confidence=0.5), None, True

    monkeypatch.setattr(ocr, "_predict", without_corners)
    ocr.read(picture, Box(50, 30, 150, 80))
    first, tight, wide = widths
    assert tight < first < wide


@pytest.mark.parametrize(
    ("text", "worth"), [("AB", False), ("ABC", True), ("ABC1234567", True), ("ABC12345678", False)]
)
def test_only_texts_of_plate_length_are_reported(ocr: Ocr, text: str, worth: bool) -> None:
    """A text of eleven characters is a shop sign, or two plates."""
    plate = PlateText(tuple(CharRead(c, 0.99) for c in text), 0.99, "?", 0.0)
    assert ocr.is_worth_reporting(plate) is worth


def test_the_likeliest_region_is_reported_with_its_probability(ocr: Ocr):
    """However unlikely: whoever uses it decides by the probability."""
    assert ocr._region is not None
    logits = np.full((1, len(ocr._ocr.regions)), -128, np.int8)
    logits[0, [4, 9]] = [2, 1]
    raw = [logits if index == ocr._region.index else np.zeros((1, 1), np.int8) for index in range(4)]
    region, confidence = ocr._decode_region(raw)
    assert region == ocr._ocr.regions[4]
    assert confidence == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("text", "told"), [("12345678", "12345678"), ("123456789", ""), ("12345678A", "12345678A")]
)
def test_telephone_numbers_are_not_reported(ocr: Ocr, monkeypatch: pytest.MonkeyPatch, text: str, told: str):
    """Serials of digits alone have eight at most."""
    chars = tuple(CharRead(symbol, 0.99) for symbol in text)
    monkeypatch.setattr(ocr, "_decode", lambda raw: (chars, 0.9))
    monkeypatch.setattr(ocr, "_is_one_line", lambda raw: True)
    prediction = ocr.predict_crop(np.full((64, 128, 3), 90, np.uint8))
    assert (prediction.plate.text, prediction.one_line) == (told, bool(told))


@given(st.floats(0, 1))
def test_calibration_is_linear_between_its_knots(ocr: Ocr, product: float):
    knots = ocr._calibration
    assert ocr._calibrated(product) == pytest.approx(np.interp(product, knots.raw, knots.probability))


@given(st.integers(-128, 127), st.integers(-128, 127))
def test_probabilities_are_the_softmax_of_the_raw_values(ocr: Ocr, best: int, second: int):
    """Whatever their signs: the raw values are compared as bytes."""
    raw = np.full((1, 37), -128, np.int8)
    raw[0, [8, 11]] = [best, second]
    logits = raw[0].astype(np.float64) * (ocr._symbols.scale / ocr._ocr.temperature)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()

    (char,), product = ocr._decode(raw)

    assert char.symbol == ocr._ocr.alphabet[int(raw[0].argmax())]
    assert char.confidence == pytest.approx(shares.max()) == pytest.approx(product)
    assert [p for _, p in char.alternatives] == pytest.approx(sorted(shares[shares >= 0.005], reverse=True)[1:5])

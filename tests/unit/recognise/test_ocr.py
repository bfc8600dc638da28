"""From CTC columns to characters with probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.recognise import load_active
from agent.recognise.interpreter import RuntimeKind
from agent.recognise.ocr import Ocr
from agent.records import Box
from hw.images import load_rgb

if TYPE_CHECKING:
    from pathlib import Path


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
def test_runs_collapse_and_blanks_part(ocr: Ocr, path: str, text: str) -> None:
    """CTC: a run is one character, a blank between equal ones makes two."""
    chars, _ = ocr._decode(columns(ocr, path))

    assert "".join(c.symbol for c in chars) == text


def test_a_character_keeps_its_rivals(ocr: Ocr) -> None:
    """A close second stays with the character, for the vote over many looks."""
    raw = columns(ocr, "-8-")
    raw[1, ocr._ocr.alphabet.index("B")] = 99

    (char,), product = ocr._decode(raw)

    assert char.symbol == "8"
    assert char.alternatives[0][0] == "B"
    assert char.confidence == pytest.approx(product)
    assert char.confidence > char.alternatives[0][1] > 0


def test_a_box_beyond_the_picture_is_cut_to_it(ocr: Ocr) -> None:
    """A detection at the edge, or outside, never crashes and yields the pixels that exist."""
    rgb = np.zeros((50, 60, 3), np.uint8)

    for box in (Box(-20, -20, 30, 10), Box(50, 45, 200, 90), Box(100, 100, 120, 110), Box(5, 5, 5, 5)):
        crop = ocr.read(rgb, box).crop
        assert crop.shape[0] >= 1
        assert crop.shape[1] >= 1


def test_both_runtimes_read_the_golden_plates_alike(repo: Path) -> None:
    """Kernels round differently; the decoded text must not."""
    bundle = load_active(repo / "models")[1]
    with np.load(bundle.folder / "golden.npz") as golden:
        pictures = (golden["input"].view(np.uint8) ^ 0x80).copy()

    texts = [
        [Ocr(bundle, runtime=runtime).read_crop(p).text for p in pictures]
        for runtime in (RuntimeKind.LITERT, RuntimeKind.TFLITE)
    ]

    assert texts[0] == texts[1]
    assert any(texts[0])


class Counting:
    """A model that counts its calls."""

    def __init__(self, model: object) -> None:
        self._model = model
        self.calls = 0

    def invoke(self, tensor: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        return self._model.invoke(tensor)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("confidence", "cuts"), [(0.05, 1), (0.5, 3), (0.95, 1)])
def test_only_a_doubtful_plate_is_cut_again(
    repo: Path, monkeypatch: pytest.MonkeyPatch, confidence: float, cuts: int
):
    """What is sure and what is hopeless costs one call, what is doubtful three."""
    ocr = Ocr(load_active(repo / "models")[1])
    counting = Counting(ocr._model)
    monkeypatch.setattr(ocr, "_model", counting)
    read_crop = ocr.read_crop
    monkeypatch.setattr(ocr, "read_crop", lambda crop: replace(read_crop(crop), confidence=confidence))
    frame = load_rgb(repo / "tests/drives/city-day/frames/0010.jpg")

    ocr.read(frame, Box(800, 400, 880, 440))

    assert counting.calls == cuts

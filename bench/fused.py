"""What the confidence of fused reads is worth: the measuring photographs as short passes.

usage: python -m bench.fused [--shared ../shared] [--models models] [--photos N]

Each photograph becomes five frames of one pass: it grows by 40 %, shifts, and has sensor noise, blur or darkness of its
own in every frame.  Dirt, design and angle of the plate are the same in all of them, as in a real pass.  The frames
go through detector, OCR and tracker; a closed track on a labelled plate is right if its text is the label's.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.recognise import Recogniser, load_active
from agent.recognise.models_folder import default_models_folder
from agent.track import Tracker
from bench.breakdown import Bin, Plate, folded, lines_of, reliability
from hw.images import load_rgb
from hw.ports import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agent.records import Box, Track

FRAMES, FPS = 5, 5
LIGHTS = ("as taken", "half detail", "motion", "night")
_NS_PER_S = 1_000_000_000
_MIN_SHARED = 0.3


@dataclass(frozen=True, slots=True)
class Pass:
    """A closed track on a labelled plate."""

    light: str
    region: str
    width_px: float
    right: bool
    confidence: float
    n_sightings: int
    n_agreeing: int
    best_right: bool
    """The text of its best frame alone, and its confidence."""
    best_confidence: float


def frames_of(rgb: NDArray[np.uint8], light: str, seed: int) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """The frames of a pass, and the scale of each."""
    rng = np.random.default_rng(seed)
    height, width = rgb.shape[:2]
    for number in range(FRAMES):
        scale = 0.7 + 0.3 * number / (FRAMES - 1)
        dx, dy = rng.uniform(-2, 2, 2)
        move = np.array([[scale, 0, dx], [0, scale, dy]], np.float32)
        size_px = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.warpAffine(rgb, move, size_px, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        yield _in_light(picture, light, rng), scale


def _in_light(picture: NDArray[Any], light: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    noise, gain = 2.0, 1.0
    if light == "half detail":
        small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    elif light == "motion":
        length = int(rng.integers(4, 9))
        picture = cv2.filter2D(picture, -1, np.full((1, length), 1 / length, np.float32))
    elif light == "night":
        noise, gain = 6.0, 0.25
    noisy = picture * gain + rng.normal(0, noise, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def passes_of(
    recogniser: Recogniser, rgb: NDArray[np.uint8], row: dict[str, object], light: str
) -> Iterator[Pass]:
    """Closed tracks of the photograph's labelled plates."""
    tracker = Tracker()
    tracks: list[Track] = []
    scales: dict[int, float] = {}
    seed = zlib.crc32(f"{row['image']} {light}".encode())
    for number, (picture, scale) in enumerate(frames_of(rgb, light, seed)):
        frame = Frame(number, "front", number * _NS_PER_S // FPS, picture, 0, 1.0)
        scales[number] = scale
        tracks += tracker.update(frame.t_mono_ns, recogniser.read(frame, recogniser.detect(frame))).closed
    tracks += tracker.flush()
    plates = row["plates"]
    assert isinstance(plates, list)
    for found in tracks:
        box, scale = found.best.detection.box, scales[found.best.frame.seq]
        here = [p for p in plates if p.get("text") and _shared(box, [side * scale for side in p["box"]])]
        if here:
            yield _pass(found, here[0], light, str(row["region"]))


def _pass(found: Track, plate: dict[str, object], light: str, region: str) -> Pass:
    box, best, label = plate["box"], found.best.plate, folded(str(plate["text"]))
    assert isinstance(box, list)
    return Pass(
        light,
        region,
        box[2] - box[0],
        folded(found.plate.text) == label,
        found.plate.confidence,
        found.n_sightings,
        found.n_agreeing,
        folded(best.text) == label,
        best.confidence,
    )


def _shared(box: Box, sides: list[float]) -> bool:
    w = min(box.x1, sides[2]) - max(box.x0, sides[0])
    h = min(box.y1, sides[3]) - max(box.y0, sides[1])
    return w > 0 and h > 0 and w * h >= _MIN_SHARED * box.area_px


def measure(shared: Path, models: Path, photos: int | None = None) -> list[Pass]:
    """All passes of the measuring photographs."""
    recogniser = Recogniser(*load_active(models))
    dev = shared / "data" / "dev"
    passes: list[Pass] = []
    for row in track(lines_of(dev / "labels.jsonl")[:photos], description="passes"):
        rgb = load_rgb(dev / row["image"])
        for light in LIGHTS:
            passes += passes_of(recogniser, rgb, row, light)
    return passes


def bins(passes: list[Pass]) -> tuple[list[Bin], float]:
    """Bins and expected calibration error of the fused texts."""
    return reliability([Plate(p.region, p.light, p.width_px, p.confidence, p.right) for p in passes])


def rows(passes: list[Pass]) -> Iterator[tuple[str, ...]]:
    """A row for each light and for all: passes, share right of best frame and of fused text, mean confidence, error."""
    for light in (*LIGHTS, "all"):
        here = [p for p in passes if light in {p.light, "all"}]
        if here:
            n = len(here)
            single = reliability(
                [Plate(p.region, p.light, p.width_px, p.best_confidence, p.best_right) for p in here]
            )[1]
            yield (
                light,
                str(n),
                f"{100 * sum(p.best_right for p in here) / n:.1f}",
                f"{100 * sum(p.right for p in here) / n:.1f}",
                f"{100 * sum(p.confidence for p in here) / n:.1f}",
                f"{single:.3f}",
                f"{bins(here)[1]:.3f}",
            )


COLUMNS = (
    "light",
    "passes",
    "best frame right",
    "fused right",
    "mean confidence",
    "error of frame",
    "error of fused",
)


def markdown(passes: list[Pass]) -> list[str]:
    """The card's lines about fused reads."""
    return [
        "\nFused reads: the measuring photographs as passes of five frames (`python -m bench.fused`),",
        "in percent but for the expected calibration errors:\n",
        f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(row)} |" for row in rows(passes)),
        "\n| fused reads | mean confidence | right |\n|---|---|---|",
        *(f"| {one.count} | {one.said:.3f} | {one.was:.3f} |" for one in bins(passes)[0]),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--models", type=Path, default=default_models_folder(), help="folder with active.toml")
    parser.add_argument("--photos", type=int, help="only the first ones")
    options = parser.parse_args()
    passes = measure(options.shared, options.models, options.photos)
    table = Table(*COLUMNS)
    for row in rows(passes):
        table.add_row(*row)
    Console().print(table)
    for one in bins(passes)[0]:
        print(json.dumps({"reads": one.count, "said": round(one.said, 3), "was": round(one.was, 3)}))


if __name__ == "__main__":
    main()

"""The reads of the measuring photographs with all their character probabilities, for the figures about hot lists."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.recognise import Recogniser, RecogniserConfig, load_active
from agent.recognise.models_folder import default_models_folder
from agent.recognise.photo import read_crop, read_photo
from hw.images import load_rgb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.recognise.photo import PhotoPlate
    from agent.records import PlateText

DEGRADED = ("half", "motion", "night")
_SAME_PLATE_IOU = 0.3


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """A read of a measuring photograph."""

    light: str
    plate: PlateText | None
    """None for a labelled plate that was not read."""
    text: str
    """The labelled text; empty for a plate in the background that is not labelled."""
    region: str
    """The labelled state, such as ``US-CA``; empty if there is none."""


def read_all(shared: Path) -> list[ReadPlate]:
    """Read the photographs, their degraded copies and the close-ups."""
    dev = shared / "data" / "dev"
    recogniser = Recogniser(*load_active(default_models_folder()), RecogniserConfig())
    found = []
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([sys.executable, str(shared / "tools" / "degrade.py"), str(dev), work], check=True)
        for light, folder in (("as taken", dev), *((name, Path(work) / name) for name in DEGRADED)):
            found += list(_scenes(recogniser, dev / "labels.jsonl", folder, light))
            found += list(_crops(recogniser, dev / "crops.csv", folder / "crops", f"crops, {light}"))
            print(f"{light}: {len(found)} reads so far", file=sys.stderr, flush=True)
    return found


def _scenes(recogniser: Recogniser, labels: Path, folder: Path, light: str) -> Iterator[ReadPlate]:
    for line in labels.read_text().splitlines():
        row = json.loads(line)
        plates = [p for p in read_photo(recogniser, load_rgb(_picture(folder, row["image"]))) if p.refusal is None]
        for label in row["plates"]:
            if not label.get("text"):
                continue
            here = [p for p in plates if _iou(label["box"], p) >= _SAME_PLATE_IOU]
            best = max(here, key=lambda p: p.plate.confidence, default=None)
            plates = [p for p in plates if p not in here]
            yield ReadPlate(light, None if best is None else best.plate, label["text"], "")
        for plate in plates:
            yield ReadPlate(light, plate.plate, "", "")


def _crops(recogniser: Recogniser, labels: Path, folder: Path, light: str) -> Iterator[ReadPlate]:
    with labels.open() as file:
        for row in csv.DictReader(file):
            found = read_crop(recogniser, load_rgb(_picture(folder, row["image"].removeprefix("crops/"))))
            state = row.get("state", "").strip().upper()
            region = f"US-{state}" if len(state) == len("CA") else ""
            yield ReadPlate(light, found.plate if found.refusal is None else None, row["text"], region)


def _picture(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.exists() else path.with_suffix(".jpg")


def _iou(box: list[float], plate: PhotoPlate) -> float:
    x0, y0, x1, y1 = box
    other = plate.box
    w, h = min(x1, other.x1) - max(x0, other.x0), min(y1, other.y1) - max(y0, other.y0)
    shared = max(w, 0) * max(h, 0)
    return shared / ((x1 - x0) * (y1 - y0) + other.area_px - shared)

"""Compare readers on the measuring photographs in a minute: the shipped detector's boxes, then each reader on them.

usage: python -m bench.compare_readers models/ocr/plate-ocr-r2 /tmp/run-ocr/bundle/plate-ocr-r3 [--shared ../shared]

For training: `bench.accuracy` measures the whole product and takes longer.  A calibration alone moves the sum by ten
plates of 1,721, so smaller differences say nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.recognise import load_active
from agent.recognise.bundle import load_bundle
from agent.recognise.detector import Detector
from agent.recognise.ocr import Ocr
from agent.runtime.models import default_models_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.records import Box

LIGHTS = ("dev", "half", "motion", "night")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph, where the detector sees plates in it, and what stands on them."""

    light: str
    region: str
    path: Path
    boxes: tuple[Box, ...]
    texts: frozenset[str]


def folded(text: str) -> str:
    """As the shared scoring tool compares: letters and digits, O as 0."""
    return "".join(c for c in text.upper() if c.isalnum()).replace("O", "0")


def load_rgb(path: Path) -> NDArray[np.uint8]:
    """Return a photograph."""
    bgr = cv2.imread(str(path))
    assert bgr is not None, f"{path}: not a readable picture"
    return np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)


def photos(detector: Detector, dev: Path, degraded: Path) -> list[Photo]:
    """Look once for all readers; what a degraded copy lacks is left out."""
    rows = [json.loads(line) for line in (dev / "labels.jsonl").read_text().splitlines()]
    found = []
    for light in track(LIGHTS, description="boxes"):
        base = dev if light == "dev" else degraded / light
        for row in rows:
            path = base / row["image"]
            if not path.exists():
                continue
            boxes = tuple(d.box for d in detector.detect(load_rgb(path)))
            texts = frozenset(folded(p["text"]) for p in row["plates"] if p.get("text"))
            found.append(Photo(light, row["region"], path, boxes, texts))
    return found


def score(reader: Ocr, looked: list[Photo]) -> tuple[Counter[tuple[str, str]], int]:
    """Plates read right by light and region, and texts that are no labelled plate's."""
    right: Counter[tuple[str, str]] = Counter()
    wrong = 0
    for photo in track(looked, description="reads"):
        rgb = load_rgb(photo.path)
        plates = [reader.read(rgb, box).plate for box in photo.boxes]
        texts = {folded(plate.text) for plate in plates if reader.is_worth_reporting(plate)}
        right[photo.light, photo.region] += len(texts & photo.texts)
        wrong += len(texts - photo.texts)
    return right, wrong


def show(names: list[str], scores: list[tuple[Counter[tuple[str, str]], int]], looked: list[Photo]) -> None:
    """Print the table."""
    labelled: Counter[tuple[str, str]] = Counter()
    for photo in looked:
        labelled[photo.light, photo.region] += len(photo.texts)
    table = Table("photographs", "plates", *names, title="plates read right, by reader")
    for key, count in sorted(labelled.items()):
        table.add_row(" ".join(key), str(count), *(str(right[key]) for right, _ in scores))
    table.add_section()
    table.add_row("all", str(labelled.total()), *(str(right.total()) for right, _ in scores))
    table.add_row("texts that are no plate's", "", *(str(wrong) for _, wrong in scores))
    Console().print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="folders of readers")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    dev = arguments.shared / "data" / "dev"
    readers = [Ocr(load_bundle(folder, kind="ocr")) for folder in arguments.bundles]
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(
            [sys.executable, str(arguments.shared / "tools" / "degrade.py"), str(dev), work], check=True
        )
        looked = photos(Detector(load_active(default_models_folder())[0]), dev, Path(work))
        show([folder.name for folder in arguments.bundles], [score(r, looked) for r in readers], looked)


if __name__ == "__main__":
    main()

"""Compare readers on the measuring photographs in a minute: the shipped detector's boxes, each reader on them.

usage: python -m bench.compare_readers models/ocr/plate-ocr-r4 /tmp/run-ocr/bundle/plate-ocr-r5 [--shared ../shared]

For training: `bench.accuracy` measures the whole product and takes longer.  A calibration alone moves the sum by some
plates of 1,721, so small differences say nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.recognise import load_active
from agent.recognise.bundle import load_bundle
from agent.recognise.detector import Detector
from agent.recognise.models_folder import default_models_folder
from agent.recognise.ocr import Ocr
from bench.accuracy import DEGRADED, degrade
from bench.breakdown import folded, lines_of
from hw.images import load_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Score:
    """What one reader made of the photographs."""

    right: Counter[str] = field(default_factory=Counter)
    """Plates, by light and region."""
    wrong: int = 0
    """Texts that are no labelled plate's of their photograph."""

    def add(self, key: str, reported: Iterable[str], labelled: frozenset[str]) -> None:
        """Count the texts reported on a photograph; ``labelled`` are folded."""
        texts = {folded(text) for text in reported}
        self.right[key] += len(texts & labelled)
        self.wrong += len(texts - labelled)


def compare(readers: list[Ocr], detector: Detector, dev: Path, degraded: Path) -> tuple[Counter[str], list[Score]]:
    """Labelled plates by light and region, and each reader's score; what a degraded copy lacks is left out."""
    plates: Counter[str] = Counter()
    scores = [Score() for _ in readers]
    rows = lines_of(dev / "labels.jsonl")
    folders = (dev, *(degraded / name for name in DEGRADED))
    photos = [(folder.name, folder / row["image"], row) for folder in folders for row in rows]
    for light, path, row in track([photo for photo in photos if photo[1].exists()], description="photographs"):
        rgb = load_rgb(path)
        boxes = [detection.box for detection in detector.detect(rgb)]
        key = f"{light} {row['region']}"
        labelled = frozenset(folded(plate["text"]) for plate in row["plates"] if plate.get("text"))
        plates[key] += len(labelled)
        for reader, score in zip(readers, scores, strict=True):
            looks = [reader.read(rgb, box, single_image=True).plate for box in boxes]
            score.add(key, [plate.text for plate in looks if reader.is_worth_reporting(plate)], labelled)
    return plates, scores


def show(names: list[str], plates: Counter[str], scores: list[Score]) -> None:
    """Print the table."""
    table = Table("photographs", "plates", *names, title="plates read right, by reader")
    for key, count in sorted(plates.items()):
        table.add_row(key, str(count), *(str(score.right[key]) for score in scores))
    table.add_section()
    table.add_row("all", str(plates.total()), *(str(score.right.total()) for score in scores))
    table.add_row("texts that are no plate's", "", *(str(score.wrong) for score in scores))
    Console().print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="folders of readers")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    readers = [Ocr(load_bundle(folder, kind="ocr")) for folder in arguments.bundles]
    detector = Detector(load_active(default_models_folder())[0])
    with tempfile.TemporaryDirectory() as work:
        degrade(arguments.shared, Path(work))
        plates, scores = compare(readers, detector, arguments.shared / "data" / "dev", Path(work))
    show([folder.name for folder in arguments.bundles], plates, scores)


if __name__ == "__main__":
    main()

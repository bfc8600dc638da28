"""What fusion over frames gains: plates of a real ride, read once each by the tracker against single frames.

usage: python -m bench.rides [--shared ../shared]

The pictures of the ride are training pictures of both models, so the shares are no accuracy; the difference between
the columns is the gain of fusion.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from agent.pipeline import CameraPipeline
from agent.recognise import Recogniser, load_active
from agent.recognise.models_folder import default_models_folder
from agent.track import Tracker, TrackerConfig
from hw.images import load_rgb
from hw.ports import Frame

if TYPE_CHECKING:
    from agent.records import Detection, Sighting, Track

MIN_SIGHTINGS = 3
NS_PER_S = 1_000_000_000
SLOW = TrackerConfig(lost_ms=2500, max_ms=60_000)
"""The ride has a frame a second, where a vehicle sees five or more."""


def folded(text: str) -> str:
    return text.upper().replace("O", "0")


class Collecting:
    """The recogniser, remembering every sighting it gave."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self.sightings: list[tuple[str, float]] = []

    def detect(self, frame: Frame) -> list[Detection]:
        return self._recogniser.detect(frame)

    def read(self, frame: Frame, detections: list[Detection]) -> list[Sighting]:
        found = self._recogniser.read(frame, detections)
        self.sightings += [(folded(s.plate.text), s.plate.confidence) for s in found]
        return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    folder = parser.parse_args().shared / "data"
    with (folder / "detect" / "rl_sequences.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth: dict[str, int] = defaultdict(int)
    frames: dict[tuple[str, float], str] = {}
    for row in rows:
        frames[row["video"], float(row["t_s"])] = row["image"]
        if row["text"]:
            truth[folded(row["text"])] += 1
    wanted = {text for text, count in truth.items() if count >= MIN_SIGHTINGS}
    reader = Collecting(Recogniser(*load_active(default_models_folder())))
    tracks: list[Track] = []
    vision, video = CameraPipeline(reader, Tracker(SLOW)), ""
    for seq, ((name, t_s), image) in enumerate(sorted(frames.items())):
        if name != video:
            tracks += vision.flush()
            vision, video = CameraPipeline(reader, Tracker(SLOW)), name
        frame = Frame(seq, "front", round(t_s * NS_PER_S), load_rgb(folder / image), 0, 1.0)
        tracks += vision.step(frame).tracks
    tracks += vision.flush()
    fused = {folded(track.plate.text) for track in tracks}
    counts: dict[str, int] = defaultdict(int)
    for text, _ in reader.sightings:
        counts[text] += 1
    sightings_right = sum(counts[text] for text in wanted) / max(1, sum(truth[text] for text in wanted))
    table = Table("plates with three sightings or more", f"{len(wanted)}")
    table.add_row("read right in at least one frame", f"{100 * len(wanted & set(counts)) / len(wanted):.1f} %")
    table.add_row("sightings read right", f"{100 * sightings_right:.1f} %")
    table.add_row("one fused read right", f"{100 * len(wanted & fused) / len(wanted):.1f} %")
    table.add_row("fused reads that are no plate of the ride", f"{len(fused - set(truth))} of {len(fused)}")
    Console().print(table)


if __name__ == "__main__":
    main()

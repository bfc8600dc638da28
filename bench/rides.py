"""What fusion over frames gains: plates of a real ride, read once each by the tracker against single frames.

usage: python -m bench.rides [--shared ../shared] [--models models]

The pictures of the ride are training pictures of both models, so the shares are no accuracy; the difference between
the columns is the gain of fusion.  Many labelled plates have no text, as nobody could read them; reads
of these are counted apart from reads where no plate is labelled at all.
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
from agent.records import Box
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


def is_labelled(track: Track, boxes: list[Box]) -> bool:
    """Whether the track's best box lies on a labelled plate."""
    return any(track.best.detection.box.iou(box) > 0.1 for box in boxes)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--models", type=Path, default=default_models_folder(), help="folder with active.toml")
    options = parser.parse_args()
    folder = options.shared / "data"
    with (folder / "detect" / "rl_sequences.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth: dict[str, int] = defaultdict(int)
    frames: dict[tuple[str, float], str] = {}
    boxes: dict[tuple[str, float], list[Box]] = defaultdict(list)
    for row in rows:
        when = row["video"], float(row["t_s"])
        frames[when] = row["image"]
        boxes[when].append(Box(*(float(row[side]) for side in ("x0", "y0", "x1", "y1"))))
        if row["text"]:
            truth[folded(row["text"])] += 1
    wanted = {text for text, count in truth.items() if count >= MIN_SIGHTINGS}
    reader = Collecting(Recogniser(*load_active(options.models)))
    tracks: list[Track] = []
    vision, video = CameraPipeline(reader, Tracker(SLOW)), ""
    moments = sorted(frames)
    for seq, (name, t_s) in enumerate(moments):
        if name != video:
            tracks += vision.flush()
            vision, video = CameraPipeline(reader, Tracker(SLOW)), name
        frame = Frame(seq, "front", round(t_s * NS_PER_S), load_rgb(folder / frames[name, t_s]), 0, 1.0)
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
    others = [track for track in tracks if folded(track.plate.text) not in truth]
    unlabelled = [t for t in others if not is_labelled(t, boxes[moments[t.best.frame.seq]])]
    table.add_row("fused reads", str(len(tracks)))
    table.add_row("whose text is no label: on a labelled plate", str(len(others) - len(unlabelled)))
    table.add_row("whose text is no label: where no plate is labelled", str(len(unlabelled)))
    Console().print(table)


if __name__ == "__main__":
    main()

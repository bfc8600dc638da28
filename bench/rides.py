"""What fusion over frames gains: plates of a real ride, read once each by the tracker against single frames.

usage: python -m bench.rides [--shared ../shared] [--models models]

The pictures of the ride are training pictures of both models, so the shares are no accuracy; the difference between
the columns is the gain of fusion.  Many labelled plates have no text, as nobody could read them; reads
of these are counted apart from reads where no plate is labelled at all.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from dataclasses import dataclass
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
    from collections.abc import Iterator

    from agent.records import Detection, Sighting, Track

MIN_SIGHTINGS = 3
NS_PER_S = 1_000_000_000
_TAIL = 0.05
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


@dataclass(frozen=True, slots=True)
class Ride:
    """What the ride gave."""

    labelled: int
    """Plates with three labelled sightings or more."""
    seen: float
    """Share of them read right in at least one frame."""
    sightings_right: float
    fused_right: float
    reads: int
    other_text: int
    """Fused reads on a labelled plate whose text is no label."""
    no_plate: int
    """Fused reads where no plate is labelled."""
    minutes: float

    def no_plate_bound(self) -> float:
        """The mean count at which so few such reads have a probability of 5 % (Poisson; Garwood 1936)."""
        low, high = 0.0, 10.0 * (self.no_plate + 1)
        for _ in range(50):
            mean = (low + high) / 2
            so_few = sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(self.no_plate + 1))
            low, high = (mean, high) if so_few > _TAIL else (low, mean)
        return high

    def rows(self) -> Iterator[tuple[str, str]]:
        """The lines of the table."""
        hours = self.minutes / 60
        yield "plates with three sightings or more", f"{self.labelled}"
        yield "read right in at least one frame", f"{100 * self.seen:.1f} %"
        yield "sightings read right", f"{100 * self.sightings_right:.1f} %"
        yield "one fused read right", f"{100 * self.fused_right:.1f} %"
        yield "fused reads", str(self.reads)
        yield "whose text is no label: on a labelled plate", str(self.other_text)
        yield "whose text is no label: where no plate is labelled", str(self.no_plate)
        yield "minutes", f"{self.minutes:.1f}"
        told = f"{self.no_plate / hours:.1f} (95 % bound {self.no_plate_bound() / hours:.1f})"
        yield "reads where no plate is labelled, an hour", told


def measure(shared: Path, models: Path) -> Ride:
    """Play the ride."""
    folder = shared / "data"
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
    reader = Collecting(Recogniser(*load_active(models)))
    tracks = play(reader, folder, frames)
    moments = sorted(frames)
    fused = {folded(track.plate.text) for track in tracks}
    counts: dict[str, int] = defaultdict(int)
    for text, _ in reader.sightings:
        counts[text] += 1
    others = [track for track in tracks if folded(track.plate.text) not in truth]
    unlabelled = [t for t in others if not is_labelled(t, boxes[moments[t.best.frame.seq]])]
    return Ride(
        len(wanted),
        len(wanted & set(counts)) / len(wanted),
        sum(counts[text] for text in wanted) / max(1, sum(truth[text] for text in wanted)),
        len(wanted & fused) / len(wanted),
        len(tracks),
        len(others) - len(unlabelled),
        len(unlabelled),
        sum(_minutes(name, moments) for name in {name for name, _ in moments}),
    )


def play(reader: Collecting, folder: Path, frames: dict[tuple[str, float], str]) -> list[Track]:
    """The tracks of all frames, in order; each video is a drive of its own."""
    tracks: list[Track] = []
    vision, video = CameraPipeline(reader, Tracker(SLOW)), ""
    for seq, (name, t_s) in enumerate(sorted(frames)):
        if name != video:
            tracks += vision.flush()
            vision, video = CameraPipeline(reader, Tracker(SLOW)), name
        frame = Frame(seq, "front", round(t_s * NS_PER_S), load_rgb(folder / frames[name, t_s]), 0, 1.0)
        tracks += vision.step(frame).tracks
    return tracks + list(vision.flush())


def _minutes(video: str, moments: list[tuple[str, float]]) -> float:
    times = [t_s for name, t_s in moments if name == video]
    return (max(times) - min(times)) / 60


def markdown(ride: Ride) -> list[str]:
    """The card's lines about the ride."""
    return [
        "\nA real ride at dusk with a frame a second (`python -m bench.rides`; its pictures are training pictures):\n",
        "| | |\n|---|---|",
        *(f"| {name} | {figure} |" for name, figure in ride.rows()),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--models", type=Path, default=default_models_folder(), help="folder with active.toml")
    options = parser.parse_args()
    (first, *others) = measure(options.shared, options.models).rows()
    table = Table(*first)
    for row in others:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()

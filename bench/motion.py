"""How often the motion of a vehicle is told right, and what its confidence is worth.

usage: python -m bench.motion [--drives tests/drives] [--tracks 400] [--models]

Drawn tracks: vehicles of every kind before cameras of many lenses and directions, boxes with the detector's errors.
Drives: the boxes of their truth or, with ``--models``, those the shipped models find.  Their vehicles are parked or
oncoming; which, follows from the true boxes, as lens and speed of the renderer are known.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.pipeline import CameraPipeline
from agent.recognise import Recogniser, load_active
from agent.recognise.models_folder import default_models_folder
from agent.records import Box, PathPoint
from agent.track import Motion, MotionEstimator, Tracker
from hw.images import load_rgb
from hw.ports import Frame
from protocol.wire.enums import MotionKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.records import Track

NS_PER_S = 1_000_000_000
FRAME_PX = (1280, 720)
DRAWN_FOCAL_PX = 1800.0
PLATE_M = (0.305, 0.1525)
MAX_SPEED_MPS = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """A motion and the true kind."""

    truth: MotionKind
    motion: Motion


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera of the drawn tracks."""

    role: str
    focal_px: float
    yaw_rad: float

    def box(self, rng: np.random.Generator, ahead_m: float, right_m: float, error: float) -> Box | None:
        """The box of a plate 0.6 m below the camera, with the detector's errors; None if out of the picture."""
        sine, cosine = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        away, right = ahead_m * cosine + right_m * sine, right_m * cosine - ahead_m * sine
        if away < 2.0:
            return None
        scale = self.focal_px / away
        x, y = FRAME_PX[0] / 2 + right * scale, FRAME_PX[1] / 2 + 0.6 * scale
        width, height = (side * scale * (1 + error * rng.standard_normal()) for side in PLATE_M)
        x, y = x + rng.normal(0, 1), y + rng.normal(0, 1)
        inside = width / 2 < x < FRAME_PX[0] - width / 2 and height / 2 < y < FRAME_PX[1] - height / 2
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2) if inside and width > 30 else None


def draw_lens(rng: np.random.Generator) -> Lens:
    """A lens of 20 to 75 degrees, to the front or the rear, turned by up to 35 degrees."""
    role = str(rng.choice(["front", "rear"]))
    yaw = np.radians(rng.uniform(-35, 35)) + (np.pi if role == "rear" else 0.0)
    return Lens(role, FRAME_PX[0] / 2 / np.tan(np.radians(rng.uniform(20, 75)) / 2), yaw)


def draw_track(rng: np.random.Generator, lens: Lens, unit_mps: float) -> tuple[MotionKind, list[PathPoint]]:
    """A vehicle that the camera sees in at least three of its frames."""
    while True:
        followed_mps = unit_mps + rng.uniform(-0.7, 0.7) if unit_mps > 1 else 0.0
        vehicle_mps = rng.choice([0.0, 0.0, -rng.uniform(3, 25), rng.uniform(3, 30), followed_mps])
        ahead_m = rng.uniform(-45, 45)
        right_m = rng.choice([-1, 1]) * rng.uniform(2.5, 7)
        path = []
        for frame in range(int(rng.integers(3, 30))):
            t_s = frame / 8
            box = lens.box(rng, ahead_m + (vehicle_mps - unit_mps) * t_s, right_m, 0.06)
            if box is not None:
                path.append(PathPoint(round(t_s * NS_PER_S), box))
        if len(path) >= 3:
            return true_kind(lens.role, vehicle_mps, unit_mps), path


def true_kind(role: str, vehicle_mps: float, unit_mps: float) -> MotionKind:
    """The definition of the kinds, for front and rear cameras."""
    if abs(vehicle_mps) < 0.5:
        return MotionKind.PARKED
    gap_mps = vehicle_mps - unit_mps
    nearer = gap_mps < 0 if role == "front" else gap_mps > 0
    if vehicle_mps > 0 and unit_mps > 1:
        if abs(gap_mps) <= 1:
            return MotionKind.FOLLOWING
        if nearer:
            return MotionKind.OVERTAKING
    return MotionKind.APPROACHING if nearer else MotionKind.RECEDING


def drawn(tracks: int, *, lens_known: bool) -> list[Told]:
    """Units of 40 vehicles each, every one with a lens of its own."""
    told, rng = [], np.random.default_rng(1)
    for _ in range(max(1, tracks // 40)):
        lens = draw_lens(rng)
        hfov_deg = np.degrees(2 * np.arctan(FRAME_PX[0] / 2 / lens.focal_px)) if lens_known else None
        estimator = MotionEstimator(lens.role, hfov_deg=hfov_deg)
        for _ in range(40):
            unit_mps = float(rng.choice([0.0, rng.uniform(4, MAX_SPEED_MPS)]))
            kind, path = draw_track(rng, lens, unit_mps)
            told.append(Told(kind, estimator.estimate(path, FRAME_PX, unit_mps)))
    return told


def speeds_of(drive: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and speeds of the drive's RMC sentences."""
    rows = []
    for line in (drive / "gnss.nmea").read_text(encoding="utf-8").splitlines():
        t_ms, text = line.split("\t")
        fields = text.split(",")
        if fields[0].endswith("RMC") and fields[2] == "A" and fields[7]:
            rows.append((float(t_ms) / 1000, float(fields[7]) * 1852 / 3600))
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def truth_of(drive: Path) -> tuple[list[tuple[str, list[PathPoint]]], dict[str, MotionKind]]:
    """True boxes of each plate, by passes, and the true kind of each."""
    with (drive / "frames.csv").open(encoding="utf-8") as file:
        times = {row["seq"]: float(row["t_ms"]) / 1000 for row in csv.DictReader(file)}
    passes: dict[tuple[str, int], list[PathPoint]] = defaultdict(list)
    count: Counter[str] = Counter()
    with (drive / "truth.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            box = Box(*(float(row[side]) for side in ("x0", "y0", "x1", "y1")))
            text, t_ns = row["plate"], round(times[row["seq"]] * NS_PER_S)
            before = passes[text, count[text]]
            if before and box.width_px < before[-1].box.width_px / 2:
                count[text] += 1  # a second vehicle with the same plate
            passes[text, count[text]].append(PathPoint(t_ns, box))
    fix_s, fix_mps = speeds_of(drive)
    kinds = {}
    for (text, _), path in passes.items():
        near = sorted(path, key=lambda point: -point.box.height_px)[:8]
        t_s = np.array([point.t_mono_ns / NS_PER_S for point in near])
        away_m = np.array([DRAWN_FOCAL_PX * PLATE_M[1] / point.box.height_px for point in near])
        unit_mps = float(np.interp(t_s.mean(), fix_s, fix_mps))
        vehicle_mps = float(np.polyfit(t_s, away_m, 1)[0]) + unit_mps
        kinds[text] = MotionKind.APPROACHING if vehicle_mps < -3 else MotionKind.PARKED
    return [(text, path) for (text, _), path in passes.items()], kinds


def from_truth(drive: Path) -> list[Told]:
    """Motion from the true boxes of plates wider than 30 px, at most the last four seconds of each."""
    passes, kinds = truth_of(drive)
    fix_s, fix_mps = speeds_of(drive)
    estimator, told = MotionEstimator("front"), []
    for text, path in sorted(passes, key=lambda item: item[1][-1].t_mono_ns):
        seen = [point for point in path if point.box.width_px > 30][-20:]
        if len(seen) > 2:
            speed_mps = float(np.interp(seen[-1].t_mono_ns / NS_PER_S, fix_s, fix_mps))
            told.append(Told(kinds[text], estimator.estimate(seen, FRAME_PX, speed_mps)))
    return told


def from_models(drive: Path) -> list[Told]:
    """Motion of the tracks that the shipped models give."""
    _, kinds = truth_of(drive)
    fix_s, fix_mps = speeds_of(drive)
    estimator = MotionEstimator("front")
    pipeline = CameraPipeline(Recogniser(*load_active(default_models_folder())), Tracker())
    tracks: list[Track] = []
    with (drive / "frames.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            t_ns = round(float(row["t_ms"]) * 1_000_000)
            frame = Frame(int(row["seq"]), "front", t_ns, load_rgb(drive / row["file"]), 0, 1.0)
            tracks += pipeline.step(frame).tracks
    told = []
    for track in [*tracks, *pipeline.flush()]:
        speed_mps = float(np.interp(track.best.frame.t_mono_ns / NS_PER_S, fix_s, fix_mps))
        motion = estimator.estimate(track.path, FRAME_PX, speed_mps)
        if track.plate.text in kinds:
            told.append(Told(kinds[track.plate.text], motion))
    return told


def summary(name: str, told: list[Told]) -> tuple[str, ...]:
    """A row of the table."""
    known = [one for one in told if one.motion.kind is not MotionKind.UNKNOWN]
    right = [one for one in known if one.motion.kind is one.truth]
    said = sum(one.motion.confidence for one in known) / max(1, len(known))
    wrong = Counter(f"{one.truth} as {one.motion.kind}" for one in known if one.motion.kind is not one.truth)
    return (
        name,
        str(len(told)),
        f"{100 * len(known) / max(1, len(told)):.0f} %",
        f"{100 * len(right) / max(1, len(known)):.1f} %",
        f"{100 * said:.1f} %",
        ", ".join(f"{count} {what}" for what, count in wrong.most_common(3)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drives", type=Path, default=Path("tests/drives"))
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument(
        "--models", action="store_true", help="also find the drives' boxes with the shipped models"
    )
    options = parser.parse_args()
    table = Table("tracks", "number", "told", "of those right", "mean confidence", "wrong")
    unknown, known = drawn(options.tracks, lens_known=False), drawn(options.tracks, lens_known=True)
    table.add_row(*summary("drawn, lens unknown", unknown))
    table.add_row(*summary("drawn, field of view configured", known))
    for kind in sorted({one.truth for one in unknown}):
        table.add_row(*summary(f"drawn, lens unknown: {kind}", [one for one in unknown if one.truth is kind]))
    for drive in sorted(options.drives.iterdir()):
        if (drive / "truth.csv").is_file():
            table.add_row(*summary(f"{drive.name}: true boxes", from_truth(drive)))
            if options.models:
                table.add_row(*summary(f"{drive.name}: boxes of the models", from_models(drive)))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()

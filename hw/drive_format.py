"""Drive format 1: a folder with frames and sentences of a vehicle, ground truth, and a script of faults.

``docs/drive-format.md`` is the specification; this module has its records and names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hw.ports import HwError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hw.script import Action

FORMAT = 1
HEADER_FILE = "drive.toml"
FRAMES_FILE = "frames.csv"
FRAMES_FOLDER = "frames"
VIDEO_FILE = "video.mp4"
GNSS_FILE = "gnss.nmea"
TRUTH_FILE = "truth.csv"
SCRIPT_FILE = "script.toml"
FRAME_COLUMNS = ("seq", "t_ms", "file", "exposure_us", "gain")
VIDEO_COLUMNS = ("seq", "t_ms", "index", "exposure_us", "gain")
TRUTH_COLUMNS = ("seq", "x0", "y0", "x1", "y1", "plate", "region")


class DriveFormatError(HwError, ValueError):
    """A drive folder is incomplete or inconsistent; the message lists every problem found."""

    def __init__(self, root: Path, problems: tuple[str, ...]) -> None:
        super().__init__(f"{root}: not a usable drive:\n" + "\n".join(f"  {p}" for p in problems))
        self.root = root
        self.problems = problems


@dataclass(frozen=True, slots=True)
class DriveCamera:
    """The camera of a drive."""

    name: str
    role: str
    fps: float
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class DriveHeader:
    """``drive.toml``."""

    name: str
    source: Literal["synthetic", "field"]
    date: str
    place: str
    licence: str
    notes: str
    unit: str
    start_utc_ns: int
    """True UTC at t = 0."""
    camera: DriveCamera
    recogniser: Literal["scripted", "model"]
    """``scripted``: sightings come from the ground truth, later stages are exact; ``model``: ``floors`` must be met."""
    floors: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One row of ``frames.csv``; exactly one of ``file`` and ``video_index`` is set."""

    seq: int
    t_ns: int
    """Start of exposure, nanoseconds since the start of the drive."""
    file: str | None
    video_index: int | None
    exposure_us: int
    gain: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """One line of ``gnss.nmea``; the text may be garbage."""

    t_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth: one plate in one frame, in pixels, ``x1``/``y1`` exclusive."""

    seq: int
    x0: float
    y0: float
    x1: float
    y1: float
    plate: str
    region: str


@dataclass(frozen=True, slots=True)
class Drive:
    """A validated drive.  Pictures are decoded on demand."""

    root: Path
    header: DriveHeader
    frames: tuple[FrameRow, ...]
    sentences: tuple[Sentence, ...]
    truth: tuple[Truth, ...]
    script: tuple[Action, ...]
    torn_lines: int
    """Unterminated last lines that were ignored: an interrupted recording."""

    @property
    def duration_ns(self) -> int:
        """Time of the last event."""
        last = [rows[-1].t_ns for rows in (self.frames, self.sentences, self.script) if rows]
        return max(last, default=0)

    def truth_of(self, seq: int) -> tuple[Truth, ...]:
        """Ground truth of a frame."""
        return tuple(t for t in self.truth if t.seq == seq)

"""Read a drive folder and list all errors."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hw.drive_format import (
    FRAME_COLUMNS,
    FRAMES_FILE,
    GNSS_FILE,
    HEADER_FILE,
    SCRIPT_FILE,
    TRUTH_COLUMNS,
    TRUTH_FILE,
    VIDEO_COLUMNS,
    VIDEO_FILE,
    Drive,
    DriveCamera,
    DriveFormatError,
    DriveHeader,
    FrameRow,
    Sentence,
    Truth,
)
from hw.images import PictureError, PictureTooLargeError, picture_size_px
from hw.script import Action, argument_problems
from hw.video import VideoError, VideoFile
from protocol.mistakes import mistakes_of
from protocol.written import WrittenFileError, parse_toml, read_written

if TYPE_CHECKING:
    from collections.abc import Iterator

_NS_PER_MS = 1_000_000
_MAX_T_MS = 7 * 24 * 3600 * 1000
_PLATE = re.compile(r"[A-Z0-9]{1,12}")
_MAX_PROBLEMS = 50
_ENCODING = "utf-8-sig"
"""Spreadsheets and some editors put a mark before UTF-8 text."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _CameraToml(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    role: Literal["front", "rear", "left", "right"]
    fps: Annotated[float, Field(gt=0, le=240)]
    width_px: Annotated[int, Field(ge=16, le=16384)]
    height_px: Annotated[int, Field(ge=16, le=16384)]


class _HeaderToml(_Strict):
    format: Literal[1]
    name: Annotated[str, Field(min_length=1)]
    source: Literal["synthetic", "field"]
    date: dt.date
    place: str
    licence: Annotated[str, Field(min_length=1)]
    notes: str = ""
    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,36}$")]
    start_utc: dt.datetime
    recogniser: Literal["scripted", "model"]
    camera: _CameraToml
    floors: dict[str, float] = {}


class _Problems:
    """Collects errors in the order found."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        if len(self.found) < _MAX_PROBLEMS:
            self.found.append(f"{where}: {what}")
        elif len(self.found) == _MAX_PROBLEMS:
            self.found.append("... and more")


def load_drive(root: Path) -> Drive:
    """Load and check a drive folder.

    Raises DriveFormatError with every problem found (at most 50).
    """
    problems = _Problems()
    if not root.is_dir():
        raise DriveFormatError(root, ("folder does not exist",))
    header = _load_header(root, problems)
    frames, torn_frames = _load_frames(root, header, problems)
    sentences, torn_sentences = _load_sentences(root, problems)
    truth, torn_truth = _load_truth(root, header, {row.seq for row in frames}, problems)
    script = _load_script(root, problems)
    if header is not None and header.recogniser == "model" and not header.floors and header.source == "synthetic":
        problems.add(HEADER_FILE, "floors: a synthetic drive for the model must state minimum results")
    if problems.found or header is None:
        raise DriveFormatError(root, tuple(problems.found))
    return Drive(
        root=root,
        header=header,
        frames=frames,
        sentences=sentences,
        truth=truth,
        script=script,
        torn_lines=torn_frames + torn_sentences + torn_truth,
    )


def _load_toml(path: Path, problems: _Problems) -> dict[str, Any] | None:
    try:
        return parse_toml(read_written(path))
    except FileNotFoundError:
        problems.add(path.name, "missing")
    except OSError as error:
        problems.add(path.name, str(error.strerror))
    except WrittenFileError as error:
        problems.add(path.name, str(error))
    return None


def _load_header(root: Path, problems: _Problems) -> DriveHeader | None:
    table = _load_toml(root / HEADER_FILE, problems)
    if table is None:
        return None
    try:
        raw = _HeaderToml.model_validate(table)
    except ValidationError as error:
        for line in mistakes_of(error, "header"):
            problems.add(HEADER_FILE, line)
        return None
    if raw.start_utc.tzinfo is None:
        problems.add(HEADER_FILE, "start_utc: needs an offset, e.g. 2025-01-31T08:30:00Z")
        return None
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return DriveHeader(
        name=raw.name,
        source=raw.source,
        date=raw.date.isoformat(),
        place=raw.place,
        licence=raw.licence,
        notes=raw.notes,
        unit=raw.unit,
        start_utc_ns=(raw.start_utc - epoch) // dt.timedelta(microseconds=1) * 1000,
        camera=DriveCamera(**raw.camera.model_dump()),
        recogniser=raw.recogniser,
        floors=dict(raw.floors),
    )


def _terminated_lines(path: Path, problems: _Problems, *, encoding_errors: str) -> tuple[list[str], int]:
    """The lines of a file, and 1 if an incomplete last line was left out, otherwise 0."""
    try:
        text = path.read_bytes().decode(_ENCODING, errors=encoding_errors)
    except FileNotFoundError:
        problems.add(path.name, "missing")
        return [], 0
    except OSError as error:
        problems.add(path.name, str(error.strerror))
        return [], 0
    except UnicodeDecodeError as error:
        problems.add(path.name, f"not UTF-8 text: {error}")
        return [], 0
    # Only a newline ends a line here: str.splitlines would also cut at the control characters of receiver garbage.
    lines = text.split("\n")
    torn = 1 if lines.pop() else 0
    return [line.removesuffix("\r") for line in lines], torn


def _csv_rows(
    path: Path, columns: tuple[tuple[str, ...], ...], problems: _Problems
) -> tuple[list[tuple[str, dict[str, str]]], int]:
    """(where, row) of each complete line; ``columns`` are the headers allowed."""
    lines, torn = _terminated_lines(path, problems, encoding_errors="strict")
    if not lines:
        if path.exists():
            problems.add(path.name, "empty; expected the header " + ",".join(columns[0]))
        return [], torn
    header = tuple(lines[0].split(","))
    if header not in columns:
        problems.add(f"{path.name} line 1", f"header is {lines[0]!r}, expected {','.join(columns[0])}")
        return [], torn
    rows = []
    try:
        split = list(csv.reader(io.StringIO("\n".join(lines[1:]))))
    except csv.Error as error:
        problems.add(path.name, f"not CSV: {error}")
        return [], torn
    for number, fields in enumerate(split, start=2):
        if len(fields) != len(header):
            problems.add(f"{path.name} line {number}", f"{len(fields)} fields, expected {len(header)}")
            continue
        rows.append((f"{path.name} line {number}", dict(zip(header, fields, strict=True))))
    return rows, torn


def _t_ns(text: str) -> int:
    """Milliseconds with up to six decimals -> nanoseconds; ValueError when out of range or no number."""
    try:
        t_ms = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"t_ms is {text!r}, expected a number") from None
    if not t_ms.is_finite() or not 0 <= t_ms <= _MAX_T_MS:
        raise ValueError(f"t_ms is {text}, expected 0 to {_MAX_T_MS}")
    return int(t_ms * _NS_PER_MS)


def _load_frames(root: Path, header: DriveHeader | None, problems: _Problems) -> tuple[tuple[FrameRow, ...], int]:
    rows, torn = _csv_rows(root / FRAMES_FILE, (FRAME_COLUMNS, VIDEO_COLUMNS), problems)
    frames: list[FrameRow] = []
    checked = _Pictures(root, header)
    for where, row in rows:
        try:
            frame = FrameRow(
                seq=int(row["seq"]),
                t_ns=_t_ns(row["t_ms"]),
                file=row.get("file"),
                video_index=int(row["index"]) if "index" in row else None,
                exposure_us=int(row["exposure_us"]),
                gain=float(row["gain"]),
            )
        except ValueError as error:
            problems.add(where, str(error))
            continue
        if what := _frame_problem(frame, frames[-1] if frames else None):
            problems.add(where, what)
            continue
        if frame.file is not None and (what := checked.problem(frame.file)):
            problems.add(where, what)
        frames.append(frame)
    for where, what in checked.missing(frames):
        problems.add(where, what)
    if frames and all(frame.file in checked.damaged for frame in frames):
        problems.add(FRAMES_FILE, "no picture of the drive can be decoded")
    if any(frame.video_index is not None for frame in frames) and (
        what := _video_problem(root / VIDEO_FILE, header)
    ):
        problems.add(VIDEO_FILE, what)
    return tuple(frames), torn


def _frame_problem(frame: FrameRow, before: FrameRow | None) -> str | None:
    if frame.seq < 0 or (frame.video_index or 0) < 0 or frame.exposure_us < 0 or not frame.gain >= 0:
        return "negative number"
    if before is not None and frame.seq <= before.seq:
        return f"seq is {frame.seq} after {before.seq}, must increase"
    if before is not None and frame.t_ns <= before.t_ns:
        return "t_ms must increase from frame to frame"
    if before is not None and (frame.video_index or 0) < (before.video_index or 0):
        return f"index is {frame.video_index} after {before.video_index}, must not decrease"
    return None


def _video_problem(path: Path, header: DriveHeader | None) -> str | None:
    """Why the drive is invalid with this video, as far as its first frame tells."""
    if not path.is_file():
        return f"missing, but {FRAMES_FILE} refers to frames of a video"
    try:
        video = VideoFile(path)
    except VideoError as error:
        return str(error).removeprefix(f"{path}: ")
    found = video.next()
    video.close()
    if found is None:
        return "no frame of the video can be decoded"
    height_px, width_px = found[1].shape[:2]
    camera = None if header is None else header.camera
    if camera is None or (width_px, height_px) == (camera.width_px, camera.height_px):
        return None
    return f"frames are {width_px}x{height_px}, the camera {camera.width_px}x{camera.height_px}"


class _Pictures:
    """Checks the headers of a drive's pictures; each file once."""

    def __init__(self, root: Path, header: DriveHeader | None) -> None:
        self._root = root
        self._header = header
        self._known: dict[str, str | None] = {}
        self._absent: set[str] = set()
        self.damaged: set[str | None] = set()
        """Empty files and files without a picture header; their frames count as lost."""

    def problem(self, file: str) -> str | None:
        """Return why the drive is invalid with this picture; None if it is fine or only damaged."""
        if file not in self._known:
            self._known[file] = self._look(file)
        return self._known[file]

    def missing(self, frames: list[FrameRow]) -> Iterator[tuple[str, str]]:
        """Missing pictures, except those of the last rows: a power cut may lose them."""
        named = [frame.file for frame in frames if frame.file is not None]
        while named and (named[-1] in self._absent or named[-1] in self.damaged):
            self.damaged.add(named.pop())
        for file in dict.fromkeys(named):
            if file in self._absent:
                yield FRAMES_FILE, f"file {file} is missing"

    def _look(self, file: str) -> str | None:
        name = PurePosixPath(file)
        if name.is_absolute() or ".." in name.parts or not file or "\0" in file:
            return f"file {file!r} must be inside the drive folder"
        try:
            with (self._root / name).open("rb") as picture:
                size_px = picture_size_px(picture, file)
        except FileNotFoundError:
            self._absent.add(file)
            return None
        except (OSError, PictureTooLargeError) as error:
            return f"file {file} cannot be used: {error}"
        except PictureError:
            self.damaged.add(file)
            return None
        camera = None if self._header is None else self._header.camera
        if camera is None or size_px == (camera.width_px, camera.height_px):
            return None
        return f"file {file} is {size_px[0]}x{size_px[1]}, the camera {camera.width_px}x{camera.height_px}"


def _load_sentences(root: Path, problems: _Problems) -> tuple[tuple[Sentence, ...], int]:
    lines, torn = _terminated_lines(root / GNSS_FILE, problems, encoding_errors="replace")
    sentences: list[Sentence] = []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        t_text, tab, text = line.partition("\t")
        where = f"{GNSS_FILE} line {number}"
        if not tab:
            problems.add(where, "expected t_ms, a tab and the sentence")
            continue
        try:
            t_ns = _t_ns(t_text)
        except ValueError as error:
            problems.add(where, str(error))
            continue
        if sentences and t_ns < sentences[-1].t_ns:
            problems.add(where, "t_ms decreases")
            continue
        sentences.append(Sentence(t_ns, text))
    return tuple(sentences), torn


def _load_truth(
    root: Path, header: DriveHeader | None, seqs: set[int], problems: _Problems
) -> tuple[tuple[Truth, ...], int]:
    rows, torn = _csv_rows(root / TRUTH_FILE, (TRUTH_COLUMNS,), problems)
    truth: list[Truth] = []
    for where, row in rows:
        try:
            one = Truth(
                seq=int(row["seq"]),
                x0=float(row["x0"]),
                y0=float(row["y0"]),
                x1=float(row["x1"]),
                y1=float(row["y1"]),
                plate=row["plate"],
                region=row["region"],
            )
        except ValueError as error:
            problems.add(where, str(error))
            continue
        if one.seq not in seqs:
            problems.add(where, f"there is no frame with seq {one.seq}")
        if not (0 <= one.x0 < one.x1 and 0 <= one.y0 < one.y1):
            problems.add(where, "box is empty, inverted or outside the frame")
        elif header is not None and (one.x1 > header.camera.width_px or one.y1 > header.camera.height_px):
            problems.add(where, "box is outside the frame")
        if not _PLATE.fullmatch(one.plate):
            problems.add(where, f"plate {one.plate!r} is not 1 to 12 of A-Z and 0-9")
        truth.append(one)
    return tuple(truth), torn


def _load_script(root: Path, problems: _Problems) -> tuple[Action, ...]:
    if not (root / SCRIPT_FILE).exists():
        return ()
    table = _load_toml(root / SCRIPT_FILE, problems) or {}
    for key in table.keys() - {"at"}:
        problems.add(SCRIPT_FILE, f"unknown key {key!r}")
    entries = table.get("at", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(SCRIPT_FILE, "at: expected [[at]] tables")
        return ()
    script: list[Action] = []
    for number, entry in enumerate(entries, start=1):
        action, wrong = _action(entry)
        if action is not None and script and action.t_ns < script[-1].t_ns:
            wrong.append("t_ms decreases")
        for what in wrong:
            problems.add(f"{SCRIPT_FILE} [[at]] {number}", what)
        if action is not None:
            script.append(action)
    return tuple(script)


def _action(entry: dict[str, Any]) -> tuple[Action | None, list[str]]:
    """One entry of the script, or None after reporting its errors."""
    args = {key: value for key, value in entry.items() if key not in {"t_ms", "do"}}
    do = entry.get("do")
    wrong = argument_problems(do, args) if isinstance(do, str) else ["do: missing"]
    try:
        t_ns = _t_ns(str(entry.get("t_ms", "missing")))
    except ValueError as error:
        return None, [*wrong, str(error)]
    return (None, wrong) if wrong else (Action(t_ns, str(do), args), [])

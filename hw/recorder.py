"""Records a drive: the folder is a valid drive after every line, even after a power cut."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

import cv2

from hw.drive_format import (
    FRAME_COLUMNS,
    FRAMES_FILE,
    FRAMES_FOLDER,
    GNSS_FILE,
    HEADER_FILE,
    TRUTH_COLUMNS,
    TRUTH_FILE,
)
from hw.output import sync_folder
from hw.ports import HwConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from hw.drive_format import DriveHeader
    from hw.ports import Frame, NmeaLine

_NS_PER_MS = 1_000_000
_QUALITY = 90
_SYNC_NS = 1_000_000_000
"""Maximum part of a recording that a power cut may lose."""


class DriveRecorder:
    """One recording.  Used by one thread."""

    def __init__(self, root: Path, header: DriveHeader, *, origin_ns: int) -> None:
        """Start a drive whose t = 0 is ``origin_ns`` on the monotonic clock.

        Raises HwConfigError if the folder is not empty or cannot be written.
        """
        self._root = root
        self._origin_ns = origin_ns
        self._synced_ns = origin_ns
        self._unsynced: list[str] = []
        self._size_px = (header.camera.width_px, header.camera.height_px)
        try:
            root.mkdir(parents=True, exist_ok=True)
            if any(root.iterdir()):
                raise HwConfigError(f"{root}: not empty; a recording needs an empty folder")
            (root / FRAMES_FOLDER).mkdir()
            (root / HEADER_FILE).write_text(_header_text(header), encoding="utf-8")
            (root / TRUTH_FILE).write_text(",".join(TRUTH_COLUMNS) + "\n", encoding="utf-8")
            self._frames = _open(root / FRAMES_FILE)
            self._gnss = _open(root / GNSS_FILE)
        except OSError as error:
            raise HwConfigError(f"{root}: cannot be written: {error}") from error
        self._frames.write(",".join(FRAME_COLUMNS) + "\n")
        self._sync()
        for folder in (root, root.parent):
            sync_folder(folder)
        self.frames = 0
        self.lines = 0
        self.of_another_size = 0
        """Frames that were left out: a camera that comes back may have another mode, and a drive has one size."""

    def add_frame(self, frame: Frame) -> None:
        """Write a frame, unless its size is not that of the drive; raises HwConfigError if the disk is full."""
        if (frame.rgb.shape[1], frame.rgb.shape[0]) != self._size_px:
            self.of_another_size += 1
            return
        file = f"{FRAMES_FOLDER}/{frame.seq:06d}.jpg"
        bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        try:
            (self._root / file).write_bytes(jpeg.tobytes())
            t_ms = (frame.t_mono_ns - self._origin_ns) / _NS_PER_MS
            # The row comes after its picture: a row always has its file.
            self._frames.write(f"{frame.seq},{t_ms:.3f},{file},{frame.exposure_us},{frame.gain:g}\n")
            self._unsynced.append(file)
            if frame.t_mono_ns - self._synced_ns >= _SYNC_NS:
                self._synced_ns = frame.t_mono_ns
                self._sync()
        except OSError as error:
            raise HwConfigError(
                f"{self._root / file}: cannot be written: {error.strerror}; is the disk full?"
            ) from error
        self.frames += 1

    def add_line(self, line: NmeaLine) -> None:
        """Write a sentence as received, including garbage; line ends inside are replaced with spaces."""
        text = line.text.replace("\r", " ").replace("\n", " ")
        self._gnss.write(f"{max(0.0, (line.t_mono_ns - self._origin_ns) / _NS_PER_MS):.3f}\t{text}\n")
        self.lines += 1

    def close(self) -> None:
        """End the recording."""
        self._sync()
        self._frames.close()
        self._gnss.close()

    def _sync(self) -> None:
        """Sync pictures, their folder, then the rows."""
        for file in self._unsynced:
            with (self._root / file).open("rb") as picture:
                os.fsync(picture.fileno())
        self._unsynced.clear()
        sync_folder(self._root / FRAMES_FOLDER)
        for rows in (self._frames, self._gnss):
            rows.flush()
            os.fsync(rows.fileno())


def _open(path: Path) -> IO[str]:
    # Line buffered: what was said is on its way to the disk; a torn last line is ignored when the drive is loaded.
    return path.open("w", buffering=1, encoding="utf-8", errors="replace")


def _header_text(header: DriveHeader) -> str:
    seconds, rest = divmod(header.start_utc_ns, 1_000_000_000)
    start = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest // 1000)
    camera = header.camera
    floors = "".join(f"{name} = {value:g}\n" for name, value in header.floors.items())
    return (
        f"format = 1\nname = {_quoted(header.name)}\nsource = {_quoted(header.source)}\ndate = {header.date}\n"
        f"place = {_quoted(header.place)}\nlicence = {_quoted(header.licence)}\nnotes = {_quoted(header.notes)}\n"
        f"unit = {_quoted(header.unit)}\nstart_utc = {start.isoformat()}\nrecogniser = {_quoted(header.recogniser)}\n"
        f"\n[camera]\nname = {_quoted(camera.name)}\nrole = {_quoted(camera.role)}\nfps = {camera.fps:g}\n"
        f"width_px = {camera.width_px}\nheight_px = {camera.height_px}\n"
        + (f"\n[floors]\n{floors}" if floors else "")
    )


def _quoted(text: str) -> str:
    return json.dumps(text)

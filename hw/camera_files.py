"""Cameras that read a video file or a folder of pictures, every frame in turn or in real time."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Protocol

import structlog

from hw.clock import NS_PER_S, wait
from hw.images import IMAGE_SUFFIXES, PictureError, load_rgb
from hw.ports import CameraEndedError, CameraStalledError, Frame, HwConfigError
from hw.video import VideoError, VideoFile

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hw.config import FolderCameraConfig, VideoCameraConfig
    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)


class Pictures(Protocol):
    """A finite sequence of pictures."""

    fps: float

    def peek_ns(self) -> int | None:
        """Return when the next picture is due, in nanoseconds since the start of the row; None at the end."""

    def next(self) -> NDArray[np.uint8] | None:
        """Return the next picture as RGB; None when it cannot be decoded, or at the end."""

    def skip(self) -> bool:
        """Skip one picture; False at the end."""

    def rewind(self) -> bool:
        """Rewind; False if that is not possible."""

    def close(self) -> None:
        """Release the file."""


class CameraFiles:
    """A camera over a sequence of pictures.  With ``realtime``, late consumers lose frames, as with any camera."""

    def __init__(self, name: str, pictures: Pictures, clock: Clock, *, loop: bool, realtime: bool) -> None:
        self._name = name
        self._pictures = pictures
        self._clock = clock
        self._loop = loop
        self._realtime = realtime
        self._closed = threading.Event()
        self._start_ns: int | None = None
        self._last_ns: int | None = None
        self._seq = 0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._name

    def next_frame(self, *, timeout_s: float) -> Frame:
        """See the port."""
        if self._start_ns is None:
            self._start_ns = self._clock.mono_ns()
        while not self._closed.is_set():
            due_ns = self._due_ns()
            if due_ns is None:
                self._pictures.close()
                raise CameraEndedError(f"camera {self._name}: no more frames")
            if self._realtime:
                due_ns = self._keep_time(due_ns, timeout_s)
                if self._closed.is_set():
                    break
            rgb = self._pictures.next()
            self._last_ns = due_ns
            seq, self._seq = self._seq, self._seq + 1
            # One that cannot be decoded is a frame that was lost.
            if rgb is not None:
                return Frame(seq, self._name, due_ns, rgb, 0, 1.0)
        raise CameraEndedError(f"camera {self._name}: closed")

    def close(self) -> None:
        """See the port."""
        self._closed.set()

    def _due_ns(self) -> int | None:
        """When the next picture is due on the camera's clock; starts again at the end where that is wanted."""
        at_ns = self._pictures.peek_ns()
        if at_ns is None and self._loop and self._pictures.rewind():
            if self._last_ns is not None:
                self._start_ns = self._last_ns + round(NS_PER_S / self._pictures.fps)
            at_ns = self._pictures.peek_ns()
        return None if at_ns is None else (self._start_ns or 0) + at_ns

    def _keep_time(self, due_ns: int, timeout_s: float) -> int:
        """Wait for the next frame, or pass over those that are too old; return when the one that is next was due."""
        left_s = (due_ns - self._clock.mono_ns()) / NS_PER_S
        if left_s > timeout_s:
            wait(self._clock, self._closed, timeout_s)
            raise CameraStalledError(f"camera {self._name}: no frame within {timeout_s:g} s")
        if left_s > 0:
            wait(self._clock, self._closed, left_s)
        period_ns = NS_PER_S / self._pictures.fps
        while self._clock.mono_ns() - due_ns > period_ns and self._pictures.skip():
            self._seq += 1
            at_ns = self._pictures.peek_ns()
            if at_ns is None:
                break
            due_ns = (self._start_ns or 0) + at_ns
        return due_ns


class VideoPictures:
    """A video file.  A truncated file ends at its last complete frame."""

    def __init__(self, config: VideoCameraConfig) -> None:
        """Raises HwConfigError if the file is missing or not a video."""
        self._path = config.path
        try:
            self._video = VideoFile(config.path)
        except VideoError as error:
            raise HwConfigError(f"camera {config.name}: {error}") from error
        self.fps = self._video.fps
        self._first_ns: int | None = None
        self._grabbed_ns: int | None = None

    def peek_ns(self) -> int | None:
        """See the protocol: frames have their own times, whatever the header's rate is."""
        if self._grabbed_ns is None:
            self._grabbed_ns = self._video.grab()
            if self._first_ns is None:
                self._first_ns = self._grabbed_ns
        return None if self._grabbed_ns is None else self._grabbed_ns - (self._first_ns or 0)

    def next(self) -> NDArray[np.uint8] | None:
        """See the protocol."""
        at_ns = self.peek_ns()
        self._grabbed_ns = None
        return None if at_ns is None else self._video.retrieve()

    def skip(self) -> bool:
        """See the protocol."""
        if self.peek_ns() is None:
            return False
        self._grabbed_ns = None
        return True

    def rewind(self) -> bool:
        """See the protocol; not for a file of which not one frame came."""
        if self._first_ns is None:
            return False
        self._video.close()
        try:
            self._video = VideoFile(self._path)
        except VideoError:
            return False
        self._first_ns = self._grabbed_ns = None
        return True

    def close(self) -> None:
        """See the protocol."""
        self._video.close()


class FolderPictures:
    """A folder of pictures in the order of their names, numbers in them by their value.

    Undecodable ones are skipped and counted.
    """

    def __init__(self, config: FolderCameraConfig) -> None:
        """Raises HwConfigError if the folder is missing or contains no pictures."""
        self.fps = config.fps
        self.unreadable: set[Path] = set()
        """Looped folders meet them in every round."""
        self._next = 0
        try:
            inside = sorted(config.path.iterdir(), key=_by_number)
        except OSError as error:
            raise HwConfigError(
                f"camera {config.name}: folder {config.path} is missing or cannot be read: {error.strerror}"
            ) from error
        self._paths = [p for p in inside if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
        if not self._paths:
            raise HwConfigError(f"camera {config.name}: no pictures in {config.path}")

    def peek_ns(self) -> int | None:
        """See the protocol."""
        return round(self._next / self.fps * NS_PER_S) if self._next < len(self._paths) else None

    def next(self) -> NDArray[np.uint8] | None:
        """See the protocol."""
        if self._next >= len(self._paths):
            return None
        path = self._paths[self._next]
        self._next += 1
        try:
            return load_rgb(path)
        except PictureError as error:
            if path not in self.unreadable:
                _LOG.warning("picture_passed_over", reason=str(error))
            self.unreadable.add(path)
            return None

    def skip(self) -> bool:
        """See the protocol; the last picture is never skipped."""
        if self._next + 1 >= len(self._paths):
            return False
        self._next += 1
        return True

    def rewind(self) -> bool:
        """See the protocol; a folder without a decodable picture is not restarted."""
        self._next = 0
        return len(self.unreadable) < len(self._paths)

    def close(self) -> None:
        """Nothing to release."""


def _by_number(path: Path) -> tuple[list[str | int], str]:
    """Frame 10 comes after frame 2: many programs write numbers without leading zeros."""
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], path.name

"""Cameras that read a video file or a folder of pictures, every frame in turn or in real time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import cv2

from hw.clock import NS_PER_S, wait
from hw.images import IMAGE_SUFFIXES, PictureError, bgr_to_rgb, load_rgb
from hw.ports import CameraEndedError, CameraStalledError, Frame, HwConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hw.config import FolderCameraConfig, VideoCameraConfig
    from hw.ports import Clock

_FALLBACK_FPS = 25.0


class Pictures(Protocol):
    """A finite sequence of pictures."""

    fps: float

    def next(self) -> NDArray[np.uint8] | None:
        """Return the next picture as RGB; None at the end."""

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
        self._seq = 0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._name

    def next_frame(self, *, timeout_s: float) -> Frame:
        """See the port."""
        if self._start_ns is None:
            self._start_ns = self._clock.mono_ns()
        if self._realtime:
            self._keep_time(timeout_s)
        if self._closed.is_set():
            raise CameraEndedError(f"camera {self._name}: closed")
        rgb = self._pictures.next()
        if rgb is None and self._loop and self._pictures.rewind():
            rgb = self._pictures.next()
        if rgb is None:
            self._pictures.close()
            raise CameraEndedError(f"camera {self._name}: no more frames")
        frame = Frame(self._seq, self._name, self._due_ns(), rgb, 0, 1.0)
        self._seq += 1
        return frame

    def close(self) -> None:
        """See the port."""
        self._closed.set()

    def _due_ns(self) -> int:
        start = 0 if self._start_ns is None else self._start_ns
        return start + round(self._seq / self._pictures.fps * NS_PER_S)

    def _keep_time(self, timeout_s: float) -> None:
        """Wait for the next frame, or skip those that are too old."""
        left_s = (self._due_ns() - self._clock.mono_ns()) / NS_PER_S
        if left_s > timeout_s:
            wait(self._clock, self._closed, timeout_s)
            raise CameraStalledError(f"camera {self._name}: no frame within {timeout_s:g} s")
        if left_s > 0:
            wait(self._clock, self._closed, left_s)
        period_s = 1 / self._pictures.fps
        while (self._clock.mono_ns() - self._due_ns()) / NS_PER_S > period_s and self._pictures.skip():
            self._seq += 1


class VideoPictures:
    """A video file.  A truncated file ends at its last complete frame."""

    def __init__(self, config: VideoCameraConfig) -> None:
        """Raises HwConfigError if the file is missing or not a video."""
        self._path = config.path
        self._video = cv2.VideoCapture(str(config.path))
        if not self._video.isOpened():
            raise HwConfigError(
                f"camera {config.name}: {config.path} is missing, or not a video that OpenCV can read"
            )
        self.fps = self._video.get(cv2.CAP_PROP_FPS) or _FALLBACK_FPS

    def next(self) -> NDArray[np.uint8] | None:
        """See the protocol."""
        got, bgr = self._video.read()
        return bgr_to_rgb(bgr) if got else None

    def skip(self) -> bool:
        """See the protocol."""
        return bool(self._video.grab())

    def rewind(self) -> bool:
        """See the protocol."""
        return bool(self._video.set(cv2.CAP_PROP_POS_FRAMES, 0))

    def close(self) -> None:
        """See the protocol."""
        self._video.release()


class FolderPictures:
    """A folder of pictures in the order of their names; undecodable ones are skipped and counted."""

    def __init__(self, config: FolderCameraConfig) -> None:
        """Raises HwConfigError if the folder is missing or contains no pictures."""
        self.fps = config.fps
        self.unreadable = 0
        self._next = 0
        if not config.path.is_dir():
            raise HwConfigError(f"camera {config.name}: folder {config.path} is missing")
        self._paths = sorted(p for p in config.path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not self._paths:
            raise HwConfigError(f"camera {config.name}: no pictures in {config.path}")

    def next(self) -> NDArray[np.uint8] | None:
        """See the protocol."""
        while self._next < len(self._paths):
            path = self._paths[self._next]
            self._next += 1
            try:
                return load_rgb(path)
            except PictureError:
                self.unreadable += 1
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
        return self.unreadable < len(self._paths)

    def close(self) -> None:
        """Nothing to release."""

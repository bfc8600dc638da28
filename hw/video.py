"""Frames of video files, with their presentation times, rotated according to the file.

Pitfalls of OpenCV's reader that are handled here: it does not apply the display matrix by default, and never mirrors;
the frame rate in the header is only a mean if the rate varies; names that are not UTF-8 or look like URLs are not
opened; files that FFmpeg cannot open are tried as image sequences.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import cv2

from hw.images import MAX_PIXELS, bgr_to_rgb
from hw.ports import HwError
from hw.video_header import video_header

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".3gp"}
    | {".wmv", ".asf", ".flv", ".ogv", ".mjpg", ".mjpeg", ".h264", ".264", ".h265", ".265", ".hevc"}
    | {".3g2", ".f4v", ".m2v", ".m2t", ".mxf", ".dv", ".divx", ".ivf", ".y4m", ".nut", ".insv"}
)
"""Suffixes of videos in folders."""
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_FALLBACK_FPS = 25.0
_MAX_FPS = 1000
"""Some broken headers contain 90000."""
_JUMP_BACK_MS = 1000.0
"""Concatenated files restart their clock; smaller steps back come from the order of packets."""
_MAX_MS = 1e14
"""FFmpeg's mark for a frame without a time, as in bare MPEG-2 streams, becomes a time of some 240,000 years."""
_MAX_UNDECODABLE = 250
"""Consecutive undecodable frames after which a video counts as ended."""
_ENOUGH, _SPARE_FRAMES = 0.9, 2
"""Fraction of the frames in the header; with fewer the file is truncated, unless no more than two are missing: some
headers have only a length in time."""
_PTS = getattr(cv2, "CAP_PROP_PTS", -1)
"""Presentation time in periods of the frame rate; OpenCV 4.11 and later have it."""
_QUARTER_TURNS = (90.0, 270.0)
_ERRORS = 2
"""OpenCV's log level ERROR."""
_QUIET = ("OPENCV_FFMPEG_LOGLEVEL", "-8")
"""Silences FFmpeg's log; OpenCV takes the level only from the environment."""


class VideoError(HwError, ValueError):
    """A video that cannot be used; the message names the file and the reason."""


class VideoFile:
    """One video, forward only: ``grab``, then ``retrieve`` if the frame is needed.  Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Raises VideoError if the file is missing, not a video, or its frames have too many pixels."""
        self._path = path
        self._handle: int | None = None
        if not path.is_file():
            raise VideoError(f"{path}: missing, or not a regular file")
        self._video = self._open()
        if not self._video.isOpened():
            self.close()
            raise VideoError(
                f"{path}: cannot be opened as a video; it is damaged, truncated or of an unsupported format"
            )
        width, height = (int(self._video.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            self.close()
            raise VideoError(f"{path}: frames of {width}x{height} pixels; at most {MAX_PIXELS} are read")
        self._video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        self._header = video_header(path)
        self._flip = self._mirror() if self._header.mirrored else None
        fps = self._video.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < _MAX_FPS else _FALLBACK_FPS
        """From the header; frames have their own times."""
        self._raw_ms = 0.0
        self._offset_ms = 0.0
        self._grabbed = 0
        self._last_ns: int | None = None

    def _mirror(self) -> int:
        """The flip, as OpenCV numbers them, that is left to be done after the turn: across the picture's own rows."""
        return 1 if self._video.get(cv2.CAP_PROP_ORIENTATION_META) in _QUARTER_TURNS else 0

    def _open(self) -> cv2.VideoCapture:
        os.environ.setdefault(*_QUIET)
        name = str(self._path.absolute())
        with suppress(UnicodeEncodeError):
            name.encode()
            return self._capture(name)
        self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._capture(f"/proc/self/fd/{self._handle}")

    @staticmethod
    def _capture(name: str) -> cv2.VideoCapture:
        known = cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG)
        level = _set_log_level(_ERRORS)
        try:
            return cv2.VideoCapture(name, cv2.CAP_FFMPEG if known else cv2.CAP_ANY)
        finally:
            _set_log_level(level)

    @property
    def codec(self) -> str:
        """Four characters, such as ``h264``; empty if unknown."""
        code = int(self._video.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        return code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ").lower()

    @property
    def n_frames(self) -> int | None:
        """From the header, without those that its list of edits leaves out; None if unknown."""
        count = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        if not math.isfinite(count) or count <= 0:
            return None
        shown_s = self._header.shown_s
        return int(count) if shown_s is None else min(int(count), max(1, round(shown_s * self.fps)))

    @property
    def video_tracks(self) -> int:
        """Only the first is read; 0 if unknown."""
        return self._header.video_tracks

    @property
    def ends_early(self) -> bool:
        """True if far fewer frames were grabbed than the header says, and their times are far from its end.

        Many headers have a length in time alone, which tells nothing of the number of frames if their rate varies.
        """
        count = self.n_frames
        if count is None or self._grabbed >= _least(count):
            return False
        return self._reached_s * self.fps < _least(count)

    @property
    def _reached_s(self) -> float:
        """End of the last frame; in Matroska files the length counts from the zero of the clock, not from the start."""
        last_s = (self._last_ns or 0) / _NS_PER_S
        if self._header.matroska and (pts := self._video.get(_PTS)) > 0:
            last_s = max(last_s, pts / self.fps)
        return last_s + 1 / self.fps

    def grab(self) -> int | None:
        """Advance to the next frame; return its presentation time in nanoseconds, None at the end.

        Times always increase, even if those in the file do not.
        """
        if not self._video.grab():
            return None
        raw_ms = self._video.get(cv2.CAP_PROP_POS_MSEC)
        period_ns = round(_NS_PER_S / self.fps)
        next_ns = 0 if self._last_ns is None else self._last_ns + period_ns
        if abs(raw_ms) < _MAX_MS:
            if raw_ms < self._raw_ms - _JUMP_BACK_MS:
                self._offset_ms = next_ns / _NS_PER_MS - raw_ms
            self._raw_ms = raw_ms
            t_ns = round((raw_ms + self._offset_ms) * _NS_PER_MS)
            if t_ns >= 0 and (self._last_ns is None or t_ns > self._last_ns):
                next_ns = t_ns
        self._last_ns = next_ns
        self._grabbed += 1
        return next_ns

    def retrieve(self) -> NDArray[np.uint8] | None:
        """Decode the frame to RGB; None if it is damaged."""
        got, bgr = self._video.retrieve()
        if not got or bgr is None:
            return None
        return bgr_to_rgb(bgr if self._flip is None else cv2.flip(bgr, self._flip))

    def next(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Return time and pixels of the next frame that can be decoded; None at the end."""
        for _ in range(_MAX_UNDECODABLE):
            t_ns = self.grab()
            if t_ns is None:
                return None
            rgb = self.retrieve()
            if rgb is not None:
                return t_ns, rgb
        return None

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._video.release()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _least(count: int) -> float:
    return min(count * _ENOUGH, count - _SPARE_FRAMES)


def _set_log_level(level: int) -> int:
    """Set OpenCV's; return the one before.  OpenCV 5 has the function in another place."""
    place: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # type: ignore[attr-defined,unused-ignore]
    return int(place.setLogLevel(level))

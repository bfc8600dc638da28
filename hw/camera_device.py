"""A USB camera (V4L2) or a network stream (RTSP) through OpenCV.

A thread opens it, keeps only the newest frame, and reopens it when it disconnects.  Traps of the library, kept in
one place: it hands out blue first; it waits for ever for a stream unless told; it asks for RTSP over UDP, where a lost
datagram smears a plate; frames that nobody grabs pile up, and everything after is old.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import structlog

from hw.backoff import Backoff
from hw.clock import wait
from hw.config import without_credentials
from hw.images import bgr_to_rgb
from hw.newest_frame import NewestFrame
from hw.ports import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from hw.config import DeviceCameraConfig
    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)
_MS_PER_S = 1000
_JOIN_S = 1.0
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.5, 5.0
_STREAM_OPTIONS = ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
"""OpenCV takes options of its FFmpeg only through the environment."""


class CameraDevice:
    """Reads at the device's rate and returns the newest frame; retries opening without limit."""

    def __init__(
        self,
        config: DeviceCameraConfig,
        clock: Clock,
        *,
        open_video: Callable[[DeviceCameraConfig], Any] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """``open_video`` returns an object like an open ``cv2.VideoCapture``, or None; default: OpenCV's."""
        self._config = config
        self._clock = clock
        self._open_video = open_video or open_capture
        self._backoff = backoff or Backoff(_MIN_PAUSE_S, _MAX_PAUSE_S)
        self._newest = NewestFrame(config.name)
        self._thread = threading.Thread(target=self._run, name=f"camera-{config.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def next_frame(self, *, timeout_s: float) -> Frame:
        """See the port."""
        return self._newest.take(timeout_s=timeout_s)

    def close(self) -> None:
        """See the port; does not wait for a read that hangs in the driver."""
        self._newest.end()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        where = without_credentials(str(self._config.source))
        while not self._newest.ended.is_set():
            video = self._open_video(self._config)
            if video is None:
                self._newest.absent(
                    f"{where} cannot be opened; check that it is connected, reachable and not in use"
                )
            else:
                self._read(video)
                video.release()
                self._newest.absent(f"{where} disconnected")
                if not self._newest.ended.is_set():
                    _LOG.warning("camera_lost", camera=self.name, source=where)
            wait(self._clock, self._newest.ended, self._backoff.next_s())

    def _read(self, video: Any) -> None:
        """Read frames until the device ends."""
        told = False
        while not self._newest.ended.is_set():
            got = video.grab()
            t_mono_ns = self._clock.mono_ns()
            bgr = None
            if got:
                got, bgr = video.retrieve()
            if not got or bgr is None:
                return
            self._backoff.reset()
            if not told:
                self._tell_size(*bgr.shape[:2])
                told = True
            self._newest.put(partial(self._frame, self._newest.next_seq(), t_mono_ns, bgr))

    def _frame(self, seq: int, t_mono_ns: int, bgr: NDArray[np.uint8]) -> Frame:
        return Frame(seq, self.name, t_mono_ns, bgr_to_rgb(bgr), 0, 1.0)

    def _tell_size(self, height_px: int, width_px: int) -> None:
        """Drivers may change the size silently."""
        wanted = (self._config.width_px or width_px, self._config.height_px or height_px)
        if wanted != (width_px, height_px):
            _LOG.warning("camera_adjusted", camera=self.name, wanted=wanted, granted=(width_px, height_px))


def open_capture(config: DeviceCameraConfig) -> cv2.VideoCapture | None:
    """Open with OpenCV, V4L2 for a device and FFmpeg for an address; None if that fails."""
    video = _device(config) if config.is_device else _stream(config)
    if video.isOpened():
        return video
    video.release()
    return None


def _device(config: DeviceCameraConfig) -> cv2.VideoCapture:
    video = cv2.VideoCapture(config.source, cv2.CAP_V4L2)
    chunk_requests = (
        # The format first: it decides which sizes and rates there are.
        (cv2.CAP_PROP_FOURCC, None if config.fourcc is None else cv2.VideoWriter.fourcc(*config.fourcc)),
        (cv2.CAP_PROP_FRAME_WIDTH, config.width_px),
        (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
        (cv2.CAP_PROP_FPS, config.fps),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    )
    for prop, value in chunk_requests:
        if value is not None:
            video.set(prop, value)
    return video


def _stream(config: DeviceCameraConfig) -> cv2.VideoCapture:
    os.environ.setdefault(*_STREAM_OPTIONS)
    timeout_ms = int(config.timeout_s * _MS_PER_S)
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    # No other of OpenCV's readers: one of them prints the address, password and all, when it fails.
    return cv2.VideoCapture(str(config.source), cv2.CAP_FFMPEG, options)

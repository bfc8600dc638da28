"""A USB camera (V4L2) or a network stream (RTSP) through OpenCV; a thread keeps only the newest frame."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hw.ports import CameraEndedError, CameraStalledError, Frame, HwConfigError

if TYPE_CHECKING:
    from hw.config import DeviceCameraConfig
    from hw.ports import Clock

_MS_PER_S = 1000
_JOIN_S = 5.0


class CameraDevice:
    """Reads as fast as the device gives, hands out the newest frame."""

    def __init__(self, config: DeviceCameraConfig, clock: Clock) -> None:
        """Raises HwConfigError when the source cannot be opened."""
        self._name = config.name
        self._clock = clock
        self._video = cv2.VideoCapture(config.source) if isinstance(config.source, int) else _stream(config)
        if not self._video.isOpened():
            raise HwConfigError(f"camera {config.name}: {config.source} cannot be opened; is it there and free?")
        self._video.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        wishes = (
            (cv2.CAP_PROP_FRAME_WIDTH, config.width_px),
            (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
            (cv2.CAP_PROP_FPS, config.fps),
        )
        for prop, value in wishes:
            if value is not None:
                self._video.set(prop, value)
        self._newest: Frame | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=f"camera-{config.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._name

    def next_frame(self, *, timeout_s: float) -> Frame:
        """As the port says."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended, timeout_s)
            frame, self._newest = self._newest, None
            if frame is not None and not self._ended:
                return frame
            if self._ended:
                raise CameraEndedError(f"camera {self._name}: the device gives no more frames")
        raise CameraStalledError(f"camera {self._name}: no frame within {timeout_s:g} s")

    def close(self) -> None:
        """As the port says."""
        self._end()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _read(self) -> None:
        seq = 0
        while not self._ended:
            got = self._video.grab()
            t_mono_ns = self._clock.mono_ns()
            if got:
                got, bgr = self._video.retrieve()
            if not got:
                break
            rgb = np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)
            with self._changed:
                self._newest = Frame(seq, self._name, t_mono_ns, rgb, 0, 1.0)
                self._changed.notify_all()
            seq += 1
        self._video.release()
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _stream(config: DeviceCameraConfig) -> cv2.VideoCapture:
    timeout_ms = int(config.open_timeout_s * _MS_PER_S)
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    return cv2.VideoCapture(str(config.source), cv2.CAP_ANY, options)

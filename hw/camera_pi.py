"""A Raspberry Pi camera through picamera2, imported only when one is opened.

Traps of the library, kept in one place: its ``RGB888`` is blue first in memory; rows of YUV formats are padded to the
stride; a request must be released or the camera stops; ``SensorTimestamp`` is CLOCK_BOOTTIME, which differs from the
monotonic clock by the time the board slept.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hw.ports import CameraEndedError, CameraStalledError, Frame, HwConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hw.config import PiCameraConfig

_MOST_BUFFERS = 4
_US_PER_S = 1_000_000


def import_picamera2() -> Any:
    """Return the module; raises HwConfigError with what to install."""
    try:
        import picamera2  # noqa: PLC0415 - absent off a Pi
    except ImportError as error:
        raise HwConfigError(
            "camera: picamera2 is missing; on Raspberry Pi OS run: sudo apt-get install python3-picamera2"
        ) from error
    return picamera2


class CameraPi:
    """Frames of the main stream, newest first, with the exposure the sensor really used."""

    def __init__(self, config: PiCameraConfig, module: Any) -> None:
        """``module`` is picamera2.  Raises HwConfigError when the camera cannot be opened as configured."""
        self._config = config
        self._frames: queue.Queue[Frame | None] = queue.Queue(1)
        self._closed = threading.Event()
        self._seq = 0
        self._handing_over = threading.Lock()
        self._boot_offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        try:
            self._camera = module.Picamera2(config.index)
            self._camera.configure(self._camera.create_video_configuration(**_streams(config)))
            self._camera.pre_callback = self._take
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            raise HwConfigError(
                f"camera {config.name}: cannot be opened: {error}; is the cable in place?"
            ) from error

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def next_frame(self, *, timeout_s: float) -> Frame:
        """As the port says."""
        if self._closed.is_set():
            raise CameraEndedError(f"camera {self.name}: closed")
        try:
            frame = self._frames.get(timeout=timeout_s)
        except queue.Empty:
            raise CameraStalledError(f"camera {self.name}: no frame within {timeout_s:g} s") from None
        if frame is None:
            raise CameraEndedError(f"camera {self.name}: closed")
        return frame

    def close(self) -> None:
        """As the port says."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._put(None)
        self._camera.stop()
        self._camera.close()

    def _take(self, request: Any) -> None:
        """Copy one request out; picamera2 calls this in its own thread and releases the request afterwards."""
        if self._closed.is_set():
            return
        metadata = request.get_metadata()
        config = self._config
        lores = None
        if config.lores_width_px is not None:
            lores = _yuv420_to_rgb(request.make_array("lores"), config.lores_width_px, config.lores_height_px or 0)
        frame = Frame(
            seq=self._seq,
            camera=config.name,
            t_mono_ns=self._exposure_start_ns(metadata),
            rgb=_to_rgb(request.make_array("main"), config),
            exposure_us=int(metadata.get("ExposureTime", 0)),
            gain=float(metadata.get("AnalogueGain", 1.0)),
            lores=lores,
        )
        self._seq += 1
        self._put(frame)

    def _exposure_start_ns(self, metadata: dict[str, Any]) -> int:
        stamp = metadata.get("SensorTimestamp")
        return time.monotonic_ns() if stamp is None else int(stamp) - self._boot_offset_ns

    def _put(self, frame: Frame | None) -> None:
        """Keep only the newest; the gap in ``seq`` tells how many went."""
        with self._handing_over:
            with contextlib.suppress(queue.Empty):
                self._frames.get_nowait()
            self._frames.put_nowait(frame)


def _streams(config: PiCameraConfig) -> dict[str, Any]:
    size = (config.width_px, config.height_px)
    # libcamera counts frame durations in microseconds.
    period_us = round(_US_PER_S / config.fps)
    controls: dict[str, Any] = {"FrameDurationLimits": (period_us, period_us)}
    if config.exposure_us is not None:
        controls["ExposureTime"] = config.exposure_us
    if config.gain is not None:
        controls["AnalogueGain"] = config.gain
    streams: dict[str, Any] = {
        "main": {"size": size, "format": config.pixel_format},
        "buffer_count": _MOST_BUFFERS,
        "controls": controls,
    }
    if config.lores_width_px is not None:
        streams["lores"] = {"size": (config.lores_width_px, config.lores_height_px), "format": "YUV420"}
    return streams


def _to_rgb(array: NDArray[np.uint8], config: PiCameraConfig) -> NDArray[np.uint8]:
    if config.pixel_format == "RGB888":
        return np.ascontiguousarray(array[:, : config.width_px, ::-1])
    if config.pixel_format == "NV12":
        return _yuv_to_rgb(array, config.width_px, config.height_px, cv2.COLOR_YUV2RGB_NV12)
    return _yuv420_to_rgb(array, config.width_px, config.height_px)


def _yuv420_to_rgb(array: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    return _yuv_to_rgb(array, width_px, height_px, cv2.COLOR_YUV2RGB_I420)


def _yuv_to_rgb(array: NDArray[np.uint8], width_px: int, height_px: int, code: int) -> NDArray[np.uint8]:
    """Planes with the padding of their stride -> RGB without it."""
    rgb = cv2.cvtColor(array[: height_px * 3 // 2], code)
    return np.ascontiguousarray(rgb[:height_px, :width_px], dtype=np.uint8)

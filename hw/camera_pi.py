"""A Raspberry Pi camera through picamera2, imported only when one is opened.

Traps of the library, kept in one place: its ``RGB888`` is blue first in memory; rows of YUV formats are padded to the
stride; a request must be released or the camera stops, and its buffers are written again afterwards (``make_array``
copies them); ``SensorTimestamp`` is CLOCK_BOOTTIME, which differs from the monotonic clock by the time the board slept.
"""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import structlog

from hw.newest_frame import NewestFrame
from hw.ports import CameraAbsentError, CameraStalledError, Exposure, Frame, HwConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hw.config import PiCameraConfig

_LOG = structlog.get_logger(__name__)
_MAX_BUFFERS = 4
_US_PER_S = 1_000_000
_CONVERSIONS = {
    "RGB888": cv2.COLOR_BGR2RGB,
    "BGR888": None,
    "XRGB8888": cv2.COLOR_BGRA2RGB,
    "XBGR8888": cv2.COLOR_RGBA2RGB,
    "YUV420": cv2.COLOR_YUV2RGB_I420,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
}
"""What turns each format into RGB; None where memory holds it already.  The names of packed formats tell the order in
memory backwards."""
_PLANAR = frozenset({"YUV420", "NV12"})
"""Formats with the brightness first and the colours, half as many rows, below."""


def import_picamera2() -> Any:
    """Return the module; raises HwConfigError with what to install."""
    try:
        import picamera2  # noqa: PLC0415 - absent off a Pi
    except ImportError as error:
        raise HwConfigError(
            "camera: picamera2 is missing; on Raspberry Pi OS run: sudo apt-get install python3-picamera2"
        ) from error
    return picamera2


@dataclass(frozen=True, slots=True)
class Stream:
    """What the pipeline actually delivers; picamera2 may change format and size silently."""

    pixel_format: str
    width_px: int
    height_px: int


class CameraPi:
    """Frames of the main stream, newest first, with the exposure the sensor actually used.

    A camera that delivers nothing within a timeout is closed and reopened, a missing one is retried at
    every call; the caller counts, ends the process when that may help, and systemd goes on from there.
    """

    def __init__(self, config: PiCameraConfig, module: Any) -> None:
        """``module`` is picamera2.  Raises HwConfigError if the camera does not support the configuration."""
        self._config = config
        self._module = module
        self._newest = NewestFrame(config.name)
        self._boot_offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        self._owning = threading.RLock()
        """Held while opening, configuring or closing, never while waiting for a frame."""
        self._exposure: Exposure | None = None
        self._camera: Any = None
        self._main = Stream(config.pixel_format, config.width_px, config.height_px)
        self._lores: Stream | None = None
        self._reopen()

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    @property
    def main(self) -> Stream:
        """The main stream as configured by the pipeline."""
        return self._main

    def next_frame(self, *, timeout_s: float) -> Frame:
        """See the port; after a stall the camera has been reopened."""
        try:
            return self._newest.take(timeout_s=timeout_s)
        except CameraAbsentError:
            self._reopen()
            raise
        except CameraStalledError as stall:
            _LOG.warning("camera_reopened", camera=self.name)
            self._reopen()
            raise CameraStalledError(f"{stall}; reopened") from None

    @property
    def _has_own_way(self) -> bool:
        config = self._config
        return config.exposure_us is not None or config.gain is not None or config.metering == "pipeline"

    def expose(self, exposure: Exposure) -> None:
        """See the port; a camera with a fixed exposure keeps it."""
        if self._has_own_way or exposure == self._exposure:
            return
        with self._owning:
            if self._camera is None:
                return
            self._exposure = exposure
            self._camera.set_controls(
                {"AeEnable": False, "ExposureTime": exposure.exposure_us, "AnalogueGain": exposure.gain}
            )

    def close(self) -> None:
        """See the port."""
        self._newest.end()
        with self._owning:
            self._release()

    def _open(self) -> None:
        config = self._config
        try:
            self._camera = self._module.Picamera2(config.index)
            self._camera.configure(self._camera.create_video_configuration(**_streams(config)))
            granted = self._camera.camera_configuration()
            self._main = _granted(granted, "main", config.name)
            self._lores = None if config.lores_width_px is None else _granted(granted, "lores", config.name)
            self._camera.pre_callback = self._take
            self._camera.start()
        except HwConfigError:
            self._release()
            raise
        except (RuntimeError, IndexError, OSError) as error:
            self._release()
            self._newest.absent(f"cannot be opened: {error}; check the cable, and that no other program uses it")
            return
        self._newest.there()
        wanted = Stream(config.pixel_format, config.width_px, config.height_px)
        if self._main != wanted:
            _LOG.warning("camera_adjusted", camera=config.name, wanted=str(wanted), granted=str(self._main))

    def _release(self) -> None:
        """Can be called twice: a camera may be closed while it is being reopened."""
        if self._camera is None:
            return
        self._camera.stop()
        self._camera.close()
        self._camera.pre_callback = None
        # picamera2's objects hold each other, and with them buffers and files: not to be left to chance.
        self._camera = None
        gc.collect()

    def _reopen(self) -> None:
        """Release if open, then open; a missing camera stays absent."""
        with self._owning:
            if self._newest.ended.is_set():
                return
            self._release()
            self._exposure = None
            self._open()

    def _take(self, request: Any) -> None:
        """Copy one request out; picamera2 calls this in its own thread and releases the request afterwards.

        Its colours are converted when the frame is taken.
        """
        if self._newest.ended.is_set():
            return
        metadata = request.get_metadata()
        seq = self._newest.next_seq()
        t_mono_ns = self._exposure_start_ns(metadata)
        main, main_stream = request.make_array("main"), self._main
        small = None if self._lores is None else (request.make_array("lores"), self._lores)

        def make() -> Frame:
            return Frame(
                seq=seq,
                camera=self._config.name,
                t_mono_ns=t_mono_ns,
                rgb=_to_rgb(main, main_stream),
                exposure_us=int(metadata.get("ExposureTime", 0)),
                gain=float(metadata.get("AnalogueGain", 1.0)),
                lores=None if small is None else _to_rgb(*small),
            )

        self._newest.put(make)

    def _exposure_start_ns(self, metadata: dict[str, Any]) -> int:
        """The pipeline's timestamp; if missing or 0, the time of arrival."""
        stamp = int(metadata.get("SensorTimestamp") or 0)
        return stamp - self._boot_offset_ns if stamp else time.monotonic_ns()


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
        "buffer_count": _MAX_BUFFERS,
        "controls": controls,
    }
    if config.lores_width_px is not None:
        streams["lores"] = {"size": (config.lores_width_px, config.lores_height_px), "format": "YUV420"}
    return streams


def _granted(configuration: dict[str, Any], name: str, camera: str) -> Stream:
    """Read back the pipeline's configuration; raises HwConfigError for an unsupported format."""
    stream = configuration[name]
    pixel_format = str(stream["format"])
    if pixel_format not in _CONVERSIONS:
        known = ", ".join(_CONVERSIONS)
        raise HwConfigError(f"camera {camera}: the pipeline delivers {pixel_format}; supported are {known}")
    width_px, height_px = stream["size"]
    return Stream(pixel_format, int(width_px), int(height_px))


def _to_rgb(array: NDArray[np.uint8], stream: Stream) -> NDArray[np.uint8]:
    """Convert a frame to RGB without row padding."""
    conversion = _CONVERSIONS[stream.pixel_format]
    if stream.pixel_format in _PLANAR:
        array = array[: stream.height_px * 3 // 2]
    else:
        array = array[: stream.height_px, : stream.width_px]
    rgb = array if conversion is None else cv2.cvtColor(array, conversion)
    return np.ascontiguousarray(rgb[: stream.height_px, : stream.width_px], dtype=np.uint8)

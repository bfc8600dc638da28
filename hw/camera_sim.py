"""A camera that plays the frames of a drive."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from hw.clock import NS_PER_S, wait
from hw.ports import CameraEndedError, CameraStalledError
from hw.timeline import DrivePictures, FrameEvent, scripted_timeline

if TYPE_CHECKING:
    from hw.drive_format import Drive
    from hw.ports import Clock, Frame


class CameraSim:
    """Frames of a drive at their times; late ones are lost, as are those during ``camera.stall``."""

    def __init__(
        self, drive: Drive, clock: Clock, *, name: str | None = None, origin_ns: int | None = None
    ) -> None:
        """``origin_ns`` is t = 0 of the drive on ``clock``; if omitted, now."""
        self._name = name or drive.header.camera.name
        self._clock = clock
        self._pictures = DrivePictures(drive)
        self._closed = threading.Event()
        start = clock.mono_ns() if origin_ns is None else origin_ns
        self._frames = [e for e in scripted_timeline(drive, origin_ns=start) if isinstance(e, FrameEvent)]
        self._next = 0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._name

    def next_frame(self, *, timeout_s: float) -> Frame:
        """See the port."""
        deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            event = self._next_event(deadline_ns, timeout_s)
            frame = self._pictures.frame(event.row, t_mono_ns=event.t_mono_ns)
            # An undecodable picture counts as a lost frame.
            if frame is not None:
                # The drive knows the camera that recorded it; here it may play another.
                return replace(frame, camera=self._name)

    def _next_event(self, deadline_ns: int, timeout_s: float) -> FrameEvent:
        """The newest frame that is due; waits until the deadline."""
        if not self._closed.is_set() and self._next < len(self._frames):
            self._sleep_until(min(self._frames[self._next].t_mono_ns, deadline_ns))
        if self._closed.is_set() or self._next >= len(self._frames):
            raise CameraEndedError(f"camera {self._name}: end of the drive")
        now_ns = self._clock.mono_ns()
        if self._frames[self._next].t_mono_ns > now_ns:
            raise CameraStalledError(f"camera {self._name}: no frame within {timeout_s:g} s")
        while self._next + 1 < len(self._frames) and self._frames[self._next + 1].t_mono_ns <= now_ns:
            self._next += 1
        event = self._frames[self._next]
        self._next += 1
        return event

    def close(self) -> None:
        """See the port."""
        self._closed.set()

    def _sleep_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock.mono_ns()) > 0 and not self._closed.is_set():
            wait(self._clock, self._closed, left_ns / NS_PER_S)

"""The one place between the thread that takes pictures and the one that wants frames: only the newest stays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hw.ports import CameraAbsentError, CameraEndedError, CameraStalledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hw.ports import Frame


class NewestFrame:
    """Common part of all live cameras: frame numbers continue after reopening, timeouts, final close.

    Any thread may call.
    """

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._changed = threading.Condition()
        self._make: Callable[[], Frame] | None = None
        self._absent: str | None = None
        self._ended = threading.Event()
        self._seq = 0

    @property
    def ended(self) -> threading.Event:
        """Set permanently by ``end``."""
        return self._ended

    def next_seq(self) -> int:
        """The number of the next frame; used by the thread that takes the pictures."""
        seq, self._seq = self._seq, self._seq + 1
        return seq

    def put(self, make: Callable[[], Frame]) -> None:
        """Hand over what makes the frame; a frame nobody took in time is gone, and the gap in ``seq`` says so.

        ``make`` is called once, in the thread that takes the frame, and never for a frame that is overwritten: the
        camera's thread converts nothing in vain.  It must not use a buffer that the camera writes again.
        """
        with self._changed:
            self._make, self._absent = make, None
            self._changed.notify_all()

    def absent(self, reason: str) -> None:
        """Mark the camera as missing, until ``there`` is called or a frame arrives."""
        with self._changed:
            self._absent = reason

    def there(self) -> None:
        """Mark the camera as open; frames may still be missing."""
        with self._changed:
            self._absent = None

    def end(self) -> None:
        """No more frames will be accepted."""
        self._ended.set()
        with self._changed:
            self._changed.notify_all()

    def take(self, *, timeout_s: float) -> Frame:
        """Return the newest frame not taken before.

        Raises CameraStalledError if none arrives in time (CameraAbsentError if the camera is missing),
        CameraEndedError after ``end``.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._make is not None or self._ended.is_set(), timeout_s)
            make, self._make = self._make, None
            absent = self._absent
        if self._ended.is_set():
            raise CameraEndedError(f"camera {self._camera}: closed")
        if make is not None:
            return make()
        if absent is not None:
            raise CameraAbsentError(f"camera {self._camera}: {absent}")
        raise CameraStalledError(f"camera {self._camera}: no frame within {timeout_s:g} s")

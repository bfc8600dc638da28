"""Bounds what strangers can have done at once: each takes a thread, and the pages of other people need some, too."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from station.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Places:
    """Places for log-ins."""

    def __init__(self, at_once: int) -> None:
        self._free = threading.BoundedSemaphore(at_once)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a place for one log-in; raises BusyError if there is none."""
        if not self._free.acquire(blocking=False):
            raise BusyError("many log in at this moment: try again in a few seconds")
        try:
            yield
        finally:
            self._free.release()

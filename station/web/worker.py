"""Does what waits, such as approved exports, in a thread, one after the other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from station.errors import StationError
from station.outage_log import OutageLog
from station.web.search_body import SearchBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.query import ReadSearch

_LOOK_S = 5.0
_JOIN_S = 10.0


class Worker:
    """Between ``start`` and ``close``; what another process left is found within seconds."""

    def __init__(self, name: str, run_next: Callable[[], bool]) -> None:
        """``run_next`` does what waits longest; it returns False if nothing waits."""
        self._run_next = run_next
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._outage = OutageLog(structlog.get_logger(), f"{name}_failed", f"{name}_work_again")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now: something waits."""
        self._wake.set()

    def close(self) -> None:
        """End after what is being done."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                while not self._closing.is_set() and self._run_next():
                    pass
                self._outage.worked()
            except StationError as error:
                # Every few seconds, as long as the database is away.
                self._outage.failed(str(error))
            except Exception as error:  # noqa: BLE001 - what failed says so; what comes after it must be done
                # Without its message, which may quote a plate.
                self._outage.failed(type(error).__name__)
            self._wake.wait(_LOOK_S)
            self._wake.clear()


def search_of(body: str) -> ReadSearch:
    """Return what a kept search looks for."""
    return SearchBody.model_validate_json(body).to_search()

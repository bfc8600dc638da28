"""Makes approved exports in a thread, one after the other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from station.errors import StationError
from station.outage_log import OutageLog
from station.web.search_body import SearchBody

if TYPE_CHECKING:
    from station.query import ReadSearch
    from station.query.bulk import Exports

_LOOK_S = 5.0
_JOIN_S = 10.0


class ExportWorker:
    """Between ``start`` and ``close``; another process's requests are found within seconds."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="exports", daemon=True)
        self._outage = OutageLog(structlog.get_logger(), "exports_failed", "exports_work_again")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now: something was approved."""
        self._wake.set()

    def close(self) -> None:
        """End after the present request."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                while not self._closing.is_set() and self._exports.run_next(search_of):
                    pass
                self._outage.worked()
            except StationError as error:
                # Every few seconds, as long as the database is away.
                self._outage.failed(str(error))
            except Exception as error:  # noqa: BLE001 - the request has failed and says so; the next ones must be made
                # Without its message, which may quote a plate.
                self._outage.failed(type(error).__name__)
            self._wake.wait(_LOOK_S)
            self._wake.clear()


def search_of(body: str) -> ReadSearch:
    """Return what a kept search looks for."""
    return SearchBody.model_validate_json(body).to_search()

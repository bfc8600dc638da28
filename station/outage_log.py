"""Logs a failure that repeats once when it begins, and once with its count when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class OutageLog:
    """One kind of failure; used by one thread."""

    def __init__(self, log: FilteringBoundLogger, began: str, ended: str) -> None:
        """``began`` and ``ended`` are the events."""
        self._log = log
        self._began = began
        self._ended = ended
        self._failures = 0
        self._messages = 0

    def failed(self, reason: str, *, messages: int = 0) -> None:
        """It failed, with so many messages that units will send again."""
        if not self._failures:
            self._log.error(self._began, reason=reason)
        self._failures += 1
        self._messages += messages

    def worked(self) -> None:
        """It worked."""
        if self._failures:
            self._log.warning(self._ended, failures=self._failures, messages=self._messages)
        self._failures = self._messages = 0

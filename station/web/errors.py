"""Requests that are not answered with a page."""

from __future__ import annotations

from station.errors import StationError


class RefusedError(StationError):
    """A request that is answered with a status, a code for programs, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class LogInNeededError(RefusedError):
    """Nobody is logged in."""

    def __init__(self) -> None:
        super().__init__(401, "log_in", "log in, or send a token")


class PurposeNeededError(RefusedError):
    """A look-up without purpose and case number."""

    def __init__(self) -> None:
        super().__init__(403, "purpose", "give a purpose and a case number first")

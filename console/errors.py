"""Errors of the console."""

from __future__ import annotations

from protocol.errors import PatrolError


class ConsoleError(PatrolError):
    """Root of the console's errors."""


class ConsoleConfigError(ConsoleError):
    """The console cannot be started with these options."""


class FeedError(ConsoleError):
    """The feed sent something that is not a document of it, or documents were lost: connect again."""


class AgentUnavailableError(ConsoleError):
    """The agent's command socket does not answer."""


class CommandRefusedError(ConsoleError):
    """The agent refused a command."""

    def __init__(self, code: str, message: str, wait_s: int | None = None) -> None:
        """``code`` is for programs, ``message`` says what to do, ``wait_s`` when the same can be sent again."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.wait_s = wait_s

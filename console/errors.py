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

    def __init__(self, code: str, message: str) -> None:
        """``code`` is for programs, ``message`` says what to do."""
        super().__init__(message)
        self.code = code
        self.message = message

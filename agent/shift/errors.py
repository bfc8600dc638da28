"""The error of this package: a refusal with a code for programs and a message for the officer."""

from __future__ import annotations

from agent.errors import AgentError


class ShiftError(AgentError):
    """What was asked for is refused; nothing has changed, except that an attempt to sign on is counted."""

    def __init__(self, code: str, message: str, *, wait_s: int | None = None) -> None:
        """``wait_s``: seconds after which the same can be asked for again, where that is known."""
        super().__init__(message)
        self.code = code
        self.wait_s = wait_s

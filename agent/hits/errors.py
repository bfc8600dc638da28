"""Why a command about a hit is refused."""

from __future__ import annotations

from agent.errors import AgentError


class HitRefusedError(AgentError, ValueError):
    """A command about a hit is not carried out: a code for programs, and a message that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

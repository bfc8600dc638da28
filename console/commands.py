"""Sends commands to the agent: one connection each, so that a slow command delays no other."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

from console.errors import AgentUnavailableError, CommandRefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from console.state import Document

MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""A picture in base64 is the longest."""
TIMEOUT_S = 5.0
MAX_AT_ONCE = 4


class Commander:
    """Client of the command socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = itertools.count(1)
        self._places = asyncio.Semaphore(MAX_AT_ONCE)

    async def send(self, verb: str, session: str | None = None, **arguments: Any) -> Document:
        """Return the agent's answer.  Raises CommandRefusedError, and AgentUnavailableError if there is no answer."""
        request = {**arguments, "id": next(self._ids), "verb": verb}
        if session is not None:
            request["session"] = session
        async with self._places:
            try:
                line = await asyncio.wait_for(self._ask(request), TIMEOUT_S)
            except (OSError, TimeoutError, ValueError) as error:
                raise AgentUnavailableError(f"the agent does not answer: {str(error) or 'too slow'}") from error
        return _result(line)

    async def _ask(self, request: Document) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_ANSWER_BYTES)
        try:
            writer.write(json.dumps(request, separators=(",", ":")).encode() + b"\n")
            await writer.drain()
            return await reader.readline()
        finally:
            writer.close()


def _result(line: bytes) -> Document:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "ok" not in answer:
        raise AgentUnavailableError("the agent closed the connection without an answer")
    if answer["ok"] is not True:
        wait_s = answer.get("wait_s")
        code, message = (str(answer.get(key) or "refused") for key in ("error", "message"))
        raise CommandRefusedError(code, message, wait_s if isinstance(wait_s, int) else None)
    return answer

"""Commands of the page, as they arrive: of one of our browsers, from our page, once, small, and JSON."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

from console.errors import ConsoleError
from console.guard import BodyTooLargeError

if TYPE_CHECKING:
    from starlette.requests import Request

    from console.sessions import BrowserSession
    from console.state import Document

BODY_S = 10.0
"""Time to send a body of a few kilobytes on the same machine or table."""
_REQUEST_ID = re.compile(r"[0-9a-f-]{16,36}")


class RefusedError(ConsoleError):
    """A request that is answered with a status, a code for the page, a message, and where known the seconds to wait."""

    def __init__(self, status: int, code: str, message: str, wait_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.wait_s = wait_s


async def read_request(request: Request, session: BrowserSession | None) -> tuple[BrowserSession, Document]:
    """Return session and object of a request of our own page; raises RefusedError."""
    if session is None:
        raise RefusedError(401, "no_session", "load the page again")
    if not session.has_token(request.headers.get("x-csrf-token", "")):
        raise RefusedError(403, "forged", "load the page again")
    request_id = request.headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        raise RefusedError(400, "no_request_id", "load the page again")
    document = await _document(request)
    if not session.is_new_request(request_id):
        raise RefusedError(409, "replayed", "this request was sent before")
    return session, document


async def _document(request: Request) -> Document:
    try:
        document = json.loads(await asyncio.wait_for(request.body(), BODY_S))
    except BodyTooLargeError as error:
        raise RefusedError(413, "too_large", "too much text") from error
    except TimeoutError as error:
        raise RefusedError(408, "too_slow", "the request did not arrive in time") from error
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RefusedError(400, "malformed", "expected a JSON object")
    return document

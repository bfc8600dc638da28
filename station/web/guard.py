"""What every request must pass before a route sees it, and the headers of every answer."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from protocol import http_page
from protocol.http_page import OWN_SITES, SAFE_METHODS, BoundedBody, is_length_within, with_headers
from station.web.paths import API

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
HEADERS = {
    **http_page.HEADERS,
    # Not no-referrer: a browser would send forms with "Origin: null" then.
    "referrer-policy": "same-origin",
}
_HTTPS_HEADERS = {**HEADERS, "strict-transport-security": "max-age=31536000"}
_DEFAULTS = {"content-security-policy": CSP, "cache-control": "no-store"}
"""A page may widen the policy for itself, such as the map for its worker."""
_METHODS = frozenset({*SAFE_METHODS, "POST", "DELETE"})


class Guard:
    """ASGI middleware: host, origin and size; strict headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        scheme: str,
        body_limits: Mapping[str, int],
        may_send: Callable[[Request], bool],
    ) -> None:
        """``body_limits`` has the paths whose bodies may be larger than others', from whom ``may_send`` says."""
        self._app = app
        self._hosts = hosts
        self._scheme = scheme
        self._limits = body_limits
        self._may_send = may_send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        send = with_headers(send, _HTTPS_HEADERS if self._scheme == "https" else HEADERS, _DEFAULTS)
        limit = self._limits.get(scope["path"], MAX_BODY_BYTES)
        # A body is read before a route sees the request: who may not use it must not fill the disk with it.
        if limit > MAX_BODY_BYTES and not await run_in_threadpool(self._may_send, Request(scope)):
            limit = MAX_BODY_BYTES
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers, sum(map(len, chain(*scope["headers"]))), limit)
        if refusal is not None:
            await _answer(scope["path"], *refusal)(scope, receive, send)
            return
        await self._app(scope, BoundedBody(receive, limit, BodyTooLargeError), send)

    def _refusal(self, method: str, headers: Headers, header_bytes: int, limit: int) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        length = headers.get("content-length", "0")
        # A program sends no origin; it sends no cookie either, see `visit`.
        is_foreign = method not in SAFE_METHODS and origin not in {None, f"{self._scheme}://{host}"}
        checks = (
            (method not in _METHODS, 405, "method not allowed"),
            (header_bytes > MAX_HEADER_BYTES, 431, f"at most {MAX_HEADER_BYTES} bytes of headers"),
            (host not in self._hosts, 421, "unknown host"),
            (not _is_own(method, headers), 403, "request of another site"),
            (not is_length_within(length, limit), 413, f"at most {limit} bytes"),
            (is_foreign, 403, "request of another origin"),
        )
        return next(((status, why) for failed, status, why in checks if failed), None)


def _answer(path: str, status: int, why: str) -> Response:
    """As a route answers an error: JSON for programs."""
    if path.startswith(API):
        return JSONResponse({"code": "http", "message": why}, status)
    return PlainTextResponse(why, status)


def _is_own(method: str, headers: Headers) -> bool:
    """True for our pages, programs, and links on other sites: the strict cookie is not sent with those."""
    if headers.get("sec-fetch-site", "") in OWN_SITES:
        return True
    is_page = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return method in SAFE_METHODS and is_page


class BodyTooLargeError(HTTPException):
    """A body without a declared length went over the limit; FastAPI passes this kind of error on."""

    def __init__(self) -> None:
        super().__init__(413, "the request is too large")

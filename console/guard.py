"""What every request must pass before a route sees it, and the headers of every answer."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from console.metrics import ConsoleCounts
    from console.sessions import RateLimit

MAX_BODY_BYTES = 16 * 1024
MAX_HEADER_BYTES = 16 * 1024
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
}
_SAFE = frozenset({"GET", "HEAD"})
_OWN_SITES = frozenset({"same-origin", "none", ""})
"""Values of Sec-Fetch-Site: a request of our page, one that a person typed, one of an old browser."""


class Guard:
    """ASGI middleware: host, origin, size and rate; strict headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        scheme: str,
        limit: RateLimit,
        now_s: Callable[[], float],
        counts: ConsoleCounts,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._scheme = scheme
        self._limit = limit
        self._now_s = now_s
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope), sum(map(len, chain(*scope["headers"]))))
        if refusal is not None:
            self._counts.refused += 1
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send_with_headers)
            return
        self._counts.requests += 1
        await self._app(scope, _Bounded(receive), send_with_headers)

    def _refusal(self, method: str, headers: Headers, header_bytes: int) -> tuple[int, str] | None:
        if header_bytes > MAX_HEADER_BYTES:
            return 431, f"at most {MAX_HEADER_BYTES} bytes of headers"
        if not self._limit.take(self._now_s()):
            return 429, "too many requests"
        host = headers.get("host", "")
        if host not in self._hosts:
            return 421, "unknown host"
        if headers.get("sec-fetch-site", "") not in _OWN_SITES:
            return 403, "request of another site"
        return None if method in _SAFE else _refusal_of_body(headers, f"{self._scheme}://{host}")


def _refusal_of_body(headers: Headers, own_origin: str) -> tuple[int, str] | None:
    if headers.get("origin") != own_origin:
        return 403, "request of another origin"
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return 415, "expected application/json"
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return 413, f"at most {MAX_BODY_BYTES} bytes"
    return None


class BodyTooLargeError(Exception):
    """A body without a declared length went over the limit."""


class _Bounded:
    """Counts what arrives: a body can be sent in chunks without a length."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > MAX_BODY_BYTES:
            raise BodyTooLargeError
        return message

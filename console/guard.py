"""What every request must pass before a route sees it, and the headers of every answer."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from protocol import http_page
from protocol.http_page import OWN_SITES, SAFE_METHODS, BoundedBody, is_length_within, with_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from console.metrics import ConsoleCounts
    from console.sessions import RateLimit, RateLimits

MAX_BODY_BYTES = 16 * 1024
MAX_HEADER_BYTES = 16 * 1024
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    **http_page.HEADERS,
    "content-security-policy": CSP,
    "referrer-policy": "no-referrer",
    "cross-origin-embedder-policy": "require-corp",
}


class Guard:
    """ASGI middleware: host, origin, size and rate; strict headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        scheme: str,
        limits: RateLimits,
        now_s: Callable[[], float],
        counts: ConsoleCounts,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._scheme = scheme
        self._limits = limits
        self._now_s = now_s
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        send = with_headers(send, HEADERS, {"cache-control": "no-store"})
        header_bytes = sum(map(len, chain(*scope["headers"])))
        limit = self._limits.of((scope.get("client") or ("",))[0])
        refusal = self._refusal(scope["method"], Headers(scope=scope), header_bytes, limit)
        if refusal is not None:
            self._counts.refused += 1
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
            return
        self._counts.requests += 1
        await self._app(scope, BoundedBody(receive, MAX_BODY_BYTES, BodyTooLargeError), send)

    def _refusal(
        self, method: str, headers: Headers, header_bytes: int, limit: RateLimit
    ) -> tuple[int, str] | None:
        if header_bytes > MAX_HEADER_BYTES:
            return 431, f"at most {MAX_HEADER_BYTES} bytes of headers"
        if not limit.take(self._now_s()):
            return 429, "too many requests"
        host = headers.get("host", "")
        if host not in self._hosts:
            return 421, "unknown host"
        if headers.get("sec-fetch-site", "") not in OWN_SITES:
            return 403, "request of another site"
        return None if method in SAFE_METHODS else _refusal_of_body(headers, f"{self._scheme}://{host}")


def _refusal_of_body(headers: Headers, own_origin: str) -> tuple[int, str] | None:
    if headers.get("origin") != own_origin:
        return 403, "request of another origin"
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return 415, "expected application/json"
    if not is_length_within(headers.get("content-length", "0"), MAX_BODY_BYTES):
        return 413, f"at most {MAX_BODY_BYTES} bytes"
    return None


class BodyTooLargeError(Exception):
    """A body without a declared length went over the limit."""

"""What the console and the station's pages have in common: the server's settings, headers, and bounds on bodies."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from starlette.datastructures import MutableHeaders

from protocol.http_limits import LOOP, BoundedHttp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.types import Message, Receive, Send

SAFE_METHODS = frozenset({"GET", "HEAD"})
OWN_SITES = frozenset({"same-origin", "none", ""})
"""Values of Sec-Fetch-Site: a request of our page, one that a person typed, one of a program or an old browser."""
HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
}
"""Of every answer."""
_MAX_DIGITS = 12


def server_config(
    app: Any,
    *,
    max_connections: int,
    stop_s: int,
    lifespan: Literal["on", "off"],
    tls_cert: Path | None,
    tls_key: Path | None,
) -> uvicorn.Config:
    """Return the settings of a server that logs no address, names no version and waits for nobody.

    Raises OSError (ssl.SSLError among them) if the certificate cannot be used.
    """
    made = uvicorn.Config(
        app,
        access_log=False,  # addresses name reads
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        http=BoundedHttp,
        ws="none",
        loop=LOOP,
        lifespan=lifespan,
        limit_concurrency=max_connections,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=stop_s,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )
    made.load()
    if made.ssl is not None:
        made.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def with_headers(send: Send, headers: Mapping[str, str], defaults: Mapping[str, str]) -> Send:
    """Return what sends an answer with headers; ``defaults`` are those that it may set itself."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = MutableHeaders(scope=message)
            own.update(headers)
            for name, value in defaults.items():
                own.setdefault(name, value)
        await send(message)

    return send_with_headers


def is_length_within(length: str, limit: int) -> bool:
    """True if a Content-Length is a number up to ``limit``; one with thousands of digits is none."""
    return length.isdecimal() and len(length) < _MAX_DIGITS and int(length) <= limit


class BoundedBody:
    """Counts what arrives: a body can be sent in chunks without a length."""

    def __init__(self, receive: Receive, limit: int, too_large: Callable[[], Exception]) -> None:
        """Raises what ``too_large`` makes, when more than ``limit`` bytes have come."""
        self._receive = receive
        self._limit = limit
        self._too_large = too_large
        self._bytes = 0

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            raise self._too_large()
        return message

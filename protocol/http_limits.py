"""Bounds on connections to our pages, for uvicorn: their number, and how slowly a request may arrive or be answered.

Uvicorn itself waits for a request without end, and counts connections only when one has come.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

GRACE_S = 10.0
MIN_BYTES_PER_S = 4096
"""A request may take ``GRACE_S``, and more for each byte that came: a large file on a slow link is no attack."""
MAX_STALL_S = 60.0
"""In which a receiver that is behind must take some of its answer."""
HANDSHAKE_S = 10.0
LOOP = f"{__name__}:ServingLoop"
"""For uvicorn's ``loop``."""
_AWAITED = frozenset({h11.IDLE, h11.SEND_BODY})


class BoundedListener(socket.socket):
    """A listening socket that closes at once what comes while ``max_open`` connections are open.

    It counts those whose TLS handshake is not finished, too, which uvicorn does not know yet.
    """

    def __init__(self, family: int, kind: int, number: int = 0, *, max_open: int) -> None:
        super().__init__(family, kind, number)
        self._max_open = max_open
        self._opened: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError, which asyncio takes for a client that went away."""
        self._opened = [one for one in self._opened if one.fileno() >= 0]
        made, address = super().accept()
        if len(self._opened) >= self._max_open:
            made.close()
            raise ConnectionAbortedError
        self._opened.append(made)
        return made, address


class ServingLoop(asyncio.SelectorEventLoop):
    """Ends a TLS handshake after ``HANDSHAKE_S``, of which uvicorn has no setting."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """As asyncio's."""
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", HANDSHAKE_S)
            options.setdefault("ssl_shutdown_timeout", HANDSHAKE_S)
        return await super().create_server(*args, **options)


class BoundedHttp(H11Protocol):
    """One connection.  When they are too many, the one that waits longest for its request makes room for a new one."""

    waits_since_s: float | None = None
    """On the loop's clock; None while a request is being answered."""
    _begun_s = 0.0
    _bytes = 0
    _arrival: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        if self.limit_concurrency is not None and len(self.connections) + 1 >= self.limit_concurrency:
            self._make_room()
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self._arrival is None and self.conn.their_state is h11.IDLE:
            self._await_request()
        self._bytes += len(data)
        super().data_received(data)
        if self.conn.their_state not in _AWAITED:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn ends an idle connection."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._stall = self._stall or self.loop.call_later(MAX_STALL_S, self.transport.abort)
        elif self.conn.their_state is h11.IDLE:
            self._stop_waiting()
            self.waits_since_s = self.loop.time()
            if self.conn.trailing_data[0]:
                self._await_request()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also if its answer was not taken."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """The receiver is behind."""
        super().pause_writing()
        self._stall = self._stall or self.loop.call_later(MAX_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The receiver took some of the answer."""
        super().resume_writing()
        self._stop_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_stall()

    def _await_request(self) -> None:
        self._begun_s, self._bytes = self.loop.time(), 0
        self.waits_since_s = self._begun_s
        self._arrival = self.loop.call_later(GRACE_S, self._look_at_arrival)

    def _look_at_arrival(self) -> None:
        now_s = self.loop.time()
        if self.flow.read_paused:  # what came is not taken yet: that is ours to answer for
            self._begun_s, self._bytes = now_s, 0
        left_s = self._begun_s + GRACE_S + self._bytes / MIN_BYTES_PER_S - now_s
        if left_s > 0:
            self._arrival = self.loop.call_later(left_s, self._look_at_arrival)
        else:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        self.waits_since_s = None
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _make_room(self) -> None:
        waiting = [
            (one.waits_since_s, one)
            for one in self.connections
            if isinstance(one, BoundedHttp) and one.waits_since_s is not None and not one.transport.is_closing()
        ]
        if waiting:
            min(waiting, key=lambda pair: pair[0])[1].transport.abort()

"""One HTTPS request that ends in time: a peer that sends a byte at a time holds nobody longer than a silent one.

``http.client`` limits each read alone, so an answer that drips never ends.
"""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ANSWER_BYTES = 64 * 1024
"""With the headers; nobody reads more than the status."""


class BoundedConnection(http.client.HTTPSConnection):
    """A connection that exists for ``total_s`` from its making, and takes ``MAX_ANSWER_BYTES``."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        total_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host, port, context=tls)
        self._tls = tls
        self._bounds = _Bounds(monotonic_s() + total_s, monotonic_s)

    def connect(self) -> None:
        """Try each address while time is left.  Raises OSError."""
        plain = self._open()
        try:
            plain.settimeout(self._bounds.left_s())
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        if isinstance(self.sock, _BoundedSocket):
            self.sock.bounds = self._bounds

    def _open(self) -> socket.socket:
        reason = OSError("the name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM
        ):
            one = socket.socket(family, kind, protocol)
            try:
                one.settimeout(self._bounds.left_s())
                one.connect(address)
            except OSError as error:
                one.close()
                reason = error
            else:
                return one
        raise reason


def bounded_context(cafile: str | None) -> ssl.SSLContext:
    """As the usual one, for :class:`BoundedConnection`.  Raises OSError for authorities that cannot be read."""
    made = ssl.create_default_context(cafile=cafile)
    made.sslsocket_class = _BoundedSocket
    return made


class _Bounds:
    """What is left of one connection."""

    def __init__(self, end_s: float, monotonic_s: Callable[[], float]) -> None:
        self._end_s = end_s
        self._monotonic_s = monotonic_s
        self._bytes_left = MAX_ANSWER_BYTES

    def left_s(self) -> float:
        """Raises TimeoutError if no time is left."""
        left_s = self._end_s - self._monotonic_s()
        if left_s <= 0:
            raise TimeoutError("timed out: the answer takes too long")
        return left_s

    def take(self, count: int) -> None:
        """Raises OSError for an answer without an end."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise OSError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")


class _BoundedSocket(ssl.SSLSocket):
    """Each read and write gets the time that is left of the whole."""

    bounds = _Bounds(math.inf, lambda: 0.0)
    """Of the handshake, whose time is bounded as one operation."""

    def recv_into(self, *args: Any, **options: Any) -> int:
        self.settimeout(self.bounds.left_s())
        count = super().recv_into(*args, **options)
        self.bounds.take(count)
        return count

    def send(self, *args: Any, **options: Any) -> int:
        self.settimeout(self.bounds.left_s())
        return super().send(*args, **options)

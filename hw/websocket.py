"""Opens a WebSocket for paho, in bounded time and with a bounded answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import _WebsocketWrapper

if TYPE_CHECKING:
    import socket

MAX_ANSWER_BYTES = 16 * 1024


def open_websocket(
    sock: socket.socket, host: str, port: int, path: str, *, is_tls: bool, total_s: float
) -> _WebsocketWrapper:
    """Shake hands on a connection.  Raises OSError for a peer that refuses, or does not do so within ``total_s``."""
    handshake: Any = _Handshake(sock, time.monotonic() + total_s)
    try:
        opened = _WebsocketWrapper(handshake, host, port, is_tls, path, None)
    except (IndexError, UnicodeDecodeError) as error:
        raise ConnectionError(f"no WebSockets at {path}: the answer is not one of HTTP") from error
    except ConnectionError as error:
        raise ConnectionError(f"no WebSockets at {path}: {handshake.status or error}") from error
    opened._socket = sock  # noqa: SLF001 - paho has no other way
    return opened


class _Handshake:
    """The connection until both have agreed: paho reads from it byte by byte."""

    def __init__(self, sock: socket.socket, end_s: float) -> None:
        self._sock = sock
        self._end_s = end_s
        self._answer = bytearray()

    @property
    def status(self) -> str:
        """First line of the answer, such as ``HTTP/1.1 403 Forbidden``."""
        line = bytes(self._answer[:80]).partition(b"\r\n")[0]
        return line.decode("ascii", "replace") if line.startswith(b"HTTP/") else ""

    def send(self, data: bytes) -> int:
        """Send all of it."""
        self._sock.settimeout(self._left_s())
        self._sock.sendall(data)
        return len(data)

    def recv(self, count: int) -> bytes:
        """Receive.  Raises TimeoutError, and ConnectionError for an answer without an end."""
        self._sock.settimeout(self._left_s())
        data = self._sock.recv(count)
        self._answer += data
        if len(self._answer) > MAX_ANSWER_BYTES:
            raise ConnectionError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        return data

    def _left_s(self) -> float:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the peer has not agreed to WebSockets in time")
        return left_s

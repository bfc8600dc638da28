"""One client of a local socket, with a bounded queue of data to send."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_READ_BYTES = 4096


class LocalClient:
    """A non-blocking connection.  Used by the server's thread."""

    def __init__(self, connection: socket.socket, *, max_waiting_bytes: int) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._max_bytes = max_waiting_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0

    @property
    def has_waiting(self) -> bool:
        """True while data is queued."""
        return bool(self._lines)

    def offer(self, line: bytes) -> bool:
        """Send or queue a line; False if the client is gone or its queue is full."""
        self._lines.append(line)
        self._waiting_bytes += len(line)
        return self.send() and self._waiting_bytes <= self._max_bytes

    def send(self) -> bool:
        """Send as much as the socket accepts; False if the client is gone."""
        while self._lines:
            try:
                sent = self.connection.send(self._lines[0])
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._waiting_bytes -= sent
            if sent < len(self._lines[0]):
                self._lines[0] = self._lines[0][sent:]
            else:
                self._lines.popleft()
        return True

    def receive(self) -> bytes | None:
        """Return data that the client sent, empty if there is none; None if the client is gone."""
        try:
            return self.connection.recv(_READ_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

"""The receiver of a car that already runs gpsd: its raw sentences, over gpsd's own socket."""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

from hw.clock import NS_PER_S
from hw.gnss_serial import LineAssembler
from hw.ports import GnssLostError, NmeaLine

if TYPE_CHECKING:
    from hw.ports import Clock

_WATCH = b'?WATCH={"enable":true,"nmea":true};\n'
_CONNECT_TIMEOUT_S = 5.0
_POLL_S = 0.25
_MOST_BYTES = 4096


class GnssGpsd:
    """Connects at the first ``next_line``, and again after each GnssLostError.

    gpsd makes sentences for receivers that speak another language, too; its own JSON reports are left out.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._address = (host, port)
        self._clock = clock
        self._socket: socket.socket | None = None
        self._assembler = LineAssembler()
        self._ready: deque[NmeaLine] = deque()
        self._closed = threading.Event()

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """As the port says."""
        deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        while not self._ready and not self._closed.is_set():
            left_s = (deadline_ns - self._clock.mono_ns()) / NS_PER_S
            self._ready.extend(self._read(max(0.001, min(_POLL_S, left_s))))
            if left_s <= 0:
                break
        if self._closed.is_set():
            self._release()
            return None
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """As the port says; a waiting ``next_line`` returns within a quarter of a second."""
        self._closed.set()

    def _read(self, timeout_s: float) -> list[NmeaLine]:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, _CONNECT_TIMEOUT_S)
                self._socket.sendall(_WATCH)
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_MOST_BYTES)
        except TimeoutError:
            return []
        except OSError as error:
            self._release()
            raise GnssLostError(
                f"gpsd at {self._address[0]}:{self._address[1]}: {error}; is it running?"
            ) from error
        if not data:
            self._release()
            raise GnssLostError(f"gpsd at {self._address[0]}:{self._address[1]} closed the connection")
        lines = self._assembler.feed(data, self._clock.mono_ns())
        return [line for line in lines if not line.text.startswith("{")]

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._assembler = LineAssembler()

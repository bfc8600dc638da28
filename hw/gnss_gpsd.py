"""A receiver that is used through gpsd: its raw sentences over gpsd's socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hw.gnss_lines import LineAssembler, LineSource
from hw.ports import GnssLostError

if TYPE_CHECKING:
    from hw.ports import Clock, NmeaLine

_WATCH = b'?WATCH={"enable":true,"nmea":true};\n'
_CONNECT_TIMEOUT_S = 5.0
_MIN_WAIT_S = 0.001
_MAX_BYTES = 4096


class GnssGpsd(LineSource):
    """Connects at the first ``next_line``, and again after each GnssLostError.

    gpsd also generates sentences for receivers with other protocols; its JSON reports are ignored.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        super().__init__(clock)
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def _read(self, timeout_s: float) -> list[NmeaLine]:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, _CONNECT_TIMEOUT_S)
                self._socket.sendall(_WATCH)
            # A time-out of 0 would mean: do not wait, and fail otherwise.
            self._socket.settimeout(max(_MIN_WAIT_S, timeout_s))
            data = self._socket.recv(_MAX_BYTES)
        except TimeoutError:
            return []
        except OSError as error:
            self._release()
            raise GnssLostError(
                f"gpsd at {self._address[0]}:{self._address[1]}: {error}; check that it is running"
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

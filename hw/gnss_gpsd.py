"""A receiver that is used through gpsd: its raw sentences over gpsd's socket, or JSON reports if there are none."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from hw.bauds import is_sentence
from hw.clock import NS_PER_S
from hw.gnss_lines import LineAssembler, LineSource
from hw.ports import GnssLostError

if TYPE_CHECKING:
    from hw.ports import Clock, NmeaLine

_WATCH = b'?WATCH={"enable":true,"nmea":true,"json":true};\n'
_CONNECT_TIMEOUT_S = 5.0
_MIN_WAIT_S = 0.001
_MAX_BYTES = 4096
_MAX_LINE_BYTES = 8192
"""JSON reports are longer than sentences."""
_WITHOUT_SENTENCES_S = 3.0
"""Reports are used after this time without a sentence."""


class GnssGpsd(LineSource):
    """Connects at the first ``next_line``, and again after each GnssLostError.

    gpsd also generates sentences for most receivers with other protocols.  Its position reports (TPV) are used only
    while no sentences arrive: they contain gpsd's corrections of the date, sentences the receiver's own values.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        super().__init__(clock)
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._t_sentence_ns = 0
        self._unused_reports = 0

    @property
    def unused_reports(self) -> int:
        """See the port: reports without a position, and positions while sentences arrive."""
        return self._unused_reports

    def _read(self, timeout_s: float) -> list[NmeaLine]:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, _CONNECT_TIMEOUT_S)
                self._socket.sendall(_WATCH)
                self._t_sentence_ns = self._clock.mono_ns()
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
        t_mono_ns = self._clock.mono_ns()
        return [line for line in self._assembler.feed(data, t_mono_ns) if self._is_wanted(line)]

    def _new_assembler(self) -> LineAssembler:
        return LineAssembler(_MAX_LINE_BYTES, has_json=True)

    def _is_wanted(self, line: NmeaLine) -> bool:
        if not line.text.startswith("{"):
            if is_sentence(line.text):
                self._t_sentence_ns = line.t_mono_ns
            return True
        alone = line.t_mono_ns - self._t_sentence_ns >= _WITHOUT_SENTENCES_S * NS_PER_S
        is_used = alone and _is_position(line.text)
        self._unused_reports += not is_used
        return is_used

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._assembler.restart()


def _is_position(text: str) -> bool:
    """True for a report of class TPV."""
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(report, dict) and report.get("class") == "TPV"

"""A receiver on a serial port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import serial

from hw.bauds import BaudSearch, FixedBaud
from hw.gnss_lines import LineSource
from hw.ports import GnssLostError

if TYPE_CHECKING:
    from hw.ports import Clock, NmeaLine


class GnssSerial(LineSource):
    """Opens the port at the first ``next_line``, and again after each GnssLostError."""

    def __init__(self, port: str, baud: int | None, clock: Clock) -> None:
        """If ``baud`` is None, it is detected."""
        self._port = port
        self._speed: FixedBaud | BaudSearch = BaudSearch() if baud is None else FixedBaud(baud)
        super().__init__(clock)
        self._device: serial.Serial | None = None

    def close(self) -> None:
        """See the port; a waiting ``next_line`` returns within a quarter of a second."""
        super().close()
        device = self._device
        if device is not None:
            device.cancel_read()

    def _read(self, timeout_s: float) -> list[NmeaLine]:
        """Return the bytes that arrive within the timeout."""
        try:
            if self._device is None:
                self._device = serial.Serial(self._port, self._speed.baud, timeout=timeout_s, exclusive=True)
            self._device.timeout = timeout_s
            data = self._device.read(1)
            t_mono_ns = self._clock.mono_ns()
            data += self._device.read(self._device.in_waiting)
        except (OSError, ValueError) as error:  # SerialException is an OSError; ValueError: baud rate refused
            self._release()
            raise GnssLostError(
                f"receiver on {self._port}: {error}; check that it is connected and readable"
            ) from error
        lines = self._assembler.feed(data, t_mono_ns)
        if self._speed.judge(lines, t_mono_ns, heard=bool(data)):
            self._release()
        return lines

    def _release(self) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None
        self._assembler.restart()

"""The demo's receiver: that of the drive, and when the drive is over, one of a vehicle that has parked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pynmea2

from hw.config import FixedGnssConfig
from hw.gnss_fixed import GnssFixed
from hw.gnss_sim import GnssSim

if TYPE_CHECKING:
    from hw.drive_format import Drive
    from hw.ports import Clock, NmeaLine

_ERROR_M = 5.0


class GnssThenParked:
    """Sentences of the drive; afterwards its last position, at rest, once per second.

    A vehicle that was last seen moving keeps the page's keyboard locked for a minute.
    """

    def __init__(self, drive: Drive, clock: Clock, origin_ns: int) -> None:
        self._clock = clock
        self._moving = GnssSim(drive, clock, origin_ns=origin_ns)
        self._parks_at_ns = origin_ns + drive.duration_ns
        self._place: tuple[float, float] | None = None
        self._parked: GnssFixed | None = None

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """See the port."""
        if self._parked is not None:
            return self._parked.next_line(timeout_s=timeout_s)
        line = self._moving.next_line(timeout_s=timeout_s)
        if line is not None:
            self._place = _place_of(line.text) or self._place
        elif self._place is not None and self._clock.mono_ns() > self._parks_at_ns:
            lat_deg, lon_deg = self._place
            site = FixedGnssConfig(kind="fixed", lat_deg=lat_deg, lon_deg=lon_deg, error_m=_ERROR_M)
            self._parked = GnssFixed(site, self._clock)
        return line

    @property
    def dropped_lines(self) -> int:
        """See the port."""
        return self._moving.dropped_lines

    @property
    def unused_reports(self) -> int:
        """See the port."""
        return self._moving.unused_reports

    def close(self) -> None:
        """See the port."""
        self._moving.close()
        if self._parked is not None:
            self._parked.close()


def _place_of(text: str) -> tuple[float, float] | None:
    """Latitude and longitude of a GGA sentence with a fix; drives have damaged sentences, too."""
    try:
        sentence = pynmea2.parse(text, check=True)
    except pynmea2.ParseError:
        return None
    if sentence.sentence_type != "GGA" or not sentence.gps_qual:
        return None
    return sentence.latitude, sentence.longitude

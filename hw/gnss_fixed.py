"""No receiver: a reader at a fixed site, whose position is in the configuration."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from hw.clock import NS_PER_S, wait
from hw.ports import NmeaLine

if TYPE_CHECKING:
    from hw.config import FixedGnssConfig
    from hw.ports import Clock

_EVERY_NS = NS_PER_S


class GnssFixed:
    """Sends the site's position once per second, without a time."""

    def __init__(self, config: FixedGnssConfig, clock: Clock) -> None:
        site = {"class": "SITE", "lat": config.lat_deg, "lon": config.lon_deg, "error_m": config.error_m}
        self._text = json.dumps(site)
        self._clock = clock
        self._closed = threading.Event()
        self._due_ns = clock.mono_ns()

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """As the port says."""
        deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        until_ns = min(self._due_ns, deadline_ns)
        while (left_ns := until_ns - self._clock.mono_ns()) > 0 and not self._closed.is_set():
            wait(self._clock, self._closed, left_ns / NS_PER_S)
        now_ns = self._clock.mono_ns()
        if self._closed.is_set() or now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + _EVERY_NS
        return NmeaLine(now_ns, self._text)

    @property
    def dropped_lines(self) -> int:
        """0: positions come whole."""
        return 0

    @property
    def unused_reports(self) -> int:
        """0: there is no gpsd."""
        return 0

    def close(self) -> None:
        """As the port says."""
        self._closed.set()

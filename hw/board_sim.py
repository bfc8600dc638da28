"""A simulated board, controlled by the script of a drive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw.ports import Vitals

if TYPE_CHECKING:
    from hw.drive_format import Drive
    from hw.ports import Clock

_TEMPERATURE_C = 48.0
_DISK_BYTES = 32 * 10**9
_RSS_BYTES = 150 * 10**6
_WRITTEN_BYTES = 10**6
_THROTTLE_C = 80.0
"""Temperature at which a Raspberry Pi starts to lower its clock."""


class BoardSim:
    """Vitals by the clock and the script (``temp.set``, ``disk.full``, ``disk.free``)."""

    def __init__(self, clock: Clock, drive: Drive | None = None, *, origin_ns: int | None = None) -> None:
        self._clock = clock
        start = clock.mono_ns() if origin_ns is None else origin_ns
        self._script = [(start + action.t_ns, action) for action in (drive.script if drive else ())]

    def vitals(self) -> Vitals:
        """See the port."""
        now_ns = self._clock.mono_ns()
        temperature_c = _TEMPERATURE_C
        full = False
        for t_ns, action in self._script:
            if t_ns > now_ns:
                break
            if action.do == "temp.set":
                temperature_c = action.number("celsius", _TEMPERATURE_C)
            elif action.do in {"disk.full", "disk.free"}:
                full = action.do == "disk.full"
        return Vitals(
            temperature_c=temperature_c,
            throttled=temperature_c >= _THROTTLE_C,
            undervoltage=False,
            disk_free_bytes=0 if full else _DISK_BYTES // 2,
            rss_bytes=_RSS_BYTES,
            load_1min=1.0,
            written_bytes=_WRITTEN_BYTES,
        )

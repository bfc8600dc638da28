"""All counters and gauges, for the health message and the reports.

``docs/counters.md`` explains every name; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health as HealthMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.runtime.component import Source
    from agent.wear import WriteBudget
    from hw.ports import Vitals

_NS_PER_US = 1_000


class Health:
    """Adds up the counters of all components.  Used by the main thread."""

    def __init__(self, sources: tuple[Source, ...], writing: WriteBudget) -> None:
        self._sources = sources
        self.writing = writing

    def counters(self) -> dict[str, int]:
        """Counters by dotted name; they only grow."""
        return _sum(source.counters() for source in self._sources)

    def gauges(self, vitals: Vitals) -> dict[str, int]:
        """Gauges by dotted name, with the unit in the name; unknown ones are left out."""
        board: dict[str, float | None] = {
            "board.temperature_mc": None if vitals.temperature_c is None else vitals.temperature_c * 1000,
            "board.throttled": vitals.throttled,
            "board.undervoltage": vitals.undervoltage,
            "board.disk_free_bytes": vitals.disk_free_bytes,
            "board.written_bytes": vitals.written_bytes,
            "board.written_last_hour_bytes": self.writing.last_hour_bytes,
            "board.over_write_budget": int(self.writing.exceeded),
            "board.rss_bytes": vitals.rss_bytes,
            "board.load_1min_milli": vitals.load_1min * 1000,
        }
        known = {name: round(value) for name, value in board.items() if value is not None}
        return known | _sum(source.gauges() for source in self._sources)


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for part in parts:
        for name, value in part.items():
            totals[name] = totals.get(name, 0) + value
    return totals


def health_payload(
    counters: Mapping[str, int],
    gauges: Mapping[str, int],
    *,
    unit: str,
    boot_id: bytes,
    t_mono_ns: int,
    utc_ns: int | None,
    seq_high: int,
    life: bytes = b"",
    head: bytes = b"",
) -> bytes:
    """Encode all counters and gauges of one moment, with the signed head of the series."""
    return encode(
        HealthMessage(
            unit=unit,
            boot_id=boot_id,
            mono_us=t_mono_ns // _NS_PER_US,
            utc_us=None if utc_ns is None else utc_ns // _NS_PER_US,
            seq_high=seq_high,
            counters=dict(counters),
            gauges=dict(gauges),
            life=life,
            head=head,
        )
    )

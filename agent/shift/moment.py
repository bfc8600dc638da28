"""The time of a call: the monotonic clock for durations, UTC of GNSS or NTP for dates; never the wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.records import TimeTag

_NS_PER_US = 1_000
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant of one boot."""

    t_mono_ns: int
    boot_id: bytes
    tag: TimeTag
    """UTC as the time base knows it; without a time it is None, however the system's clock is set."""

    @property
    def boot(self) -> str:
        """The boot's id in hexadecimal, as it is stored."""
        return self.boot_id.hex()

    @property
    def utc_us(self) -> int | None:
        """UTC in microseconds."""
        return None if self.tag.utc_ns is None else self.tag.utc_ns // _NS_PER_US

    @property
    def utc_s(self) -> float | None:
        """UTC in seconds."""
        return None if self.tag.utc_ns is None else self.tag.utc_ns / _NS_PER_S

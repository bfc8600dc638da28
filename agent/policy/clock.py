"""The time by which records are deleted: a clock that jumps deletes nothing, and one that is lost goes on.

Deleting cannot be undone, so a time is believed only if it agrees with the one before: within a boot by the monotonic
clock, over boots because time does not go back and a unit is rarely off for days.  What disagrees is believed when it
has not moved for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from protocol.wire.enums import TimeSource

if TYPE_CHECKING:
    from agent.records import TimeTag

_TRUSTED = frozenset({TimeSource.GNSS, TimeSource.NTP})
"""Sources of a new time; a held one is the monotonic clock's, which this clock follows itself."""
_NS_PER_US = 1_000
_US_PER_S = 1_000_000
_TOLERANCE_US = 10 * _US_PER_S
_DRIFT = 200e-6
"""Of the board's oscillator over temperature, generously."""
_SETTLE_US = 15 * 60 * _US_PER_S
"""How long a time that disagrees must go on to be believed."""
_RENEW_US = 10 * 60 * _US_PER_S
_LEAP_US = 86_400 * _US_PER_S
"""A step over a start that needs no settling."""
_SAVE_EVERY_US = 10 * 60 * _US_PER_S


class TimeStore(Protocol):
    """Keeps the last believed time over restarts."""

    def load(self) -> int | None:
        """Return UTC in microseconds; None if it is unknown."""

    def save(self, utc_us: int) -> None:
        """Replace it; a failure is not an error, the next save follows."""


@dataclass(frozen=True, slots=True)
class _Basis:
    """A relation between UTC and the monotonic clock."""

    utc_us: int
    mono_us: int

    def at(self, mono_us: int) -> int:
        return self.utc_us + mono_us - self.mono_us


class NoStore:
    """Remembers nothing."""

    def load(self) -> None:
        """Unknown."""
        return

    def save(self, utc_us: int) -> None:
        """Nothing."""


class ExpiryClock:
    """One per process; used by one thread."""

    def __init__(self, store: TimeStore | None = None) -> None:
        self._store = store or NoStore()
        self._before_us = self._store.load()
        self._saved_us: int | None = None
        self._basis: _Basis | None = None
        self._candidate: _Basis | None = None
        self.jumps = 0
        """Times that disagreed with the one before."""

    def now_us(self, tag: TimeTag, t_mono_ns: int) -> int | None:
        """Return UTC in microseconds by which records may be deleted; None while no time is believed."""
        mono_us = t_mono_ns // _NS_PER_US
        if tag.utc_ns is not None and tag.source in _TRUSTED:
            self._hear(_Basis(tag.utc_ns // _NS_PER_US, mono_us))
        if self._basis is None:
            return None
        now_us = self._basis.at(mono_us)
        if self._saved_us is None or abs(now_us - self._saved_us) >= _SAVE_EVERY_US:
            self._saved_us = now_us
            self._store.save(now_us)
        return now_us

    def _hear(self, told: _Basis) -> None:
        if self._agrees(told):
            self._candidate = None
            # Not at every call: steps within the tolerance would add up to any time.
            if self._basis is None or told.mono_us - self._basis.mono_us >= _RENEW_US:
                self._basis = told
        elif self._candidate is None or not _continues(self._candidate, told):
            self._candidate = told
            self.jumps += 1
        elif told.mono_us - self._candidate.mono_us >= _SETTLE_US:
            self._basis, self._candidate = told, None

    def _agrees(self, told: _Basis) -> bool:
        if self._basis is not None:
            return _continues(self._basis, told)
        if self._before_us is None:
            return True
        return -_TOLERANCE_US <= told.utc_us - self._before_us <= _LEAP_US


def _continues(before: _Basis, told: _Basis) -> bool:
    allowed_us = _TOLERANCE_US + _DRIFT * abs(told.mono_us - before.mono_us)
    return abs(told.utc_us - before.at(told.mono_us)) <= allowed_us

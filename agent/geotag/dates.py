"""The date of a fix: plausibility of a receiver's dates, and a substitute for a missing one.

A receiver counts weeks in ten bits (IS-GPS-200); one that missed a rollover is 1024 weeks behind, one that missed two
2048, and one that corrects too far is 1024 ahead.  At most one such correction gives a date within ten years.  Date and
position are checked independently: a fix may have one without the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_NS_PER_S = 1_000_000_000
_DAY_NS = 86_400 * _NS_PER_S
_ROLLOVER = timedelta(weeks=1024)
_SHIFTS = (0, 1, 2, -1)
NOT_BEFORE = date(2026, 1, 1)
"""Earliest plausible date: the software did not exist before."""
HORIZON_DAYS = 3653
"""Latest plausible date, relative to ``NOT_BEFORE``."""


@dataclass(frozen=True, slots=True)
class Dated:
    """The result of checking a date."""

    utc_ns: int | None
    corrected: bool = False
    """True if the receiver's date was off by whole week rollovers."""
    count: str | None = None
    """Name of the counter to increment."""


class DateKeeper:
    """Checks the dates of one receiver, each against the one before by the monotonic clock."""

    def __init__(self, first: date, horizon_days: int, *, max_rejects: int) -> None:
        """``max_rejects`` consecutive dates that contradict the one before are rejected."""
        self._first, self._last = first, first + timedelta(days=horizon_days)
        self._max_rejects = max_rejects
        self._known: tuple[int, bool] | None = None
        """``UTC - monotonic`` of the last accepted date, and whether it was corrected."""
        self._suspect_ns: int | None = None
        self._rejects = 0

    def judge(self, day: date | None, tod_ns: int, t_mono_ns: int) -> Dated:
        """Return the date of a time of day; without a day, from the monotonic clock."""
        if day is None:
            return self._carried(tod_ns, t_mono_ns, None)
        plausible = self._plausible(day)
        if plausible is None:
            return self._carried(tod_ns, t_mono_ns, "date_out_of_range")
        right, corrected = plausible
        count = "rollovers_corrected" if corrected else None
        midnight = datetime(right.year, right.month, right.day, tzinfo=UTC)
        utc_ns = int(midnight.timestamp()) * _NS_PER_S + tod_ns
        offset_ns = utc_ns - t_mono_ns
        if self._known is not None and abs(offset_ns - self._known[0]) > _DAY_NS // 2:
            agrees = self._suspect_ns is not None and abs(offset_ns - self._suspect_ns) < _DAY_NS // 2
            self._rejects = self._rejects + 1 if agrees else 1
            self._suspect_ns = offset_ns
            if self._rejects <= self._max_rejects:
                return Dated(None, count="date_jumps")
        self._known, self._suspect_ns, self._rejects = (offset_ns, corrected), None, 0
        return Dated(utc_ns, corrected, count)

    def _carried(self, tod_ns: int, t_mono_ns: int, count: str | None) -> Dated:
        if self._known is None:
            return Dated(None, count=count)
        offset_ns, corrected = self._known
        # The day with which the time of day is nearest to the monotonic clock.
        days = round((t_mono_ns + offset_ns - tod_ns) / _DAY_NS)
        return Dated(days * _DAY_NS + tod_ns, corrected, count)

    def _plausible(self, day: date) -> tuple[date, bool] | None:
        for shift in _SHIFTS:
            try:
                moved = day + shift * _ROLLOVER
            except OverflowError:
                continue
            if self._first <= moved <= self._last:
                return moved, shift != 0
        return None

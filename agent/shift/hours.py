"""Hours by activity: measured with the monotonic clock, so that a wrong date neither adds nor loses any.

Within one boot the monotonic clock is exact, also across a restart of the agent.  Across a reboot it starts anew: the
time in between is added if UTC was known before and is known after it, possibly minutes later; otherwise the
interruption is counted as one of unknown length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.shift.moment import Moment

_NS_PER_US = 1_000
_NS_PER_S = 1_000_000_000
MAX_BRIDGE_S = 12 * 3600
"""A longer interruption is not one of the same shift, or the date before or after it was wrong."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """An interruption whose length becomes known with the time."""

    from_utc_us: int
    to_mono_ns: int
    """End of the interruption on the clock of the present boot."""
    activity: str


@dataclass(frozen=True, slots=True)
class Hours:
    """Time worked so far."""

    boot: str
    counted_mono_ns: int
    """Until here everything is counted."""
    counted_utc_us: int | None
    """The same in UTC, if it was known then."""
    activity: str
    spent_ns: tuple[tuple[str, int], ...]
    """By activity, in the order in which they were first done."""
    running: bool = True
    """False after a restart, until the officer signs on again."""
    bridge: Bridge | None = None
    unmeasured: int = 0
    """Interruptions of unknown length."""

    @property
    def worked_ns(self) -> int:
        """Nanoseconds in total."""
        return sum(ns for _, ns in self.spent_ns)

    @property
    def by_activity_s(self) -> dict[str, int]:
        """Whole seconds by activity."""
        return {name: ns // _NS_PER_S for name, ns in self.spent_ns}


def start_hours(activity: str, now: Moment) -> Hours:
    """Begin with an activity."""
    return Hours(now.boot, now.t_mono_ns, now.utc_us, activity, ((activity, 0),))


def advance(hours: Hours, now: Moment) -> Hours:
    """Count until now; does nothing while stopped."""
    if not hours.running or hours.boot != now.boot:
        return hours
    elapsed_ns = max(0, now.t_mono_ns - hours.counted_mono_ns)
    counted = replace(
        _add(hours, hours.activity, elapsed_ns),
        counted_mono_ns=hours.counted_mono_ns + elapsed_ns,
        counted_utc_us=now.utc_us,
    )
    return _cross(counted, now)


def switch(hours: Hours, activity: str, now: Moment) -> Hours:
    """Count until now, and continue with another activity."""
    counted = replace(advance(hours, now), activity=activity)
    return _add(counted, activity, 0)


def stop(hours: Hours) -> Hours:
    """Stop counting: the agent was restarted, and nobody has signed on again yet."""
    return replace(hours, running=False)


def resume(hours: Hours, now: Moment) -> Hours:
    """Continue after a restart, with the time in between if it is known or becomes known."""
    if hours.running:
        return advance(hours, now)
    if hours.boot == now.boot:
        return advance(replace(hours, running=True), now)
    hours = _give_up(hours)
    moved = replace(hours, boot=now.boot, counted_mono_ns=now.t_mono_ns, counted_utc_us=now.utc_us, running=True)
    if hours.counted_utc_us is None:
        return replace(moved, unmeasured=moved.unmeasured + 1)
    return _cross(replace(moved, bridge=Bridge(hours.counted_utc_us, now.t_mono_ns, hours.activity)), now)


def finish(hours: Hours, now: Moment) -> Hours:
    """Count until now and stop; an interruption whose length is still unknown remains so."""
    return replace(_give_up(advance(hours, now)), running=False)


def _cross(hours: Hours, now: Moment) -> Hours:
    bridge = hours.bridge
    if bridge is None or now.utc_us is None:
        return hours
    until_us = now.utc_us - (now.t_mono_ns - bridge.to_mono_ns) // _NS_PER_US
    gap_us = until_us - bridge.from_utc_us
    if not 0 <= gap_us <= MAX_BRIDGE_S * 1_000_000:
        return _give_up(hours)
    return replace(_add(hours, bridge.activity, gap_us * _NS_PER_US), bridge=None)


def _give_up(hours: Hours) -> Hours:
    return hours if hours.bridge is None else replace(hours, bridge=None, unmeasured=hours.unmeasured + 1)


def _add(hours: Hours, activity: str, ns: int) -> Hours:
    spent = dict(hours.spent_ns)
    spent[activity] = spent.get(activity, 0) + ns
    return replace(hours, spent_ns=tuple(spent.items()))

"""One officer's shift: assignment, hours, overlaps with other shifts on this unit, and its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.shift.hours import Hours, advance, finish, resume, start_hours, stop, switch

if TYPE_CHECKING:
    from agent.shift.moment import Moment
    from protocol.roster.roster import PlannedShift

_NS_PER_S = 1_000_000_000
_NS_PER_US = 1_000
MAX_OPEN = 4
"""Shifts that are open at once on one unit: a crew, and its relief."""


class EndReason(StrEnum):
    """Why a shift ended."""

    SIGNED_OFF = "signed_off"
    IGNITION = "ignition"
    IDLE = "idle"
    POWER = "power"
    """Nobody signed on again after a restart."""
    REPLACED = "replaced"
    """The roster no longer has the officer."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where and with what an officer works."""

    role: str = ""
    crew: tuple[str, ...] = ()
    vehicle: str = ""
    zone: str = ""
    checkpoint: str = ""
    task: str = ""
    equipment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The planned shift, copied from the roster at sign-on: a later roster does not change what was planned."""

    id: str
    starts_s: int
    ends_s: int
    overtime_class: str
    activities: tuple[tuple[str, int], ...]

    @property
    def planned_s(self) -> int:
        """Seconds."""
        return self.ends_s - self.starts_s


@dataclass(frozen=True, slots=True)
class ShiftState:
    """One open shift."""

    shift_id: str
    badge: str
    method: str
    training: str
    roster_version: int
    assignment: Assignment
    plan: Plan | None
    hours: Hours
    started_boot: str
    started_mono_ns: int
    started_utc_us: int | None
    used_boot: str
    used_mono_ns: int
    """The last command or movement, on the clock of that boot."""
    revision: int = 0
    incidents: int = 0
    overlaps: tuple[tuple[str, int], ...] = ()
    """Other shift -> nanoseconds in common."""

    @property
    def overtime_s(self) -> int | None:
        """Seconds beyond the planned duration; None without a plan."""
        return None if self.plan is None else max(0, self.hours.worked_ns // _NS_PER_S - self.plan.planned_s)


def plan_of(planned: PlannedShift | None) -> Plan | None:
    """Copy a planned shift of the roster."""
    if planned is None:
        return None
    return Plan(planned.id, planned.starts_s, planned.ends_s, planned.overtime_class, planned.activities)


def open_shift(
    shift_id: str,
    badge: str,
    assignment: Assignment,
    activity: str,
    now: Moment,
    *,
    method: str,
    training: str,
    roster_version: int,
    plan: Plan | None,
) -> ShiftState:
    """Start a shift."""
    return ShiftState(
        shift_id=shift_id,
        badge=badge,
        method=method,
        training=training,
        roster_version=roster_version,
        assignment=assignment,
        plan=plan,
        hours=start_hours(activity, now),
        started_boot=now.boot,
        started_mono_ns=now.t_mono_ns,
        started_utc_us=now.utc_us,
        used_boot=now.boot,
        used_mono_ns=now.t_mono_ns,
    )


def advance_all(shifts: tuple[ShiftState, ...], now: Moment) -> tuple[ShiftState, ...]:
    """Count the time of all shifts, and what they have in common."""
    return tuple(_dated(_overlapped(shift, shifts, now), now) for shift in shifts)


def resume_shift(shift: ShiftState, assignment: Assignment, now: Moment) -> ShiftState:
    """Continue a shift after a restart, or from another terminal."""
    return used(replace(shift, hours=resume(shift.hours, now), assignment=assignment), now)


def suspend_shift(shift: ShiftState, now: Moment) -> ShiftState:
    """Stop counting until the officer signs on again; from then on ``used_mono_ns`` is when the agent started."""
    return used(replace(shift, hours=stop(shift.hours)), now)


def switch_activity(shift: ShiftState, activity: str, now: Moment) -> ShiftState:
    """Change the activity."""
    return used(replace(shift, hours=switch(shift.hours, activity, now)), now)


def end_shift(shift: ShiftState, now: Moment) -> ShiftState:
    """Count until now, and stop."""
    return replace(shift, hours=finish(shift.hours, now))


def used(shift: ShiftState, now: Moment) -> ShiftState:
    """Note that the officer or the vehicle did something."""
    return replace(shift, used_boot=now.boot, used_mono_ns=now.t_mono_ns)


def idle_s(shift: ShiftState, now: Moment) -> float:
    """Seconds since anything was done in this boot."""
    return (now.t_mono_ns - shift.used_mono_ns) / _NS_PER_S if shift.used_boot == now.boot else 0.0


def _overlapped(shift: ShiftState, shifts: tuple[ShiftState, ...], now: Moment) -> ShiftState:
    common = dict(shift.overlaps)
    for other in shifts:
        if other.shift_id != shift.shift_id and _counts(shift, now) and _counts(other, now):
            since_ns = max(shift.hours.counted_mono_ns, other.hours.counted_mono_ns)
            common[other.shift_id] = common.get(other.shift_id, 0) + max(0, now.t_mono_ns - since_ns)
    return replace(shift, hours=advance(shift.hours, now), overlaps=tuple(common.items()))


def _counts(shift: ShiftState, now: Moment) -> bool:
    return shift.hours.running and shift.hours.boot == now.boot


def _dated(shift: ShiftState, now: Moment) -> ShiftState:
    """The start of a shift that began before the time was known, from the time of the same boot."""
    if shift.started_utc_us is not None or now.utc_us is None or shift.started_boot != now.boot:
        return shift
    return replace(shift, started_utc_us=now.utc_us - (now.t_mono_ns - shift.started_mono_ns) // _NS_PER_US)

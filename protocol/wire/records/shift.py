"""``shift/1``: one officer's shift on a unit, as it is at one moment; the only record with data on employees.

A shift is sent when it starts, at each change and when it ends.  ``shift_id`` and ``revision`` identify a message: a
repeated one is the same, a higher revision replaces the lower ones.  Other records name a shift only by ``shift_id``,
so that they can be read, and kept, without knowing who was on duty.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from protocol.wire.codec import NAMED, U16, U32, U63, Flag, Id16, Name32, Text16, Text32, Text36, key
from protocol.wire.enums import ShiftStage
from protocol.wire.parts import Retention, TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

MAX_CREW = 8
MAX_EQUIPMENT = 16
MAX_ACTIVITIES = 16
MAX_OVERLAPS = 4
RETENTION_CLASS = "shift"
"""Retention class of employees' data; the agency's rule for it is apart from those for reads."""


class Shift(RecordBody):
    """The body of a shift."""

    SCHEMA: ClassVar[str] = "shift/1"

    shift_id: Annotated[Id16, key("sh")]
    revision: Annotated[U16, key("rev")]
    stage: Annotated[ShiftStage, NAMED, key("st")]
    badge: Annotated[Name32, key("bdg")]
    role: Annotated[Text32, key("role")]
    method: Annotated[Text16, key("how")]
    """``pin`` or ``token``."""
    training: Annotated[Text16, key("trn")]
    """``valid``, ``expired`` (during the shift), ``unchecked`` (the time was unknown) or ``none`` (no date given)."""
    crew: Annotated[tuple[Name32, ...], Field(max_length=MAX_CREW), key("crew")]
    """Badges of the others in the vehicle."""
    vehicle: Annotated[Text36, key("veh")]
    zone: Annotated[Text36, key("zone")]
    checkpoint: Annotated[Text36, key("cp")]
    task: Annotated[Text36, key("task")]
    equipment: Annotated[tuple[Text36, ...], Field(max_length=MAX_EQUIPMENT), key("eq")]
    roster_version: Annotated[U32, key("ros")]
    planned_id: Annotated[Text36, key("plan")]
    """Id of the planned shift in the roster; empty: none."""
    planned_us: Annotated[tuple[U63, U63] | None, key("plan_t")]
    """Planned start and end, µs UTC."""
    overtime_class: Annotated[Text16, key("ot")]
    """As planned in the roster."""
    utc_us: Annotated[U63 | None, key("t")]
    """Time of this message."""
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    started_us: Annotated[U63 | None, key("t0")]
    """Start, UTC; None while the time is unknown."""
    worked_s: Annotated[U32, key("dur")]
    """Duration by the monotonic clock, and across restarts by UTC of GNSS or NTP."""
    unmeasured: Annotated[U16, key("gaps")]
    """Interruptions of unknown length, which are not in ``worked_s``."""
    hours: Annotated[tuple[tuple[Name32, U32 | None, U32], ...], Field(max_length=MAX_ACTIVITIES), key("act")]
    """Activity, planned seconds or None, actual seconds."""
    overtime_s: Annotated[U32 | None, key("over")]
    """Seconds beyond the planned duration; None without a plan."""
    overlaps: Annotated[tuple[tuple[Id16, U32], ...], Field(max_length=MAX_OVERLAPS), key("ovl")]
    """Other shifts that were open on this unit at the same time, and for how many seconds."""
    end_reason: Annotated[Text16, key("why")]
    """``signed_off``, ``ignition``, ``idle``, ``power`` or ``replaced``; empty before the end."""
    automatic: Annotated[Flag, key("auto")]
    """True if nobody signed off: incidents without answers were not asked for."""
    incidents: Annotated[U16, key("inc")]
    unanswered: Annotated[U16, key("open")]
    """Incidents without outcome or contribution."""
    retention: Annotated[Retention, key("ret")]


def _when(shift: Shift) -> RecordTime:
    return RecordTime(shift.mono_us, shift.utc_us, shift.time.source, shift.time.uncertainty_ms)


def _export(shift: Shift) -> dict[str, Value]:
    return {
        "shift": shift.shift_id.hex(),
        "revision": shift.revision,
        "stage": shift.stage.value,
        "badge": shift.badge,
        "role": shift.role,
        "crew": " ".join(shift.crew),
        "vehicle": shift.vehicle,
        "zone": shift.zone,
        "checkpoint": shift.checkpoint,
        "task": shift.task,
        "equipment": " ".join(shift.equipment),
        "started_us": shift.started_us,
        "worked_s": shift.worked_s,
        "unmeasured": shift.unmeasured,
        "hours": "; ".join(
            f"{name} {actual}/{'-' if plan is None else plan}" for name, plan, actual in shift.hours
        ),
        "overtime_class": shift.overtime_class,
        "overtime_s": shift.overtime_s,
        "end_reason": shift.end_reason,
        "training": shift.training,
        "incidents": shift.incidents,
        "unanswered": shift.unanswered,
    }


RECORD_TYPE = RecordType(
    schema="shift/1",
    model=Shift,
    priority=Priority.URGENT,
    retention=lambda shift: shift.retention.policy_class,
    when=_when,
    personal=True,
    projection=Projection(
        "shifts",
        (
            Column("shift_id", bytes, lambda shift: shift.shift_id, indexed=True),
            Column("badge", str, lambda shift: shift.badge, indexed=True),
            Column("stage", str, lambda shift: shift.stage.value),
        ),
    ),
    export=_export,
)

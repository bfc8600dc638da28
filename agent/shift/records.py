"""State -> bodies of records; and bodies that wait for the outbox, as text in the state."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from agent.geotag.units import clamp, time_quality, to_us
from agent.shift.state import Pending
from protocol.wire.codec import U16_MAX, U32_MAX
from protocol.wire.enums import IncidentStage, ShiftStage, TimeSource
from protocol.wire.parts import Place, Retention
from protocol.wire.records import coverage as wire_coverage
from protocol.wire.records import incident as wire_incident
from protocol.wire.records import shift as wire_shift

if TYPE_CHECKING:
    from agent.shift.coverage import CoverageTotals
    from agent.shift.incidents import IncidentDraft
    from agent.shift.moment import Moment
    from agent.shift.shifts import EndReason, ShiftState
    from protocol.wire.registry import RecordBody

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_US_PER_S = 1_000_000


def shift_body(
    shift: ShiftState, stage: ShiftStage, now: Moment, *, end: EndReason | None = None, unanswered: int = 0
) -> wire_shift.Shift:
    """The shift as it is now.  ``unanswered`` is the number of its open incidents."""
    assignment, plan = shift.assignment, shift.plan
    return wire_shift.Shift(
        shift_id=bytes.fromhex(shift.shift_id),
        revision=clamp(shift.revision, 0, U16_MAX),
        stage=stage,
        badge=shift.badge,
        role=assignment.role,
        method=shift.method,
        training=shift.training,
        crew=assignment.crew,
        vehicle=assignment.vehicle,
        zone=assignment.zone,
        checkpoint=assignment.checkpoint,
        task=assignment.task,
        equipment=assignment.equipment,
        roster_version=shift.roster_version,
        planned_id="" if plan is None else plan.id,
        planned_us=None if plan is None else (plan.starts_s * _US_PER_S, plan.ends_s * _US_PER_S),
        overtime_class="" if plan is None else plan.overtime_class,
        **_time(now),
        started_us=shift.started_utc_us,
        worked_s=clamp(shift.hours.worked_ns // _NS_PER_S, 0, U32_MAX),
        unmeasured=clamp(shift.hours.unmeasured, 0, U16_MAX),
        hours=_hours(shift),
        overtime_s=shift.overtime_s,
        overlaps=tuple(
            (bytes.fromhex(other), ns // _NS_PER_S) for other, ns in shift.overlaps[-wire_shift.MAX_OVERLAPS :]
        ),
        end_reason="" if end is None else end.value,
        automatic=end is not None and end.value != "signed_off",
        incidents=clamp(shift.incidents, 0, U16_MAX),
        unanswered=clamp(unanswered, 0, U16_MAX),
        retention=Retention(policy_class=wire_shift.RETENTION_CLASS),
    )


def _hours(shift: ShiftState) -> tuple[tuple[str, int | None, int], ...]:
    planned = {} if shift.plan is None else dict(shift.plan.activities)
    actual = shift.hours.by_activity_s
    names = [*actual, *(name for name in planned if name not in actual)][: wire_shift.MAX_ACTIVITIES]
    return tuple((name, planned.get(name), clamp(actual.get(name, 0), 0, U32_MAX)) for name in names)


def coverage_body(
    totals: CoverageTotals,
    since_mono_ns: int,
    now: Moment,
    *,
    period: bytes,
    shift_id: str | None,
    roster_version: int,
) -> wire_coverage.Coverage:
    """The totals of a period that ends now; zones beyond the maximum are summed under none."""
    zones = tuple(
        (name, _u32(zone.distance_m), _u32(zone.located_ns / _NS_PER_MS), _u32(zone.reads))
        for name, zone in sorted(totals.zones.items())
    )
    return wire_coverage.Coverage(
        period_id=period,
        shift_id=None if shift_id is None else bytes.fromhex(shift_id),
        **_time(now),
        mono_first_us=min(to_us(since_mono_ns), to_us(now.t_mono_ns)),
        roster_version=roster_version,
        zones=zones[: wire_coverage.MAX_ZONES],
        distance_m=_u32(totals.distance_m),
        located_ms=_u32(totals.located_ns / _NS_PER_MS),
        unlocated_ms=_u32(totals.unlocated_ns / _NS_PER_MS),
        outages=clamp(totals.outages, 0, U16_MAX),
        jumps=clamp(totals.jumps, 0, U16_MAX),
        reads_unlocated=_u32(totals.reads_unlocated),
        retention=Retention(policy_class=wire_coverage.RETENTION_CLASS),
    )


def incident_body(draft: IncidentDraft, stage: IncidentStage) -> wire_incident.Incident:
    """The incident as its draft is."""
    text = draft.text
    return wire_incident.Incident(
        incident_id=bytes.fromhex(draft.incident_id),
        revision=clamp(draft.revision, 0, U16_MAX),
        stage=stage,
        shift_id=bytes.fromhex(draft.shift_id),
        utc_us=draft.utc_us,
        time=time_quality(TimeSource(draft.time_source), draft.uncertainty_ms),
        mono_us=to_us(draft.t_mono_ns),
        place=Place.model_validate(draft.place, by_alias=True),
        where=text.where,
        category=text.category,
        case_number=text.case_number,
        notes=text.notes,
        reads=tuple(bytes.fromhex(read) for read in text.reads),
        hits=tuple(bytes.fromhex(hit) for hit in text.hits),
        people=text.people,
        contribution=text.contribution,
        outcome=text.outcome,
        retention=Retention(policy_class=wire_incident.RETENTION_CLASS),
    )


def _time(now: Moment) -> dict[str, Any]:
    return {
        "utc_us": now.utc_us,
        "time": time_quality(now.tag.source, now.tag.uncertainty_ms),
        "mono_us": to_us(now.t_mono_ns),
    }


def _u32(value: float) -> int:
    return clamp(round(value), 0, U32_MAX)


def pending_of(body: RecordBody, boot: str) -> Pending:
    """Describe a record that waits for the outbox."""
    fields = body.model_dump(by_alias=True)
    text = json.dumps(_plain(fields), sort_keys=True, ensure_ascii=False)
    return Pending(body.SCHEMA, key_of(body), boot, text)


def key_of(body: RecordBody) -> str:
    """Identify a record by its contents, to forget it when it is in the outbox."""
    fields = json.dumps(_plain(body.model_dump(by_alias=True)), sort_keys=True)
    return hashlib.sha256(f"{body.SCHEMA} {fields}".encode()).hexdigest()[:32]


def body_of(pending: Pending, model: type[RecordBody], now: Moment) -> RecordBody:
    """Return the body again, to be sent after a restart.

    The clock of an earlier boot means nothing in this one: its time is then that of sending, and UTC stays as it was.
    Raises ValueError (pydantic.ValidationError is one), TypeError or RecursionError for fields of another version.
    """
    fields = _bytes(json.loads(pending.fields))
    if pending.boot != now.boot:
        fields["mono"] = to_us(now.t_mono_ns)
        if "mono0" in fields:
            fields["mono0"] = fields["mono"]
    return model.model_validate(fields, by_alias=True, by_name=False)


def _plain(value: Any) -> Any:
    """Bytes as ``{"hex": ...}``; no record has a map with that key alone."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _bytes(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {name: _bytes(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    return value

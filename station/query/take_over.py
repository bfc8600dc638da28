"""Takes over shifts, coverage and incidents from stored records into deployment's tables.

It begins a little before where it ended: a record of another worker may have been committed after a later one was read.
A record that comes with an earlier time than that, as the clock was wrong before or after, sets the place back to it.
Taking a record over again changes nothing.  A shift or an incident is changed by its own unit alone: whoever names the
id of another one's is not counted.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.record import decode_record
from protocol.wire.records.coverage import Coverage
from protocol.wire.records.incident import Incident
from protocol.wire.records.shift import Shift
from station.deployment.hours import WorkedShift
from station.deployment.incidents import IncidentRow
from station.store.deployment.port import MARGIN_US, CoveragePeriod, Cursor
from station.store.rows import StoreFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from protocol.wire.registry import RecordBody
    from station.store import RecordRow, Store

GROUP = 1_000
"""Records in one transaction."""


def take_over(store: Store, most: int | None = None) -> int:
    """Take over what has come since the last time; return the number of records that were looked at.

    With ``most`` it ends after about so many of each type that came since, and the next call goes on there.  Raises
    StoreError; what was taken over before it stays.
    """
    return sum(_take(store, schema, keep, most) for schema, keep in _TYPES.items())


def _take(
    store: Store,
    schema: str,
    keep: Callable[[Store, list[tuple[RecordRow, RecordBody]]], None],
    most: int | None,
) -> int:
    cursor = store.deployment.cursor(schema)
    since_us = None if cursor is None else cursor.received_us - MARGIN_US
    records = store.each(schema, since_us=since_us)
    seen_us = -1 if cursor is None else cursor.received_us
    count = new = 0
    while (most is None or new < most) and (group := list(islice(records, GROUP))):
        count += len(group)
        new += sum(row.received_us > seen_us for row in group)
        known = [(row, body) for row in group if (body := _body(store, row)) is not None]
        with store.transaction():
            keep(store, known)
            following = Cursor(group[-1].received_us)
            # If it was changed meanwhile, the next call goes on from there.
            if store.deployment.move_cursor(schema, following, was=cursor):
                cursor = following
    return count


def _body(store: Store, row: RecordRow) -> RecordBody | None:
    try:
        return decode_record(row.payload, store.registry).body
    except WireError:
        # Stored before its type was known, and does not match it: shown undecoded, and counted nowhere.
        return None


def _when_us(row: RecordRow) -> int:
    """When it was made.  Nothing is made after its receipt: a clock that says so is wrong."""
    if row.utc_us is None:
        return row.received_us
    return min(row.utc_us, row.received_us) if row.received_us else row.utc_us


def _keep_shifts(store: Store, found: list[tuple[RecordRow, RecordBody]]) -> None:
    store.deployment.add_worked(_latest([worked(row, body) for row, body in found if isinstance(body, Shift)]))


def _latest(shifts: Sequence[WorkedShift]) -> list[WorkedShift]:
    found: dict[tuple[str, bytes], WorkedShift] = {}
    for one in shifts:
        key = (one.unit, one.shift_id)
        if key not in found or found[key].revision < one.revision:
            found[key] = one
    return list(found.values())


def worked(row: RecordRow, body: Shift) -> WorkedShift:
    """A shift of a record."""
    return WorkedShift(
        unit=row.unit,
        shift_id=body.shift_id,
        revision=body.revision,
        stage=body.stage.value,
        badge=body.badge,
        started_us=body.started_us,
        told_us=_when_us(row),
        worked_s=body.worked_s,
        plan_id=body.planned_id,
        overtime_class=body.overtime_class,
        overtime_s=body.overtime_s,
        vehicle=body.vehicle,
        zone=body.zone,
        checkpoint=body.checkpoint,
        task=body.task,
        equipment=body.equipment,
        hours=body.hours,
        unmeasured=body.unmeasured,
        end_reason=body.end_reason,
        incidents=body.incidents,
        unanswered=body.unanswered,
        training=body.training,
    )


def _keep_coverage(store: Store, found: list[tuple[RecordRow, RecordBody]]) -> None:
    store.deployment.add_coverage(
        [
            CoveragePeriod(
                unit=row.unit,
                period_id=body.period_id,
                shift_id=body.shift_id,
                ends_us=_when_us(row),
                zones=body.zones,
                distance_m=body.distance_m,
                located_ms=body.located_ms,
                unlocated_ms=body.unlocated_ms,
                reads_unlocated=body.reads_unlocated,
                jumps=body.jumps,
            )
            for row, body in found
            if isinstance(body, Coverage)
        ]
    )


def _keep_incidents(store: Store, found: list[tuple[RecordRow, RecordBody]]) -> None:
    latest: dict[tuple[str, bytes], IncidentRow] = {}
    for row, body in found:
        if isinstance(body, Incident):
            known = latest.get((row.unit, body.incident_id))
            if known is None or known.revision < body.revision:
                latest[row.unit, body.incident_id] = _incident(row, body)
    store.deployment.add_incidents(list(latest.values()))


def _incident(row: RecordRow, body: Incident) -> IncidentRow:
    return IncidentRow(
        unit=row.unit,
        record_id=row.record_id,
        incident_id=body.incident_id,
        revision=body.revision,
        stage=body.stage.value,
        shift_id=body.shift_id,
        when_us=_when_us(row),
        lat_e7=body.place.lat_e7,
        lon_e7=body.place.lon_e7,
        where=body.where,
        category=body.category,
        case_number=body.case_number,
        contribution=body.contribution,
        outcome=body.outcome,
        reads=body.reads,
        hits=body.hits,
    )


def taken_over_faults(store: Store) -> Iterator[StoreFault]:
    """Take over what has come, then yield shifts and incidents that are not what their records say.

    Sums of coverage cannot be compared: what they were made of is not kept by hour.  Raises StoreError.
    """
    take_over(store)
    for schema in (Shift.SCHEMA, Incident.SCHEMA):
        found = {
            (fault.unit, fault.record_id): fault for _, fault in _compared(store, schema) if fault is not None
        }
        # A unit may have sent several records with one revision, of which one counts.
        right = (
            {key for key, fault in _compared(store, schema) if fault is None and key in found} if found else set()
        )
        yield from (fault for key, fault in sorted(found.items()) if key not in right)
    for unit, identity in store.deployment.unrecorded():
        yield StoreFault(unit, identity, "in the hours or incidents without a record")


def _compared(store: Store, schema: str) -> Iterator[tuple[tuple[str, bytes], StoreFault | None]]:
    """Unit, id, and what is wrong, of each record whose revision is shown."""
    records = store.each(schema)
    while group := list(islice(records, GROUP)):
        told: list[tuple[RecordRow, WorkedShift | IncidentRow]] = []
        for row in group:
            body = _body(store, row)
            if isinstance(body, Shift):
                told.append((row, worked(row, body)))
            elif isinstance(body, Incident):
                told.append((row, _incident(row, body)))
        shown = store.deployment.taken_over(
            [one.shift_id for _, one in told if isinstance(one, WorkedShift)],
            [one.incident_id for _, one in told if isinstance(one, IncidentRow)],
        )
        for row, one in told:
            its: WorkedShift | IncidentRow | None
            if isinstance(one, WorkedShift):
                identity, its = one.shift_id, shown.shifts.get(one.shift_id)
            else:
                identity, its = one.incident_id, shown.incidents.get(one.incident_id)
            if its is not None and (its.unit, its.revision) != (one.unit, one.revision):
                continue
            what = _removed(store, row, one) if its is None else _differing(row, one, its)
            yield (row.unit, identity), StoreFault(row.unit, identity, what) if what else None


def _removed(store: Store, row: RecordRow, told: WorkedShift | IncidentRow) -> str:
    made_us = told.told_us if isinstance(told, WorkedShift) else told.when_us
    # A purge may have deleted both meanwhile.
    if made_us < store.deployment.floor_us() or store.record(row.unit, row.record_id) is None:
        return ""
    return "removed from the hours or incidents"


def _differing(row: RecordRow, told: WorkedShift | IncidentRow, shown: WorkedShift | IncidentRow) -> str:
    # A time anchor may have dated the record since.
    loose = {"told_us", "when_us"} if row.dating_gap_us is not None or row.utc_us is None else set()
    differing = [
        field.name
        for field in fields(told)
        if field.name not in loose and getattr(shown, field.name) != getattr(told, field.name)
    ]
    return f"hours or incidents: {', '.join(differing)}" if differing else ""


_TYPES: dict[str, Callable[[Store, list[tuple[RecordRow, RecordBody]]], None]] = {
    Shift.SCHEMA: _keep_shifts,
    Coverage.SCHEMA: _keep_coverage,
    Incident.SCHEMA: _keep_incidents,
}

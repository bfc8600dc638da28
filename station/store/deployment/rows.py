"""Rows of deployment's tables to and from the types of the core."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from station.deployment.hours import WorkedShift
from station.deployment.incidents import IncidentRow
from station.deployment.model import Asset, Assignment, Checkpoint, Person, PlannedShift, Zone

if TYPE_CHECKING:
    from collections.abc import Mapping


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def person_row(person: Person) -> dict[str, Any]:
    """The row of a person."""
    until = person.training_until
    return {
        "badge": person.badge,
        "name": person.name,
        "rights": ",".join(person.rights),
        "training_until": None if until is None else until.isoformat(),
        "overtime_class": person.overtime_class,
        "pin": person.pin,
        "active": int(person.active),
    }


def person_of(row: Any) -> Person:
    """A person of its row."""
    until = row.training_until
    return Person(
        row.badge,
        row.name,
        tuple(row.rights.split(",")),
        None if until is None else dt.date.fromisoformat(until),
        row.overtime_class,
        row.pin,
        bool(row.active),
    )


def zone_row(zone: Zone) -> dict[str, Any]:
    """The row of a zone."""
    return {"id": zone.id, "name": zone.name, "corners": _dump(zone.corners)}


def zone_of(row: Any) -> Zone:
    """A zone of its row."""
    return Zone(row.id, row.name, tuple((lat, lon) for lat, lon in json.loads(row.corners)))


def checkpoint_row(place: Checkpoint) -> dict[str, Any]:
    """The row of a checkpoint."""
    return {"id": place.id, "name": place.name, "lat_e7": place.lat_e7, "lon_e7": place.lon_e7}


def checkpoint_of(row: Any) -> Checkpoint:
    """A checkpoint of its row."""
    return Checkpoint(row.id, row.name, row.lat_e7, row.lon_e7)


def asset_row(asset: Asset) -> dict[str, Any]:
    """The row of a vehicle or equipment."""
    return {
        "kind": asset.kind,
        "id": asset.id,
        "name": asset.name,
        "unit": asset.unit,
        "out_of_service": asset.out_of_service,
    }


def asset_of(row: Any) -> Asset:
    """A vehicle or equipment of its row."""
    return Asset(row.id, row.kind, row.name, row.unit, row.out_of_service)


def shift_row(shift: PlannedShift) -> dict[str, Any]:
    """The row of a planned shift."""
    parts = [[a.from_us, a.zone, a.checkpoint, a.task, a.vehicle, a.equipment] for a in shift.assignments]
    return {
        "id": shift.id,
        "badge": shift.badge,
        "starts_us": shift.starts_us,
        "ends_us": shift.ends_us,
        "overtime_class": shift.overtime_class,
        "hours": _dump(shift.hours),
        "assignments": _dump(parts),
        "note": shift.note,
        "cancelled": int(shift.cancelled),
        "version": shift.version,
    }


def shift_of(row: Any) -> PlannedShift:
    """A planned shift of its row."""
    return PlannedShift(
        row.id,
        row.badge,
        row.starts_us,
        row.ends_us,
        row.overtime_class,
        tuple((name, seconds) for name, seconds in json.loads(row.hours)),
        tuple(
            Assignment(from_us, zone, checkpoint, task, vehicle, tuple(equipment))
            for from_us, zone, checkpoint, task, vehicle, equipment in json.loads(row.assignments)
        ),
        row.note,
        bool(row.cancelled),
        row.version,
    )


def worked_row(work: WorkedShift) -> dict[str, Any]:
    """The row of a worked shift."""
    return {
        "shift_id": work.shift_id,
        "unit": work.unit,
        "revision": work.revision,
        "stage": work.stage,
        "badge": work.badge,
        "started_us": work.started_us,
        "told_us": work.told_us,
        "when_us": work.when_us,
        "worked_s": work.worked_s,
        "plan_id": work.plan_id,
        "overtime_class": work.overtime_class,
        "overtime_s": work.overtime_s,
        "vehicle": work.vehicle,
        "zone": work.zone,
        "checkpoint": work.checkpoint,
        "task": work.task,
        "equipment": _dump(work.equipment),
        "hours": _dump(work.hours),
        "unmeasured": work.unmeasured,
        "end_reason": work.end_reason,
        "incidents": work.incidents,
        "unanswered": work.unanswered,
        "training": work.training,
    }


def worked_of(row: Any) -> WorkedShift:
    """A worked shift of its row."""
    return WorkedShift(
        row.unit,
        bytes(row.shift_id),
        row.revision,
        row.stage,
        row.badge,
        row.started_us,
        row.told_us,
        row.worked_s,
        row.plan_id,
        row.overtime_class,
        row.overtime_s,
        row.vehicle,
        row.zone,
        row.checkpoint,
        row.task,
        tuple(json.loads(row.equipment)),
        tuple((name, planned, actual) for name, planned, actual in json.loads(row.hours)),
        row.unmeasured,
        row.end_reason,
        row.incidents,
        row.unanswered,
        row.training,
    )


def incident_row(one: IncidentRow) -> Mapping[str, Any]:
    """The row of an incident."""
    return {
        "incident_id": one.incident_id,
        "unit": one.unit,
        "record_id": one.record_id,
        "revision": one.revision,
        "stage": one.stage,
        "shift_id": one.shift_id,
        "when_us": one.when_us,
        "lat_e7": one.lat_e7,
        "lon_e7": one.lon_e7,
        "place": one.where,
        "category": one.category,
        "case_number": one.case_number,
        "contribution": one.contribution,
        "outcome": one.outcome,
        "reads": " ".join(name.hex() for name in one.reads),
        "hits": " ".join(name.hex() for name in one.hits),
    }


def incident_of(row: Any) -> IncidentRow:
    """An incident of its row."""
    return IncidentRow(
        row.unit,
        bytes(row.record_id),
        bytes(row.incident_id),
        row.revision,
        row.stage,
        bytes(row.shift_id),
        row.when_us,
        row.lat_e7,
        row.lon_e7,
        row.place,
        row.category,
        row.case_number,
        row.contribution,
        row.outcome,
        tuple(bytes.fromhex(name) for name in row.reads.split()),
        tuple(bytes.fromhex(name) for name in row.hits.split()),
    )

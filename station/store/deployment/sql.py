"""Deployment's tables on an SQLAlchemy database."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)

from protocol.wire.records import coverage as coverage_type
from protocol.wire.records import incident as incident_type
from protocol.wire.records import shift as shift_type
from station.asker import EVERYTHING
from station.deployment.model import Resources, Settings
from station.store.deployment import rows
from station.store.deployment.port import MARGIN_US, CoverageSum, Cursor, Kept, TakenOver
from station.store.deployment.tables import POSTGRES, SQLITE
from station.store.scope import in_scope
from station.store.tables import EVIDENCE, HELD, RECORDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from station.asker import Scope
    from station.deployment.hours import WorkedShift
    from station.deployment.incidents import IncidentRow
    from station.deployment.model import PlannedShift
    from station.store.database import Database
    from station.store.deployment.port import CoveragePeriod

HOUR_US = 3_600_000_000
_ALL = "*"
_PURGED = "*"
"""Name of the row of ``cursors`` that says before when everything was deleted."""
_TAKEN_OVER = frozenset({shift_type.Shift.SCHEMA, coverage_type.Coverage.SCHEMA, incident_type.Incident.SCHEMA})
_MAX_SHIFT_US = 31 * 24 * HOUR_US
"""No shift is longer: those that overlap with a time are found by their start."""
_ROWS = 250
"""Number of rows of three values in one statement; older SQLite has at most 999 values."""


def _records(name: str, key: str) -> Table:
    """The search table of a record type."""
    columns = (Column("unit", Text), Column("record_id", RECORDS.c.record_id.type), Column(key, LargeBinary))
    return Table(name, MetaData(), *columns)


_SHIFTS = _records("shifts", "shift_id")
_INCIDENTS = _records("incidents", "incident_id")


class SqlDeployment:
    """See :class:`station.store.deployment.port.DeploymentStore`."""

    def __init__(self, db: Database, known: Collection[str]) -> None:
        """``known`` are the schemas of the record types that have search tables."""
        self._db = db
        self._t = SQLITE if db.is_sqlite else POSTGRES
        self._known = known

    def resources(self) -> Resources:
        """By id."""
        t = self._t
        return Resources(
            tuple(map(rows.person_of, self._db.all(select(t.people).order_by(t.people.c.badge)))),
            tuple(map(rows.zone_of, self._db.all(select(t.zones).order_by(t.zones.c.id)))),
            tuple(map(rows.checkpoint_of, self._db.all(select(t.checkpoints).order_by(t.checkpoints.c.id)))),
            tuple(map(rows.asset_of, self._db.all(select(t.assets).order_by(t.assets.c.kind, t.assets.c.id)))),
        )

    def put_resources(self, resources: Resources) -> None:
        """Inside a transaction."""
        t = self._t
        self._put(t.people, [rows.person_row(one) for one in resources.people])
        self._put(t.zones, [rows.zone_row(one) for one in resources.zones])
        self._put(t.checkpoints, [rows.checkpoint_row(one) for one in resources.checkpoints])
        self._put(t.assets, [rows.asset_row(one) for one in resources.assets])

    def drop_resource(self, kind: str, name: str) -> bool:
        """Inside a transaction."""
        t = self._t
        gone: ColumnElement[bool]
        match kind:
            case "person":
                table, gone = t.people, t.people.c.badge == name
            case "zone":
                table, gone = t.zones, t.zones.c.id == name
            case "checkpoint":
                table, gone = t.checkpoints, t.checkpoints.c.id == name
            case _:
                table, gone = t.assets, and_(t.assets.c.kind == kind, t.assets.c.id == name)
        return bool(self._db.run(delete(table).where(gone)).rowcount)

    def settings(self) -> Settings:
        """Those never set have their defaults."""
        known = {field.name for field in fields(Settings)}
        found = {row.name: json.loads(row.value) for row in self._db.all(select(self._t.settings))}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found.items()
            if name in known
        }
        return replace(Settings(), **values)

    def put_settings(self, settings: Settings) -> None:
        """Inside a transaction."""
        values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
        self._put(self._t.settings, [{"name": name, "value": json.dumps(value)} for name, value in values.items()])

    def shifts(
        self, since_us: int, until_us: int, *, badge: str | None = None, cancelled: bool = False
    ) -> list[PlannedShift]:
        """By start."""
        t = self._t.shifts
        statement = select(t).where(
            t.c.starts_us < until_us, t.c.starts_us > since_us - _MAX_SHIFT_US, t.c.ends_us > since_us
        )
        if badge is not None:
            statement = statement.where(t.c.badge == badge)
        if not cancelled:
            statement = statement.where(t.c.cancelled == 0)
        return [rows.shift_of(row) for row in self._db.all(statement.order_by(t.c.starts_us, t.c.id))]

    def shift(self, shift_id: str) -> PlannedShift | None:
        """None if it is unknown."""
        row = self._db.first(select(self._t.shifts).where(self._t.shifts.c.id == shift_id))
        return None if row is None else rows.shift_of(row)

    def put_shifts(self, shifts: Sequence[PlannedShift]) -> None:
        """Inside a transaction."""
        self._put(self._t.shifts, [rows.shift_row(shift) for shift in shifts])

    def worked(self, since_us: int, until_us: int, *, badge: str | None = None) -> list[WorkedShift]:
        """By start."""
        t = self._t.worked
        statement = select(t).where(t.c.when_us >= since_us, t.c.when_us < until_us)
        if badge is not None:
            statement = statement.where(t.c.badge == badge)
        return [rows.worked_of(row) for row in self._db.all(statement.order_by(t.c.when_us, t.c.shift_id))]

    def add_worked(self, shifts: Sequence[WorkedShift]) -> None:
        """Inside a transaction."""
        floor_us = self.floor_us()
        kept = [rows.worked_row(one) for one in shifts if one.told_us >= floor_us]
        self._put(self._t.worked, kept, newer="revision")

    def add_coverage(self, periods: Sequence[CoveragePeriod]) -> int:
        """Inside a transaction."""
        t = self._t
        insert = self._db.insert(t.periods)
        sums: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0] * 6)
        floor_us = self.floor_us()
        by_key = {(one.unit, one.period_id): one for one in periods if one.ends_us >= floor_us}
        # In order: two processes that add the same rows wait for each other, and do not block each other.
        keys = sorted(by_key)
        new: list[CoveragePeriod] = []
        for first in range(0, len(keys), _ROWS):
            values = [
                {"unit": unit, "period_id": period, "ends_us": by_key[unit, period].ends_us}
                for unit, period in keys[first : first + _ROWS]
            ]
            statement = insert.values(values).on_conflict_do_nothing()
            added = self._db.run(statement.returning(t.periods.c.unit, t.periods.c.period_id)).all()
            new += [by_key[row.unit, bytes(row.period_id)] for row in added]
        for one in new:
            # A period that ends with the hour belongs to it.
            hour = max(0, one.ends_us - 1) // HOUR_US * HOUR_US
            total = one.reads_unlocated + sum(reads for *_, reads in one.zones)
            for zone, metres, located_ms, reads in one.zones:
                _count(sums[hour, one.unit, zone], metres, located_ms, reads, 0, 0, 0)
            everything = (one.distance_m, one.located_ms, total, one.unlocated_ms, 1, one.jumps)
            _count(sums[hour, one.unit, _ALL], *everything)
        self._add_sums(sums)
        return len(new)

    def _add_sums(self, sums: dict[tuple[int, str, str], list[int]]) -> None:
        t = self._t.coverage
        names = [column.name for column in t.columns][3:]
        statement = self._db.insert(t)
        statement = statement.on_conflict_do_update(
            index_elements=["hour", "unit", "zone"],
            set_={name: t.c[name] + statement.excluded[name] for name in names},
        )
        values = [
            {"hour": hour, "unit": unit, "zone": zone, **dict(zip(names, counts, strict=True))}
            for (hour, unit, zone), counts in sorted(sums.items())
        ]
        self._db.run(statement, values)

    def coverage(
        self,
        since_us: int,
        until_us: int,
        by: str,
        *,
        scope: Scope = EVERYTHING,
        zone: str | None = None,
    ) -> list[CoverageSum]:
        """By name."""
        t = self._t.coverage
        names: dict[str, ColumnElement[Any] | Column[Any]] = {"zone": t.c.zone, "unit": t.c.unit, "hour": t.c.hour}
        name = names[by]
        sums = (t.c.distance_m, t.c.located_ms, t.c.reads, t.c.unlocated_ms, t.c.periods, t.c.jumps)
        statement = select(name, *(func.sum(column) for column in sums)).where(
            t.c.hour >= since_us, t.c.hour < until_us
        )
        if by != "zone" or zone is not None:
            statement = statement.where(t.c.zone == (_ALL if zone is None else zone))
        statement = statement.where(*in_scope(t.c.unit, scope))
        found = self._db.all(statement.group_by(name).order_by(name))
        return [CoverageSum(str(row[0]), *(int(value) for value in row[1:])) for row in found]

    def add_incidents(self, incidents: Sequence[IncidentRow]) -> None:
        """Inside a transaction."""
        floor_us = self.floor_us()
        kept = [dict(rows.incident_row(one)) for one in incidents if one.when_us >= floor_us]
        self._put(self._t.incidents, kept, newer="revision")

    def incidents(self, since_us: int, until_us: int, *, scope: Scope = EVERYTHING) -> list[IncidentRow]:
        """The oldest first."""
        t = self._t.incidents
        statement = select(t).where(t.c.when_us >= since_us, t.c.when_us < until_us)
        statement = statement.where(*in_scope(t.c.unit, scope))
        return [rows.incident_of(row) for row in self._db.all(statement.order_by(t.c.when_us, t.c.incident_id))]

    def incident(self, incident_id: bytes) -> IncidentRow | None:
        """None if it is unknown."""
        t = self._t.incidents
        row = self._db.first(select(t).where(t.c.incident_id == incident_id))
        return None if row is None else rows.incident_of(row)

    def was_received(self, unit: str, record_id: bytes) -> bool:
        """The chain's row stays when a record is deleted, and in the file the record's own row, too."""
        in_file = select(RECORDS.c.seq).where(RECORDS.c.unit == unit, RECORDS.c.record_id == record_id)
        proved = select(EVIDENCE.c.seq).where(EVIDENCE.c.unit == unit, EVIDENCE.c.record_id == record_id)
        return self._db.first(in_file.limit(1)) is not None or self._db.first(proved.limit(1)) is not None

    def taken_over(self, shifts: Sequence[bytes], incidents: Sequence[bytes]) -> TakenOver:
        """In parts: older SQLite has at most 999 values."""
        t = self._t
        return TakenOver(
            {
                one.shift_id: one
                for one in map(rows.worked_of, self._of_ids(t.worked, t.worked.c.shift_id, shifts))
            },
            {
                one.incident_id: one
                for one in map(rows.incident_of, self._of_ids(t.incidents, t.incidents.c.incident_id, incidents))
            },
        )

    def _of_ids(self, table: Table, key: Column[Any], ids: Sequence[bytes]) -> Iterator[Any]:
        for first in range(0, len(ids), _ROWS):
            yield from self._db.all(select(table).where(key.in_(ids[first : first + _ROWS])))

    def unrecorded(self) -> list[tuple[str, bytes]]:
        """By unit and id."""
        found: list[tuple[str, bytes]] = []
        for table in (self._t.worked, self._t.incidents):
            (key,) = table.primary_key
            if conditions := self._without_record(table):
                statement = select(table.c.unit, key).where(*conditions)
                found += [(unit, bytes(named)) for unit, named in self._db.all(statement)]
        return sorted(found)

    def cursor(self, schema: str) -> Cursor | None:
        """None if nothing was taken over."""
        t = self._t.cursors
        row = self._db.first(select(t.c.received_us).where(t.c.schema == schema))
        return None if row is None else Cursor(row.received_us)

    def move_cursor(self, schema: str, cursor: Cursor, *, was: Cursor | None) -> bool:
        """Inside a transaction."""
        t = self._t.cursors
        values = {"schema": schema, "received_us": cursor.received_us}
        if was is None:
            return bool(self._db.run(self._db.insert(t).values(values).on_conflict_do_nothing()).rowcount)
        same = and_(t.c.schema == schema, t.c.received_us == was.received_us)
        return bool(self._db.run(update(t).where(same).values(received_us=cursor.received_us)).rowcount)

    def rewind(self, schemas: Collection[str], received_us: int) -> None:
        """Inside a transaction; nothing is written as long as the clock goes on."""
        t = self._t.cursors
        for schema in sorted(_TAKEN_OVER.intersection(schemas)):
            ahead = and_(t.c.schema == schema, t.c.received_us > received_us + MARGIN_US)
            self._db.run(update(t).where(ahead).values(received_us=received_us))

    def purge_class(self, before_us: int, retention: str | None) -> None:
        """Inside a transaction."""
        for table, time, name in self._taken_over():
            if retention in {None, name}:
                # A hold may have kept some of their records.
                self._db.run(delete(table).where(time < before_us, *self._without_record(table)))

    def purge_plans(self, before_us: int) -> int:
        """Inside a transaction."""
        t = self._t.shifts
        gone = int(self._db.run(delete(t).where(t.c.ends_us < before_us)).rowcount)
        for table, time, _ in self._taken_over():
            left = self._without_record(table, held=True)
            gone += int(self._db.run(delete(table).where(time < before_us, *left)).rowcount)
        self._put(self._t.cursors, [{"schema": _PURGED, "received_us": max(before_us, self.floor_us())}])
        return gone

    def floor_us(self) -> int:
        """0 if nothing was deleted."""
        found = self.cursor(_PURGED)
        return 0 if found is None else found.received_us

    def _taken_over(self) -> tuple[tuple[Table, ColumnElement[int], str], ...]:
        """Table, its time, and the retention class of the records from which it is."""
        t = self._t
        return (
            (t.worked, t.worked.c.told_us, shift_type.RETENTION_CLASS),
            (t.periods, t.periods.c.ends_us, coverage_type.RETENTION_CLASS),
            (t.coverage, t.coverage.c.hour + HOUR_US - 1, coverage_type.RETENTION_CLASS),
            (t.incidents, t.incidents.c.when_us, incident_type.RETENTION_CLASS),
        )

    def _without_record(self, table: Table, *, held: bool = False) -> list[ColumnElement[bool]]:
        """Conditions on shifts and incidents: no record of them is stored, or with ``held`` none that a hold keeps."""
        for taken, schema, records in (
            (self._t.worked, shift_type.Shift.SCHEMA, _SHIFTS),
            (self._t.incidents, incident_type.Incident.SCHEMA, _INCIDENTS),
        ):
            if table is taken and schema in self._known:
                (key,) = taken.primary_key
                found = exists().where(records.c.unit == taken.c.unit, records.c[key.name] == key)
                if held:
                    found = found.where(HELD.c.unit == records.c.unit, HELD.c.record_id == records.c.record_id)
                return [~found]
        return []

    def kept(self) -> list[Kept]:
        """People and places have no time."""
        t = self._t
        timed = {"shifts": t.shifts.c.starts_us, "worked": t.worked.c.when_us, "coverage": t.coverage.c.hour,
                 "incidents": t.incidents.c.when_us}  # fmt: skip
        found = []
        for kind in ("people", "zones", "checkpoints", "assets", *timed):
            table: Table = getattr(t, kind)
            oldest = func.min(timed[kind]) if kind in timed else literal(None)
            count, first_us = self._db.all(select(func.count(), oldest).select_from(table))[0]
            found.append(Kept(kind, int(count), None if first_us is None else int(first_us)))
        return found

    def _put(self, table: Table, values: list[dict[str, Any]], *, newer: str = "") -> None:
        """Insert or replace by the primary key; with ``newer``, only if that column rises and the unit is the same."""
        if not values:
            return
        keys = [column.name for column in table.primary_key]
        statement = self._db.insert(table)
        changed = {
            column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys
        }
        where = None
        if newer:
            where = and_(table.c[newer] < statement.excluded[newer], table.c.unit == statement.excluded.unit)
        self._db.run(statement.on_conflict_do_update(index_elements=keys, set_=changed, where=where), values)


def _count(row: list[int], *values: int) -> None:
    for n, value in enumerate(values):
        row[n] += value

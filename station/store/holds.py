"""Legal holds and certificates of purges in the database.

Which records a hold keeps is found out when it is placed and again before each purge, because records arrive late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)

from protocol.errors import DocumentError, WireError
from protocol.merkle.documents import HoldStatement, parse_document
from protocol.wire.record import decode_record
from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.incident import Incident
from protocol.wire.records.read import Read
from station.errors import StoreError
from station.store.hold_progress import HoldProgress
from station.store.rows import ANY_LIFE, HoldRow, PurgedRange, PurgeRow
from station.store.search_sql import READS, plate_conditions
from station.store.tables import EVIDENCE, HELD, HERE, HOLDS, PURGED, PURGES, RECORDS, UNDATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Select

    from protocol.merkle.documents import HoldScope
    from station.store.database import Database
    from station.store.records import Records

LOCK = "holds"
_ID = RECORDS.c.record_id.type
_HITS = Table(
    "hits", MetaData(), Column("unit", Text), Column("record_id", _ID), Column("hit_id", LargeBinary),
    Column("read_id", LargeBinary), Column("text", Text), Column("listed_text", Text),
)  # fmt: skip
_DISPOSITIONS = Table(
    "dispositions", MetaData(), Column("unit", Text), Column("record_id", _ID), Column("hit_id", LargeBinary)
)
_MADE = func.coalesce(RECORDS.c.utc_us, RECORDS.c.received_us)
_NAMES = ("unit", "record_id", "hold")
_IDS_AT_ONCE = 200


class SqlHolds:
    """See :class:`station.store.port.StoredHolds`."""

    def __init__(self, db: Database, records: Records) -> None:
        self._db = db
        self._records = records
        self._progress = HoldProgress(db)

    def next_hold(self) -> int:
        """Inside a transaction."""
        self._db.lock(LOCK, b"")
        return self._next(HOLDS)

    def place(self, row: HoldRow) -> int:
        """Inside a transaction."""
        self._db.run(self._db.insert(HOLDS), {"number": row.number, "statement": row.statement, "release": None})
        self._keep(row)
        return self.counts().get(row.number, 0)

    def release(self, number: int, release: bytes) -> int:
        """Inside a transaction."""
        # Before records are read: a purge has this lock when it waits for those who read them.
        self._db.lock(LOCK, b"")
        records = self.counts().get(number, 0)
        statement = update(HOLDS).where(HOLDS.c.number == number, HOLDS.c.release.is_(None))
        if not self._db.run(statement.values(release=release)).rowcount:
            raise StoreError(f"hold {number} is not in force: it does not exist or was released; list the holds")
        self._db.run(delete(HELD).where(HELD.c.hold == number))
        self._progress.forget(number)
        return records

    def holds(self) -> list[HoldRow]:
        """By number."""
        statement = select(HOLDS.c.number, HOLDS.c.statement, HOLDS.c.release).order_by(HOLDS.c.number)
        return [
            HoldRow(number, _bytes(told), None if release is None else _bytes(release))
            for number, told, release in self._db.all(statement)
        ]

    def counts(self) -> dict[int, int]:
        """Of holds in force."""
        there = exists().where(RECORDS.c.unit == HELD.c.unit, RECORDS.c.record_id == HELD.c.record_id, HERE)
        rows = self._db.all(select(HELD.c.hold, func.count()).where(there).group_by(HELD.c.hold))
        return {int(hold): int(count) for hold, count in rows}

    def refresh(self, chosen: ColumnElement[bool] | None = None) -> None:
        """Find what came since the last time.  Inside a transaction.

        ``chosen`` are records that are to be deleted: they are looked at whenever they came.
        Raises StoreError for a hold that cannot be read: nothing may be purged that it might keep.
        """
        self._db.lock(LOCK, b"")
        for row in self.holds():
            if row.release is None:
                self._keep(row, chosen)

    def next_purge(self) -> int:
        """Inside a transaction."""
        self._db.lock("purges", b"")
        return self._next(PURGES)

    def add_purge(self, row: PurgeRow, ranges: Iterable[PurgedRange]) -> None:
        """Inside a transaction."""
        self._db.run(self._db.insert(PURGES), {"number": row.number, "certificate": row.certificate})
        self._db.run(
            self._db.insert(PURGED),
            [
                {"unit": r.unit, "life": r.life, "first": r.first, "purge": row.number, "last": r.last}
                for r in ranges
            ],
        )

    def purges(self) -> list[PurgeRow]:
        """By number."""
        statement = select(PURGES.c.number, PURGES.c.certificate).order_by(PURGES.c.number)
        return [PurgeRow(number, _bytes(told)) for number, told in self._db.all(statement)]

    def ranges(self, purge: int) -> list[PurgedRange]:
        """In order."""
        columns = (PURGED.c.unit, PURGED.c.first, PURGED.c.last, PURGED.c.life)
        found = [
            PurgedRange(unit, first, last, _bytes(life))
            for unit, first, last, life in self._db.all(select(*columns).where(PURGED.c.purge == purge))
        ]
        return sorted(found, key=lambda r: (r.unit, r.life, r.first))

    def unproven(self) -> Iterator[PurgedRange]:
        """One by one: there should be none."""
        if self._db.is_sqlite:
            source: Any = RECORDS
            is_gone: ColumnElement[bool] = RECORDS.c.payload.is_(None)
        else:
            source = EVIDENCE
            is_gone = ~exists().where(
                RECORDS.c.unit == EVIDENCE.c.unit,
                RECORDS.c.record_id == EVIDENCE.c.record_id,
                RECORDS.c.seq == EVIDENCE.c.seq,
            )
        proven = exists().where(
            PURGED.c.unit == source.c.unit,
            PURGED.c.life.in_((source.c.life, ANY_LIFE)),
            PURGED.c.first <= source.c.seq,
            PURGED.c.last >= source.c.seq,
        )
        place = (source.c.unit, source.c.life, source.c.seq)
        for unit, life, seq in self._db.all(select(*place).where(is_gone, ~proven).order_by(*place)):
            yield PurgedRange(unit, seq, seq, _bytes(life))

    def _next(self, table: Table) -> int:
        row = self._db.first(select(func.max(table.c.number)))
        return 1 if row is None or row[0] is None else int(row[0]) + 1

    def _keep(self, row: HoldRow, chosen: ColumnElement[bool] | None = None) -> None:
        try:
            scope = parse_document(row.statement, HoldStatement).scope
        except DocumentError as error:
            raise StoreError(
                f"hold {row.number} was altered in the database: {error}; run `patrol-lpr station check`"
            ) from error
        for found in self._found(row.number, scope, chosen):
            self._add(row.number, found)
        if scope.unit is None or _is_part(scope):
            self._follow(row.number)

    def _found(self, number: int, scope: HoldScope, chosen: ColumnElement[bool] | None) -> Iterator[Select[Any]]:
        """Statements that select unit and id of what a hold names itself."""
        keys = select(RECORDS.c.unit, RECORDS.c.record_id).where(HERE, *_limits(scope))
        if scope.ids is not None:
            yield from _named(keys, [bytes.fromhex(record_id) for record_id in scope.ids])
        elif scope.plate is not None:
            if self._knows(Read.SCHEMA):
                of_plate = plate_conditions(READS.c.text, [scope.plate])
                yield keys.where(_key_of(RECORDS).in_(select(READS.c.unit, READS.c.record_id).where(of_plate)))
            if self._knows(Hit.SCHEMA):
                of_plate = or_(*(plate_conditions(c, [scope.plate]) for c in (_HITS.c.text, _HITS.c.listed_text)))
                yield keys.where(_key_of(RECORDS).in_(select(_HITS.c.unit, _HITS.c.record_id).where(of_plate)))
        elif scope.case is not None:
            yield from self._of_case(keys, scope.case)
        elif scope.unit is not None:
            yield from self._of_unit(keys, number, scope)
            if chosen is not None:
                yield keys.where(chosen)

    def _of_unit(self, keys: Select[Any], number: int, scope: HoldScope) -> Iterator[Select[Any]]:
        """All of a unit, or what came since the last refresh."""
        new = self._progress.begin(number, scope.unit or "")
        if new is None:
            yield keys
        elif not _is_part(scope):
            yield from new
        else:
            yield from (keys.where(_key_of(RECORDS).in_(found)) for found in new)
            # A time anchor may have moved a record into the period.
            yield keys.where(UNDATED)

    def _of_case(self, keys: Select[Any], case_number: str) -> Iterator[Select[Any]]:
        """Incidents with a case number, with the reads and hits that they name."""
        for row in self._records.each(Incident.SCHEMA):
            try:
                body = decode_record(row.payload, self._records.projections.registry).body
            except WireError:
                continue
            if not isinstance(body, Incident) or body.case_number != case_number:
                continue
            yield from _named(keys.where(RECORDS.c.unit == row.unit), [row.record_id, *body.reads])
            if body.hits and self._knows(Hit.SCHEMA):
                hits = select(_HITS.c.unit, _HITS.c.record_id).where(
                    _HITS.c.unit == row.unit, _HITS.c.hit_id.in_(body.hits)
                )
                yield keys.where(_key_of(RECORDS).in_(hits))

    def _follow(self, number: int) -> None:
        """Keep with a read its hits, with a hit all its stages, its read and what was decided about it."""
        if not self._knows(Hit.SCHEMA):
            return
        held = select(HELD.c.unit, HELD.c.record_id).where(HELD.c.hold == number)
        its = select(_HITS.c.unit, _HITS.c.hit_id).where(
            or_(_key_of(_HITS).in_(held), tuple_(_HITS.c.unit, _HITS.c.read_id).in_(held))
        )
        stages = tuple_(_HITS.c.unit, _HITS.c.hit_id).in_(its)
        self._add(number, select(_HITS.c.unit, _HITS.c.record_id).where(stages))
        reads = select(_HITS.c.unit, _HITS.c.read_id).where(_key_of(_HITS).in_(held))
        self._add(number, select(RECORDS.c.unit, RECORDS.c.record_id).where(HERE, _key_of(RECORDS).in_(reads)))
        if self._knows(Disposition.SCHEMA):
            decided = tuple_(_DISPOSITIONS.c.unit, _DISPOSITIONS.c.hit_id).in_(
                select(_HITS.c.unit, _HITS.c.hit_id).where(_key_of(_HITS).in_(held))
            )
            self._add(number, select(_DISPOSITIONS.c.unit, _DISPOSITIONS.c.record_id).where(decided))

    def _add(self, number: int, keys: Select[Any]) -> None:
        found = keys.distinct().subquery()
        # SQLite takes ON CONFLICT for a part of a join where there is no condition before it.
        rows = select(found.c[0], found.c[1], literal(number)).where(true())
        self._db.run(self._db.insert(HELD).from_select(_NAMES, rows).on_conflict_do_nothing())

    def _knows(self, schema: str) -> bool:
        projected = self._records.projections.get(schema)
        return projected is not None and projected.table is not None


def _key_of(table: Table) -> Any:
    return tuple_(table.c.unit, table.c.record_id)


def _is_part(scope: HoldScope) -> bool:
    """False for a hold on everything of a unit, which has its hits and what was decided about them."""
    return bool(scope.ids or scope.plate or scope.case) or (scope.since_us, scope.until_us) != (None, None)


def _named(keys: Select[Any], ids: Sequence[bytes]) -> Iterator[Select[Any]]:
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield keys.where(RECORDS.c.record_id.in_(ids[start : start + _IDS_AT_ONCE]))


def _limits(scope: HoldScope) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if scope.unit is not None:
        found.append(RECORDS.c.unit == scope.unit)
    if scope.since_us is not None:
        found.append(scope.since_us <= _MADE)
    if scope.until_us is not None:
        found.append(scope.until_us >= _MADE)
    return found


def _bytes(value: Any) -> bytes:
    """SQLite has types by value: what somebody stored as text is altered, and is to be read as such."""
    return value.encode() if isinstance(value, str) else bytes(value)

"""Records of all types: stored once with their evidence, dated, indexed, purged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, exists, false, func, or_, select, tuple_, update

from protocol.errors import WireError
from protocol.seal.evidence import Evidence
from protocol.wire.record import decode_record
from station.asker import EVERYTHING
from station.store import arrivals, sequence
from station.store.contents import contents_of
from station.store.hit_states import HitStates
from station.store.purging import PURGING, Purging
from station.store.rows import EvidenceRow, Purgeable, PurgeResult, RecordRow
from station.store.scope import in_scope
from station.store.tables import (
    ANCHORS,
    EVIDENCE,
    HELD,
    HERE,
    INT64,
    OPAQUE,
    PICTURES,
    PROJECTIONS,
    RECORD_PICTURES,
    RECORDS,
    UNDATED,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Row, Select, Update

    from protocol.seal import OpenedRecord
    from protocol.wire.record import Record
    from protocol.wire.records.time_anchor import TimeAnchor
    from station.asker import Scope
    from station.store.contents import Contents, NewRecord
    from station.store.database import Database
    from station.store.lives import Series
    from station.store.projections import Projected, Projections
    from station.store.rows import PurgePlan

_YEAR_9999_US = 253_402_300_799_999_999
_DRIFT_US_PER_MS = 20_000_000
"""The clock of a small board may drift by 50 ppm: the uncertainty grows with the distance from the time anchor."""
MAX_ANCHORS = 256
"""Time anchors of one start of a unit by which records are dated: each looks at all records of the start that came
without a time, and a unit that sends more must not slow down the others."""
_NEAR = 24
"""Rows of a number and its neighbours: a unit may have been written anew a few times."""
PAGE = 256
"""Number of rows read at a time: an export may be larger than the memory."""

_IS_NAMED = and_(RECORDS.c.unit == bindparam("of"), RECORDS.c.record_id == bindparam("named"))
IS_HELD = exists().where(HELD.c.unit == RECORDS.c.unit, HELD.c.record_id == RECORDS.c.record_id)
"""Records that a hold keeps."""
PLACE = (RECORDS.c.received_us, RECORDS.c.unit, RECORDS.c.seq, RECORDS.c.record_id)
"""The order of arrival."""
UNDERSTOOD = ("retention", "mono_us", "utc_us", "time_source", "uncertainty_ms", "generation")
ROW = ("unit", "record_id", "seq", "boot", "schema", "received_us", *UNDERSTOOD, "payload", "life")
_PROOF = ("unit", "seq", "record_id", "prev", "digest", "key", "signature", "salt", "life")
_PICTURE = ("unit", "record_id", "sha", "kind")
_CONTENTS = (
    "retention",
    "mono_us",
    "utc_us",
    "time_source",
    "uncertainty_ms",
    "dating_gap_us",
    "payload",
)
"""The columns that a purge clears."""
SHOWN = (
    RECORDS.c.unit,
    RECORDS.c.record_id,
    RECORDS.c.seq,
    RECORDS.c.boot,
    RECORDS.c.schema,
    RECORDS.c.received_us,
    RECORDS.c.retention,
    RECORDS.c.mono_us,
    RECORDS.c.utc_us,
    RECORDS.c.time_source,
    RECORDS.c.uncertainty_ms,
    RECORDS.c.dating_gap_us,
    RECORDS.c.payload,
    select(func.count())
    .select_from(
        RECORD_PICTURES.join(
            PICTURES, and_(PICTURES.c.unit == RECORD_PICTURES.c.unit, PICTURES.c.sha == RECORD_PICTURES.c.sha)
        )
    )
    .where(
        RECORD_PICTURES.c.unit == RECORDS.c.unit,
        RECORD_PICTURES.c.record_id == RECORDS.c.record_id,
        PICTURES.c.jpeg.is_not(None),
    )
    .scalar_subquery(),
)
_EVIDENCE = (
    select(
        EVIDENCE.c.seq,
        EVIDENCE.c.record_id,
        EVIDENCE.c.prev,
        EVIDENCE.c.digest,
        EVIDENCE.c.key,
        EVIDENCE.c.signature,
        EVIDENCE.c.salt,
        RECORDS.c.payload,
        EVIDENCE.c.life,
    )
    .select_from(
        EVIDENCE.outerjoin(
            RECORDS, and_(RECORDS.c.unit == EVIDENCE.c.unit, RECORDS.c.record_id == EVIDENCE.c.record_id)
        )
    )
    .where(
        EVIDENCE.c.unit == bindparam("of"),
        tuple_(EVIDENCE.c.seq, EVIDENCE.c.record_id) > tuple_(bindparam("seq"), bindparam("named")),
    )
    .order_by(EVIDENCE.c.seq, EVIDENCE.c.record_id)
    .limit(PAGE)
)


def _dating(*more: ColumnElement[bool]) -> Update:
    """Date records of a boot by an anchor, unless a nearer one has; of two equally near, the earlier time is used.

    Sums are written as differences: numbers on the wire have 63 bits, and a sum could overflow.
    """
    apart = RECORDS.c.mono_us - bindparam("a_mono", type_=INT64)
    gap = func.abs(apart)
    utc = bindparam("a_utc", type_=INT64)
    nearer = or_(
        RECORDS.c.utc_us.is_(None),
        RECORDS.c.dating_gap_us > gap,
        and_(RECORDS.c.dating_gap_us == gap, RECORDS.c.utc_us - utc > apart),
    )
    within = apart.between(bindparam("lowest", type_=INT64), bindparam("highest", type_=INT64))
    return (
        update(RECORDS)
        .where(RECORDS.c.unit == bindparam("of"), RECORDS.c.boot == bindparam("a_boot"), UNDATED, nearer, within)
        .where(*more)
        .values(
            utc_us=utc + apart,
            time_source=bindparam("a_source"),
            uncertainty_ms=bindparam("a_uncertainty", type_=INT64) + gap // _DRIFT_US_PER_MS,
            dating_gap_us=gap,
        )
    )


_DATE_BOOT = _dating()
_DATE_ONE = _dating(RECORDS.c.record_id == bindparam("named"))
_NEAREST = (
    select(ANCHORS.c.mono_us, ANCHORS.c.utc_us, ANCHORS.c.time_source, ANCHORS.c.uncertainty_ms)
    .where(ANCHORS.c.unit == bindparam("of"), ANCHORS.c.boot == bindparam("a_boot"))
    .order_by(func.abs(ANCHORS.c.mono_us - bindparam("at", type_=INT64)), ANCHORS.c.utc_us - ANCHORS.c.mono_us)
    .limit(1)
)
_OPAQUE = (
    select(RECORDS.c.unit, RECORDS.c.record_id, RECORDS.c.received_us, RECORDS.c.payload)
    .where(RECORDS.c.schema == bindparam("type"), OPAQUE)
    .limit(PAGE)
)
_EARLIER = (
    select(*PLACE, RECORDS.c.payload)
    .where(RECORDS.c.schema == bindparam("type"), HERE, RECORDS.c.generation < bindparam("wanted"))
    .order_by(*PLACE)
    .limit(PAGE)
)
_TOO_MANY_ANCHORS = (
    select(ANCHORS.c.record_id)
    .where(ANCHORS.c.unit == bindparam("of"), ANCHORS.c.boot == bindparam("a_boot"))
    .offset(bindparam("others"))
    .limit(1)
)
_AGAIN = (
    select(RECORDS.c.seq)
    .where(
        RECORDS.c.unit == bindparam("of"),
        RECORDS.c.life == bindparam("which"),
        RECORDS.c.seq.in_(bindparam("numbers", expanding=True)),
    )
    .group_by(RECORDS.c.seq)
    .having(func.count() > 1)
)
_AMONG = select(RECORDS.c.record_id).where(
    RECORDS.c.unit == bindparam("of"), RECORDS.c.record_id.in_(bindparam("ids", expanding=True)), HERE
)
_COMPLETE = update(PROJECTIONS).where(PROJECTIONS.c.schema == bindparam("type")).values(complete=1)
_IS_OF_TYPE = and_(_IS_NAMED, RECORDS.c.schema == bindparam("type"))
"""PostgreSQL keeps records of two types under one id, if a unit sends them."""
_UNDERSTAND = (
    update(RECORDS)
    .where(_IS_OF_TYPE)
    .values({name: bindparam(f"new_{name}") for name in UNDERSTOOD})
    .values(dating_gap_us=None)
)
_LOOKED_AT = update(RECORDS).where(_IS_OF_TYPE).values(generation=bindparam("new_generation"))


@dataclass(frozen=True, slots=True)
class Item:
    """A record with the declaration of its type."""

    record: Record
    contents: Contents
    projected: Projected | None
    received_us: int

    @property
    def key(self) -> tuple[str, bytes]:
        """Unit and id."""
        return self.record.envelope.unit, self.record.envelope.record_id

    @property
    def series(self) -> Series:
        """Unit and life."""
        return self.record.envelope.unit, self.record.envelope.life

    def understood(self) -> tuple[Any, ...]:
        """Values of a record's body in ``records``: the columns of ``UNDERSTOOD``."""
        generation = 0 if self.projected is None else self.projected.generation
        time = self.contents.time
        if time is None:
            return (self.contents.retention, None, None, None, None, generation)
        return (
            self.contents.retention,
            time.mono_us,
            time.utc_us,
            time.source.value,
            time.uncertainty_ms,
            generation,
        )

    def row(self) -> tuple[Any, ...]:
        """The columns of ``ROW``."""
        e = self.record.envelope
        head = (e.unit, e.record_id, e.seq, e.boot_id, e.schema_id, self.received_us)
        return (*head, *self.understood(), self.record.payload, e.life)


class Records:
    """Part of the store; all writes run inside its transaction."""

    def __init__(self, db: Database, projections: Projections) -> None:
        self._db = db
        self._projections = projections
        self._hit_states = HitStates(db, projections.registry)
        self._evidence = _EVIDENCE
        self._prepare()

    def _prepare(self) -> None:
        """Build the statements for new records."""
        db = self._db
        insert = db.insert(RECORDS).on_conflict_do_nothing()
        self._insert = db.bulk(insert, ROW)
        self._insert_and_tell = insert.returning(RECORDS.c.unit, RECORDS.c.record_id)
        self._insert_evidence = db.bulk(db.insert(EVIDENCE).on_conflict_do_nothing(), _PROOF)
        self._insert_pictures = db.bulk(db.insert(RECORD_PICTURES).on_conflict_do_nothing(), _PICTURE)
        self._insert_anchors = db.insert(ANCHORS).on_conflict_do_nothing()
        self._insert_projected = {
            projected.known.schema: db.bulk(_upsert(db, projected), ("unit", "record_id", *projected.names))
            for projected in self._projections
            if projected.names
        }

    @property
    def projections(self) -> Projections:
        """The search tables."""
        return self._projections

    def add(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        """Store records with their evidence; False for each that was already stored."""
        if not new:
            return []
        items = [self._item(one.record, now_us) for one in new]
        fresh = self._insert_new(items)
        proofs = [
            (*_proof(one.proof), one.record.envelope.life)
            for one, is_new in zip(new, fresh, strict=True)
            if is_new and one.proof is not None
        ]
        self._insert_evidence.run(proofs)
        stored = [item for item, is_new in zip(items, fresh, strict=True) if is_new]
        # Not the number of a record that came under the id of another one: nothing of it is stored.
        for series, seqs in by_series(stored).items():
            sequence.mark_seen(self._db, *series, seqs)
        self._index(stored)
        self._publish(stored)
        return fresh

    def forks(self, new: Sequence[NewRecord]) -> dict[Series, int]:
        """Return how many of these new records have a number that another record has, by life.

        Inside the transaction that stored them.
        """
        numbers = by_series(self._item(one.record, 0) for one in new)
        found = {
            series: len(self._db.run(_AGAIN, {**_of(series), "numbers": seqs}).all())
            for series, seqs in numbers.items()
        }
        return {series: count for series, count in found.items() if count}

    def _publish(self, items: Sequence[Item]) -> None:
        """Add new records to the stream that outputs follow."""
        arrivals.append(
            self._db, [(*item.key, item.record.envelope.schema_id, item.received_us) for item in items]
        )

    def _insert_new(self, items: Sequence[Item]) -> list[bool]:
        """Insert; return for each record whether it was new.  Most groups are all new, which is cheap to detect."""
        rows = [item.row() for item in items]
        self._db.driver_sql("SAVEPOINT new_records")
        if self._insert.run(rows) == len(rows):
            self._db.driver_sql("RELEASE SAVEPOINT new_records")
            return [True] * len(rows)
        self._db.driver_sql("ROLLBACK TO SAVEPOINT new_records")
        named = [dict(zip(ROW, row, strict=True)) for row in rows]
        stored = {tuple(key) for key in self._db.run(self._insert_and_tell, named)}
        return [take(stored, item.key) for item in items]

    def project(self) -> None:
        """Index records that were stored before their type, or its columns, were known.

        In one transaction per page: other processes can write in between, and an interruption loses at most one page.
        """
        for projected in self._projections:
            known = {"type": projected.known.schema}
            while self._project_page(projected, _OPAQUE, known):
                pass
            if projected.complete:
                continue
            statement = _EARLIER
            while last := self._project_page(projected, statement, {**known, "wanted": projected.generation}):
                statement = _EARLIER.where(tuple_(*PLACE) > tuple_(*last[: len(PLACE)]))
            with self._db.transaction():
                self._db.run(_COMPLETE, known)

    def _project_page(self, projected: Projected, statement: Any, values: dict[str, Any]) -> Row[Any] | None:
        """Index the records that a statement finds; return the last of them."""
        with self._db.transaction():
            rows = self._db.run(statement, values).all()
            self._understand(rows, projected)
        return rows[-1] if rows else None

    def _understand(self, rows: Sequence[Row[Any]], projected: Projected) -> None:
        items = []
        looked_at = []
        for row in rows:
            key = {"of": row.unit, "named": row.record_id, "type": projected.known.schema}
            looked_at.append({**key, "new_generation": projected.generation})
            try:
                record = decode_record(row.payload, self._projections.registry)
            except WireError:
                # Does not match its type: it is kept and shown undecoded.
                continue
            items.append(self._item(record, row.received_us))
        self._db.run(_LOOKED_AT, looked_at)
        self._db.run(
            _UNDERSTAND,
            [
                {"of": item.key[0], "named": item.key[1], "type": projected.known.schema}
                | {f"new_{name}": value for name, value in zip(UNDERSTOOD, item.understood(), strict=True)}
                for item in items
            ],
        )
        self._index(items)

    def _item(self, record: Record, received_us: int) -> Item:
        projected = self._projections.get(record.envelope.schema_id)
        contents = contents_of(None if projected is None else projected.known, record.body)
        return Item(record, contents, projected, received_us)

    def _index(self, items: Sequence[Item]) -> None:
        """Store the picture references, effects and search columns of records."""
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        pictures: list[tuple[Any, ...]] = []
        for item in items:
            pictures += [(*item.key, ref.sha256, ref.kind.value) for ref in item.contents.pictures]
            if item.projected is not None and item.record.body is not None and item.projected.names:
                values = (*item.key, *item.projected.values(item.record.body))
                rows[item.record.envelope.schema_id].append(values)
        self._insert_pictures.run(pictures)
        for schema, values_of in rows.items():
            self._insert_projected[schema].run(values_of)
        for item in items:
            self._apply(item)
        self._hit_states.note(self._hit_states.keys(item.record for item in items))

    def _apply(self, item: Item) -> None:
        """Apply the effects of a record on others, and of others on it."""
        unit, record_id = item.key
        sequence.mark_lost(self._db, *item.series, item.contents.lost)
        anchor = item.contents.anchor
        if anchor is not None and self._counts(unit, anchor):
            self._anchor(unit, record_id, anchor)
        time = item.contents.time
        if time is not None and time.utc_us is None:
            boot = item.record.envelope.boot_id
            nearest = self._db.run(_NEAREST, {"of": unit, "a_boot": boot, "at": time.mono_us}).first()
            if nearest is not None:
                self._db.run(_DATE_ONE, {**_known(unit, boot, tuple(nearest)), "named": record_id})

    def _counts(self, unit: str, anchor: TimeAnchor) -> bool:
        asked = {"of": unit, "a_boot": anchor.anchored_boot_id, "others": MAX_ANCHORS - 1}
        return self._db.run(_TOO_MANY_ANCHORS, asked).first() is None

    def _anchor(self, unit: str, record_id: bytes, anchor: TimeAnchor) -> None:
        boot, time = anchor.anchored_boot_id, anchor.time
        known = (anchor.mono_us, anchor.utc_us, time.source.value, time.uncertainty_ms)
        values = dict(zip(("mono_us", "utc_us", "time_source", "uncertainty_ms"), known, strict=True))
        self._db.run(self._insert_anchors, {"unit": unit, "record_id": record_id, "boot": boot, **values})
        self._db.run(_DATE_BOOT, _known(unit, boot, known))
        self._hit_states.redate(unit, boot)

    def latest(
        self,
        schema: str,
        *,
        unit: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
        scope: Scope = EVERYTHING,
    ) -> list[RecordRow]:
        """Return the latest records of a type in the order of arrival, received since ``since_us``."""
        statement = (
            _select(schema, unit, since_us, scope).order_by(*(column.desc() for column in PLACE)).limit(limit)
        )
        return [RecordRow(*row) for row in reversed(self._db.all(statement))]

    def each(
        self, schema: str, *, unit: str | None = None, since_us: int | None = None, scope: Scope = EVERYTHING
    ) -> Iterator[RecordRow]:
        """Yield records of a type in the order of arrival, a page at a time: nothing is locked in between."""
        statement = _select(schema, unit, since_us, scope).order_by(*PLACE).limit(PAGE)
        rows = self._db.all(statement)
        while rows:
            for row in rows:
                yield RecordRow(*row)
            last = RecordRow(*rows[-1])
            place = tuple_(last.received_us, last.unit, last.seq, last.record_id)
            rows = self._db.all(statement.where(tuple_(*PLACE) > place)) if len(rows) == PAGE else ()

    def one(self, unit: str, record_id: bytes) -> RecordRow | None:
        """Return a record; None if it is unknown or was purged."""
        row = self._db.first(select(*SHOWN).where(_IS_NAMED, HERE), {"of": unit, "named": record_id})
        return None if row is None else RecordRow(*row)

    def among(self, keys: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """Return which records are stored and not purged, by unit and id.  Inside a transaction."""
        found: set[tuple[str, bytes]] = set()
        by_unit: dict[str, list[bytes]] = defaultdict(list)
        for unit, record_id in keys:
            by_unit[unit].append(record_id)
        for unit, ids in by_unit.items():
            rows = self._db.run(_AMONG, {"of": unit, "ids": ids})
            found.update((unit, bytes(row.record_id)) for row in rows)
        return found

    def count(self, schema: str) -> dict[str, int]:
        """Return the number of stored records of a type, by unit."""
        statement = (
            select(RECORDS.c.unit, func.count()).where(RECORDS.c.schema == schema, HERE).group_by(RECORDS.c.unit)
        )
        return {unit: count for unit, count in self._db.all(statement)}  # noqa: C416 - a row is no pair to mypy

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """Yield the evidence of a unit's records by sequence number, with the records that were not purged."""
        after: dict[str, Any] = {"of": unit, "seq": 0, "named": b""}
        while rows := self._db.all(self._evidence, after):
            for seq, _, prev, digest, key, signature, salt, payload, life in rows:
                yield EvidenceRow(Evidence(unit, seq, prev, digest, key, signature), salt, payload, bytes(life))
            after = {"of": unit, "seq": rows[-1].seq, "named": rows[-1].record_id}

    def one_evidence(self, unit: str, seq: int, record_id: bytes) -> EvidenceRow | None:
        """Return the evidence of one record; None if it was not signed."""
        exactly = self._evidence.where(EVIDENCE.c.seq == seq, EVIDENCE.c.record_id == record_id)
        row = self._db.first(exactly, {"of": unit, "seq": 0, "named": b""})
        if row is None:
            return None
        _, _, prev, digest, key, signature, salt, payload, life = row
        return EvidenceRow(Evidence(unit, seq, prev, digest, key, signature), salt, payload, bytes(life))

    def evidence_near(self, unit: str, seq: int) -> list[EvidenceRow]:
        """Return the evidence of a record and of those before and after it."""
        asked = {"of": unit, "seq": seq - 2, "named": b"\xff" * 17}
        rows = self._db.all(self._evidence.limit(_NEAR), asked)
        return [
            EvidenceRow(Evidence(unit, near, prev, digest, key, signature), salt, payload, bytes(life))
            for near, _, prev, digest, key, signature, salt, payload, life in rows
            if near <= seq + 1
        ]

    def purge(self, plan: PurgePlan, refresh: Callable[[ColumnElement[bool] | None], None]) -> PurgeResult:
        """Purge the contents of the plan's records that no hold keeps; ``refresh`` finds out which those are.

        Their rows stay.  A digest without its salt proves the chain and does not reveal the contents.
        """
        refresh(None)
        purging, held = self._select_for_purge(plan), self._count_held(plan)
        classes, ranges = purging.classes(), purging.ranges()
        self._projections.delete(self._db, purging.chosen)
        self._hit_states.delete(purging.chosen)
        keys = select(PURGING.c.unit, PURGING.c.seq, PURGING.c.record_id)
        proved = tuple_(EVIDENCE.c.unit, EVIDENCE.c.seq, EVIDENCE.c.record_id).in_(keys)
        self._db.run(update(EVIDENCE).where(EVIDENCE.c.salt.is_not(None), proved).values(salt=None))
        statement = update(RECORDS).where(purging.chosen).values(dict.fromkeys(_CONTENTS))
        count = int(self._db.run(statement).rowcount)
        purging.end()
        return PurgeResult(count, 0, classes, ranges, held=held)

    def _count_held(self, plan: PurgePlan) -> int:
        return int(self._db.run(select(func.count()).where(self.due(plan), IS_HELD)).scalar_one())

    def _select_for_purge(self, plan: PurgePlan) -> Purging:
        purging = Purging(self._db)
        purging.choose(and_(self.due(plan), ~IS_HELD))
        return purging

    def due(self, plan: PurgePlan) -> ColumnElement[bool]:
        """Records that a plan names, held or not."""
        conditions: list[ColumnElement[bool]] = [
            and_(
                RECORDS.c.retention.is_not(None)
                if rule.retention is None
                else RECORDS.c.retention == rule.retention,
                or_(RECORDS.c.received_us < rule.before_us, RECORDS.c.utc_us < rule.before_us),
            )
            for rule in plan.rules
        ]
        if plan.expired_us is not None:
            for table in self._projections.tables_with("expires_us"):
                expired = table.c.expires_us.between(1, plan.expired_us)
                keys = select(table.c.unit, table.c.record_id).where(expired)
                conditions.append(tuple_(RECORDS.c.unit, RECORDS.c.record_id).in_(keys))
        return and_(HERE, or_(false(), *conditions))

    def purgeable(self, plan: PurgePlan) -> list[Purgeable]:
        """Return what :meth:`purge` would delete, and what a hold keeps of it.  Inside a transaction."""
        received, held = RECORDS.c.received_us, case((IS_HELD, 1), else_=0)
        statement = (
            select(
                func.coalesce(RECORDS.c.retention, ""),
                func.count() - func.sum(held),
                func.min(received),
                func.max(received),
                func.sum(held),
            )
            .where(self.due(plan))
            .group_by(RECORDS.c.retention)
            .order_by(RECORDS.c.retention)
        )
        return [
            Purgeable(name, int(count), first, last, int(n_held))
            for name, count, first, last, n_held in self._db.all(statement)
        ]

    def newest_us(self) -> int | None:
        """Return the time of receipt of the newest record."""
        row = self._db.first(select(func.max(RECORDS.c.received_us)))
        return None if row is None or row[0] is None else int(row[0])


def _select(schema: str, unit: str | None, since_us: int | None, scope: Scope) -> Select[Any]:
    statement = select(*SHOWN).where(RECORDS.c.schema == schema, HERE, *in_scope(RECORDS.c.unit, scope))
    if unit is not None:
        statement = statement.where(RECORDS.c.unit == unit)
    if since_us is not None:
        statement = statement.where(RECORDS.c.received_us >= since_us)
    return statement


def _upsert(db: Database, projected: Projected) -> Any:
    statement = db.insert(projected.table)
    names = projected.names
    return statement.on_conflict_do_update(
        index_elements=["unit", "record_id"], set_={name: statement.excluded[name] for name in names}
    )


def _known(unit: str, boot: bytes, anchor: tuple[int, int, str, int | None]) -> dict[str, Any]:
    """A time anchor of a boot.  Times outside 1970 to 9999 are ignored."""
    mono_us, utc_us, source, uncertainty_ms = anchor
    return {
        "of": unit,
        "a_boot": boot,
        "a_mono": mono_us,
        "a_utc": utc_us,
        "a_source": source,
        "a_uncertainty": uncertainty_ms,
        "lowest": -utc_us,
        "highest": _YEAR_9999_US - utc_us,
    }


def by_series(items: Iterable[Item]) -> dict[Series, list[int]]:
    """Return the numbers of records by unit and life, in the order of the records."""
    numbers: dict[Series, list[int]] = defaultdict(list)
    for item in items:
        numbers[item.series].append(item.record.envelope.seq)
    return numbers


def _of(series: Series) -> dict[str, Any]:
    return {"of": series[0], "which": series[1]}


def take(stored: set[tuple[Any, ...]], key: tuple[Any, ...]) -> bool:
    """A record that is in one group twice is new once."""
    if key not in stored:
        return False
    stored.remove(key)
    return True


def _proof(proof: OpenedRecord) -> tuple[Any, ...]:
    e = proof.evidence
    return (e.unit, e.seq, proof.record_id, e.prev, e.digest, e.key_id, e.signature, proof.salt)

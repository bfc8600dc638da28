"""Records of all types: stored once with their evidence, dated, indexed, purged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, func, or_, select, tuple_, update

from protocol.errors import WireError
from protocol.seal.evidence import Evidence
from protocol.wire.record import decode_record
from station.asker import EVERYTHING
from station.store import sequence
from station.store.contents import contents_of
from station.store.rows import EvidenceRow, Purgeable, RecordRow
from station.store.scope import in_scope
from station.store.tables import (
    ANCHORS,
    EVIDENCE,
    HERE,
    INT64,
    LOST,
    OPAQUE,
    PICTURES,
    PROJECTIONS,
    RECORD_PICTURES,
    RECORDS,
    UNDATED,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Row, Select, Update

    from protocol.seal import OpenedRecord
    from protocol.wire.record import Record
    from protocol.wire.records.time_anchor import TimeAnchor
    from station.asker import Scope
    from station.store.contents import Contents, NewRecord
    from station.store.database import Database
    from station.store.projections import Projected, Projections

_YEAR_9999_US = 253_402_300_799_999_999
_DRIFT_US_PER_MS = 20_000_000
"""The clock of a small board may drift by 50 ppm: the uncertainty grows with the distance from the time anchor."""
_NEAR = 3
PAGE = 256
"""Number of rows read at a time: an export may be larger than the memory."""

_IS_NAMED = and_(RECORDS.c.unit == bindparam("of"), RECORDS.c.record_id == bindparam("named"))
PLACE = (RECORDS.c.received_us, RECORDS.c.unit, RECORDS.c.seq, RECORDS.c.record_id)
"""The order of arrival."""
UNDERSTOOD = ("retention", "mono_us", "utc_us", "time_source", "uncertainty_ms", "generation")
ROW = ("unit", "record_id", "seq", "boot", "schema", "received_us", *UNDERSTOOD, "payload")
_PROOF = ("unit", "seq", "record_id", "prev", "digest", "key", "signature", "salt")
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
_FORGET_LOST = delete(LOST).where(
    LOST.c.unit == bindparam("of"), LOST.c.first == bindparam("low"), LOST.c.last == bindparam("high")
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
_COMPLETE = update(PROJECTIONS).where(PROJECTIONS.c.schema == bindparam("type")).values(complete=1)
_UNDERSTAND = (
    update(RECORDS)
    .where(_IS_NAMED)
    .values({name: bindparam(f"new_{name}") for name in UNDERSTOOD})
    .values(dating_gap_us=None)
)
_LOOKED_AT = update(RECORDS).where(_IS_NAMED).values(generation=bindparam("new_generation"))


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
        return (*head, *self.understood(), self.record.payload)


class Records:
    """Part of the store; all writes run inside its transaction."""

    def __init__(self, db: Database, projections: Projections) -> None:
        self._db = db
        self._projections = projections
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
        self._insert_lost = db.insert(LOST)
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
        numbers: dict[str, list[int]] = defaultdict(list)
        for item in items:
            numbers[item.record.envelope.unit].append(item.record.envelope.seq)
        for unit, seqs in numbers.items():
            sequence.mark_seen(self._db, unit, seqs)
        proofs = [one.proof for one, is_new in zip(new, fresh, strict=True) if is_new and one.proof is not None]
        self._insert_evidence.run([_proof(proof) for proof in proofs])
        self._index([item for item, is_new in zip(items, fresh, strict=True) if is_new])
        return fresh

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
            looked_at.append({"of": row.unit, "named": row.record_id, "new_generation": projected.generation})
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
                {"of": item.key[0], "named": item.key[1]}
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

    def _apply(self, item: Item) -> None:
        """Apply the effects of a record on others, and of others on it."""
        unit, record_id = item.key
        for first, last in item.contents.lost:
            self._db.run(_FORGET_LOST, {"of": unit, "low": first, "high": last})
            self._db.run(self._insert_lost, {"unit": unit, "first": first, "last": last})
        if item.contents.anchor is not None:
            self._anchor(unit, record_id, item.contents.anchor)
        time = item.contents.time
        if time is not None and time.utc_us is None:
            boot = item.record.envelope.boot_id
            nearest = self._db.run(_NEAREST, {"of": unit, "a_boot": boot, "at": time.mono_us}).first()
            if nearest is not None:
                self._db.run(_DATE_ONE, {**_known(unit, boot, tuple(nearest)), "named": record_id})

    def _anchor(self, unit: str, record_id: bytes, anchor: TimeAnchor) -> None:
        boot, time = anchor.anchored_boot_id, anchor.time
        known = (anchor.mono_us, anchor.utc_us, time.source.value, time.uncertainty_ms)
        values = dict(zip(("mono_us", "utc_us", "time_source", "uncertainty_ms"), known, strict=True))
        self._db.run(self._insert_anchors, {"unit": unit, "record_id": record_id, "boot": boot, **values})
        self._db.run(_DATE_BOOT, _known(unit, boot, known))

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
            for seq, _, prev, digest, key, signature, salt, payload in rows:
                yield EvidenceRow(Evidence(unit, seq, prev, digest, key, signature), salt, payload)
            after = {"of": unit, "seq": rows[-1].seq, "named": rows[-1].record_id}

    def evidence_near(self, unit: str, seq: int) -> list[EvidenceRow]:
        """Return the evidence of a record and of those before and after it."""
        asked = {"of": unit, "seq": seq - 2, "named": b"\xff" * 17}
        rows = self._db.all(self._evidence.limit(_NEAR), asked)
        return [
            EvidenceRow(
                Evidence(unit, row.seq, row.prev, row.digest, row.key, row.signature), row.salt, row.payload
            )
            for row in rows
            if row.seq <= seq + 1
        ]

    def purge(self, before_us: int, retention: str | None) -> int:
        """Purge the contents of records of a retention class, None for all, made or received before a time.

        Their rows stay.  A digest without its salt proves the chain and does not reveal the contents.
        """
        gone = _to_purge(before_us, retention)
        self._projections.delete(self._db, gone)
        keys = select(RECORDS.c.unit, RECORDS.c.seq, RECORDS.c.record_id).where(gone)
        proved = tuple_(EVIDENCE.c.unit, EVIDENCE.c.seq, EVIDENCE.c.record_id).in_(keys)
        self._db.run(update(EVIDENCE).where(EVIDENCE.c.salt.is_not(None), proved).values(salt=None))
        return int(self._db.run(update(RECORDS).where(gone).values(dict.fromkeys(_CONTENTS))).rowcount)

    def purgeable(self, before_us: int, retention: str | None) -> list[Purgeable]:
        """Return what :meth:`purge` would delete."""
        received = RECORDS.c.received_us
        statement = (
            select(RECORDS.c.retention, func.count(), func.min(received), func.max(received))
            .where(_to_purge(before_us, retention))
            .group_by(RECORDS.c.retention)
            .order_by(RECORDS.c.retention)
        )
        return [Purgeable(*row) for row in self._db.all(statement)]

    def newest_us(self) -> int | None:
        """Return the time of receipt of the newest record."""
        row = self._db.first(select(func.max(RECORDS.c.received_us)))
        return None if row is None or row[0] is None else int(row[0])


def _to_purge(before_us: int, retention: str | None) -> ColumnElement[bool]:
    return and_(
        HERE,
        RECORDS.c.retention.is_not(None) if retention is None else RECORDS.c.retention == retention,
        or_(RECORDS.c.received_us < before_us, RECORDS.c.utc_us < before_us),
    )


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


def take(stored: set[tuple[Any, ...]], key: tuple[Any, ...]) -> bool:
    """A record that is in one group twice is new once."""
    if key not in stored:
        return False
    stored.remove(key)
    return True


def _proof(proof: OpenedRecord) -> tuple[Any, ...]:
    e = proof.evidence
    return (e.unit, e.seq, proof.record_id, e.prev, e.digest, e.key_id, e.signature, proof.salt)

"""Compares what is searched and shown with the signed bytes of the records, and pictures with their hashes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, exists, select, tuple_

from protocol.errors import WireError
from protocol.seal.head import Head
from protocol.wire.codec import decode
from protocol.wire.record import decode_record
from protocol.wire.records.time_anchor import TimeAnchor
from station.store.hit_states import HitStates
from station.store.rows import StoreFault
from station.store.tables import ANCHORS, HERE, LIVES, PICTURES, RECORD_PICTURES, RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement

    from protocol.wire.record import Record
    from protocol.wire.registry import RecordBody, RecordTime, Registry
    from station.store.database import Database
    from station.store.projections import Projected, Projections

_PAGE = 500
_COLUMNS = (
    RECORDS.c.unit, RECORDS.c.record_id, RECORDS.c.seq, RECORDS.c.boot, RECORDS.c.schema, RECORDS.c.retention,
    RECORDS.c.mono_us, RECORDS.c.utc_us, RECORDS.c.time_source, RECORDS.c.uncertainty_ms, RECORDS.c.dating_gap_us,
    RECORDS.c.payload, RECORDS.c.life,
)  # fmt: skip

_ANCHORS_OF_BOOT = select(ANCHORS.c.mono_us, ANCHORS.c.utc_us).where(
    ANCHORS.c.unit == bindparam("of"), ANCHORS.c.boot == bindparam("a_boot")
)
_ANCHORS_WITH_RECORD = select(ANCHORS, RECORDS.c.payload).outerjoin(
    RECORDS, and_(RECORDS.c.unit == ANCHORS.c.unit, RECORDS.c.record_id == ANCHORS.c.record_id, HERE)
)


def store_faults(db: Database, projections: Projections) -> Iterator[StoreFault]:
    """Yield what was altered or removed; reads a page at a time."""
    for projected in projections:
        for page in _pages(db, RECORDS.c.schema == projected.known.schema):
            indexed = _indexed(db, projected, page)
            anchors = _Anchors(db)
            for row in page:
                its = indexed.get((row.unit, bytes(row.record_id)), [])
                fault = _fault(projected, row, its, projections.registry) or anchors.fault(row)
                if fault and (its or _is_there(db, row)):
                    yield StoreFault(row.unit, bytes(row.record_id), fault)
        yield from _without_record(db, projected)
    yield from _of_another_type(db, projections)
    yield from HitStates(db, projections.registry).faults()
    yield from _altered_anchors(db, projections.registry)
    yield from _altered_pictures(db)
    yield from _removed_pictures(db)
    yield from _altered_heads(db)


def _of_another_type(db: Database, projections: Projections) -> Iterator[StoreFault]:
    """Records under the name of a type that this station does not know: they are in no search table."""
    known = [projected.known.schema for projected in projections]
    for row in chain.from_iterable(_pages(db, RECORDS.c.schema.not_in(known))):
        try:
            envelope = decode_record(bytes(row.payload), projections.registry).envelope
        except WireError:
            yield StoreFault(row.unit, bytes(row.record_id), "contents: not a record")
            continue
        named = (envelope.unit, envelope.record_id, envelope.seq, envelope.boot_id, envelope.schema_id)
        if named != (row.unit, bytes(row.record_id), row.seq, bytes(row.boot), row.schema):
            yield StoreFault(row.unit, bytes(row.record_id), "unit, id, number, boot or type")


def _pages(db: Database, of_type: ColumnElement[bool]) -> Iterator[Sequence[Any]]:
    """Records of a type, or of several."""
    statement = select(*_COLUMNS).where(of_type, HERE)
    # On PostgreSQL a unit may have sent several records under one id.
    order = (RECORDS.c.unit, RECORDS.c.record_id, RECORDS.c.seq)
    after: tuple[str, bytes, int] | None = None
    while True:
        following = statement if after is None else statement.where(tuple_(*order) > after)
        page = db.all(following.order_by(*order).limit(_PAGE))
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1].unit, page[-1].record_id, page[-1].seq


def _is_there(db: Database, row: Any) -> bool:
    """False if a purge has deleted the record since it was read."""
    named = (RECORDS.c.unit == row.unit, RECORDS.c.record_id == row.record_id, RECORDS.c.seq == row.seq)
    return db.first(select(RECORDS.c.seq).where(*named, HERE)) is not None


def _indexed(
    db: Database, projected: Projected, page: Sequence[Any]
) -> dict[tuple[str, bytes], list[tuple[Any, ...]]]:
    """What the search table has of records, by unit and id."""
    found: dict[tuple[str, bytes], list[tuple[Any, ...]]] = defaultdict(list)
    table = projected.table
    ids: dict[str, set[bytes]] = defaultdict(set)
    if table is None:
        return found
    for row in page:
        ids[row.unit].add(bytes(row.record_id))
    columns = (table.c.record_id, *(table.c[name] for name in projected.names))
    for unit, wanted in ids.items():
        statement = select(*columns).where(table.c.unit == unit, table.c.record_id.in_(sorted(wanted)))
        for record_id, *values in db.all(statement):
            found[unit, bytes(record_id)].append(tuple(map(_plain, values)))
    return found


def _fault(projected: Projected, row: Any, indexed: Sequence[tuple[Any, ...]], registry: Registry) -> str:
    try:
        record = decode_record(bytes(row.payload), registry)
    except WireError:
        return "contents: not a record"
    if record.body is None:
        return "contents: of another type"
    return _column_fault(projected, record, row) or _index_fault(projected, record.body, indexed)


def _column_fault(projected: Projected, record: Record, row: Any) -> str:
    envelope, body, known = record.envelope, record.body, projected.known
    named = (envelope.unit, envelope.record_id, envelope.seq, envelope.boot_id, envelope.schema_id)
    if named != (row.unit, bytes(row.record_id), row.seq, bytes(row.boot), row.schema):
        return "unit, id, number, boot or type"
    if envelope.life != bytes(row.life):
        return "life"
    if known.retention(body) != row.retention:
        return "retention class"
    return "" if _has_its_time(known.when(body), row) else "time"


def _index_fault(projected: Projected, body: RecordBody, indexed: Sequence[tuple[Any, ...]]) -> str:
    if projected.table is None:
        return ""
    if not indexed:
        return "removed from the search table"
    values = projected.values(body)
    if values in indexed:
        return ""
    differing = [
        name for name, one, other in zip(projected.names, indexed[0], values, strict=True) if one != other
    ]
    return f"search table: {', '.join(differing)}"


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _has_its_time(when: RecordTime | None, row: Any) -> bool:
    shown = (row.mono_us, row.utc_us, row.time_source, row.uncertainty_ms)
    if when is None:
        return shown == (None, None, None, None) and row.dating_gap_us is None
    if row.dating_gap_us is not None:
        # A record that a time anchor has dated has a time of its own at the station.
        return row.mono_us == when.mono_us and when.utc_us is None
    return shown == (when.mono_us, when.utc_us, when.source.value, when.uncertainty_ms)


class _Anchors:
    """The time anchors of the boots of some records."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._of_boot: dict[tuple[str, bytes], Sequence[Any]] = {}

    def fault(self, row: Any) -> str:
        """A record that the station has dated must have the time of an anchor of its boot."""
        if row.dating_gap_us is None:
            return ""
        boot = row.unit, bytes(row.boot)
        if boot not in self._of_boot:
            self._of_boot[boot] = self._db.all(_ANCHORS_OF_BOOT, {"of": boot[0], "a_boot": boot[1]})
        for anchor in self._of_boot[boot]:
            apart_us = row.mono_us - anchor.mono_us
            if abs(apart_us) == row.dating_gap_us and row.utc_us == anchor.utc_us + apart_us:
                return ""
        return "time"


def _altered_anchors(db: Database, registry: Registry) -> Iterator[StoreFault]:
    """Time anchors by which records are dated, and which are not what a record says; their records are never purged."""
    right: dict[tuple[str, bytes], bool] = defaultdict(bool)
    for row in db.all(_ANCHORS_WITH_RECORD):
        shown = (bytes(row.boot), row.mono_us, row.utc_us, row.time_source, row.uncertainty_ms)
        # On PostgreSQL a unit may have sent several records under one id.
        right[row.unit, bytes(row.record_id)] |= shown == _anchor_of(row.payload, registry)
    for (unit, record_id), is_right in right.items():
        if not is_right:
            yield StoreFault(unit, record_id, "time anchor")


def _anchor_of(payload: Any, registry: Registry) -> tuple[Any, ...] | None:
    try:
        body = None if payload is None else decode_record(bytes(payload), registry).body
    except WireError:
        return None
    if not isinstance(body, TimeAnchor):
        return None
    return (
        body.anchored_boot_id,
        body.mono_us,
        body.utc_us,
        body.time.source.value,
        body.time.uncertainty_ms,
    )


def _without_record(db: Database, projected: Projected) -> Iterator[StoreFault]:
    table = projected.table
    if table is None:
        return
    there = select(RECORDS.c.unit).where(
        RECORDS.c.unit == table.c.unit, RECORDS.c.record_id == table.c.record_id, HERE
    )
    for unit, record_id in db.all(select(table.c.unit, table.c.record_id).where(~there.exists())):
        yield StoreFault(unit, bytes(record_id), "in the search table without a record")


def _altered_pictures(db: Database) -> Iterator[StoreFault]:
    complete = select(PICTURES.c.unit, PICTURES.c.sha).where(PICTURES.c.jpeg.is_not(None))
    for unit, sha in db.all(complete):
        row = db.first(select(PICTURES.c.jpeg).where(PICTURES.c.unit == unit, PICTURES.c.sha == sha))
        if row is None:
            continue
        # SQLite has types by value: what somebody stored as text is altered, too.
        jpeg = b"" if isinstance(row.jpeg, str) else bytes(row.jpeg)
        if hashlib.sha256(jpeg).digest() != bytes(sha):
            yield StoreFault(unit, bytes(sha), "picture altered")


def _removed_pictures(db: Database) -> Iterator[StoreFault]:
    """Pictures that were complete once and are gone, although a record that is here names them.

    The row of the sealed picture tells that it was opened, or its own row that all bytes had come.  Without either it
    looks like a picture that never came.
    """
    plain = PICTURES.alias("plain")
    opened = and_(PICTURES.c.opened.is_not(None), PICTURES.c.jpeg.is_(None))
    there = exists().where(
        plain.c.unit == PICTURES.c.unit, plain.c.sha == PICTURES.c.opened, plain.c.jpeg.is_not(None)
    )
    came = and_(
        PICTURES.c.opened.is_(None),
        PICTURES.c.jpeg.is_(None),
        PICTURES.c.stored >= PICTURES.c.total,
        PICTURES.c.total > 0,
    )
    for sha, gone in ((PICTURES.c.opened, and_(opened, ~there)), (PICTURES.c.sha, came)):
        its_record = and_(
            RECORD_PICTURES.c.unit == PICTURES.c.unit,
            RECORD_PICTURES.c.sha == sha,
            RECORDS.c.unit == RECORD_PICTURES.c.unit,
            RECORDS.c.record_id == RECORD_PICTURES.c.record_id,
            HERE,
        )
        named = exists().select_from(RECORD_PICTURES).where(its_record)
        for unit, digest in db.all(select(PICTURES.c.unit, sha).where(gone, named)):
            yield StoreFault(unit, bytes(digest), "picture removed")


def _altered_heads(db: Database) -> Iterator[StoreFault]:
    """What is no head of its life; a series is compared with its head by whoever has the unit's key."""
    heads = select(LIVES.c.unit, LIVES.c.life, LIVES.c.head).where(LIVES.c.head.is_not(None))
    for unit, life, payload in db.all(heads):
        try:
            head = decode(bytes(payload), Head)
        except (WireError, TypeError):
            yield StoreFault(unit, bytes(life), "signed head: not a head")
            continue
        if (head.unit, head.life) != (unit, bytes(life)):
            yield StoreFault(unit, bytes(life), "signed head: of another unit or life")

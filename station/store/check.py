"""Compares what is searched and shown with the signed bytes of the records, and pictures with their hashes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_

from protocol.errors import WireError
from protocol.seal.head import Head
from protocol.wire.codec import decode
from protocol.wire.record import decode_record
from station.store.rows import StoreFault
from station.store.tables import HERE, LIVES, PICTURES, RECORDS

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
    RECORDS.c.mono_us, RECORDS.c.utc_us, RECORDS.c.dating_gap_us, RECORDS.c.payload, RECORDS.c.life,
)  # fmt: skip


def store_faults(db: Database, projections: Projections) -> Iterator[StoreFault]:
    """Yield what was altered or removed; reads a page at a time."""
    for projected in projections:
        for page in _pages(db, RECORDS.c.schema == projected.known.schema):
            indexed = _indexed(db, projected, page)
            for row in page:
                its = indexed.get((row.unit, bytes(row.record_id)), [])
                fault = _fault(projected, row, its, projections.registry)
                if fault and (its or _is_there(db, row)):
                    yield StoreFault(row.unit, bytes(row.record_id), fault)
        yield from _without_record(db, projected)
    yield from _of_another_type(db, projections)
    yield from _altered_pictures(db)
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
    if when is None:
        return row.mono_us is None and row.utc_us is None
    # A record that a time anchor has dated has a time of its own at the station.
    return row.mono_us == when.mono_us and (row.dating_gap_us is not None or row.utc_us == when.utc_us)


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

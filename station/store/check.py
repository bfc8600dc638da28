"""Compares what is searched and shown with the signed bytes of the records, and pictures with their hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select, tuple_

from protocol.errors import WireError
from protocol.seal.head import Head
from protocol.wire.codec import decode
from protocol.wire.record import decode_record
from station.store.rows import StoreFault
from station.store.tables import HERE, LIVES, PICTURES, RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        for page in _pages(db, projected):
            for row in page:
                fault = _fault(projected, row, projections.registry)
                if fault:
                    yield StoreFault(row.unit, bytes(row.record_id), fault)
        yield from _without_record(db, projected)
    yield from _altered_pictures(db)
    yield from _altered_heads(db)


def _pages(db: Database, projected: Projected) -> Iterator[Sequence[Any]]:
    """Records of a type with their rows of the search table."""
    table = projected.table
    statement = select(*_COLUMNS)
    if table is not None:
        its = [table.c[name].label(f"its_{name}") for name in projected.names]
        same = and_(table.c.unit == RECORDS.c.unit, table.c.record_id == RECORDS.c.record_id)
        statement = select(*_COLUMNS, table.c.unit.label("its_unit"), *its).select_from(
            RECORDS.outerjoin(table, same)
        )
    statement = statement.where(RECORDS.c.schema == projected.known.schema, HERE)
    order = tuple_(RECORDS.c.unit, RECORDS.c.record_id)
    after: tuple[str, bytes] | None = None
    while True:
        following = statement if after is None else statement.where(order > after)
        page = db.all(following.order_by(RECORDS.c.unit, RECORDS.c.record_id).limit(_PAGE))
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1].unit, page[-1].record_id


def _fault(projected: Projected, row: Any, registry: Registry) -> str:
    try:
        record = decode_record(bytes(row.payload), registry)
    except WireError:
        return "contents: not a record"
    if record.body is None:
        return "contents: of another type"
    return _column_fault(projected, record, row) or _index_fault(projected, record.body, row)


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


def _index_fault(projected: Projected, body: RecordBody, row: Any) -> str:
    if projected.table is None:
        return ""
    if row.its_unit is None:
        return "removed from the search table"
    values = projected.values(body)
    differing = [name for name, value in zip(projected.names, values, strict=True) if _of(row, name) != value]
    return f"search table: {', '.join(differing)}" if differing else ""


def _of(row: Any, name: str) -> Any:
    value = getattr(row, f"its_{name}")
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

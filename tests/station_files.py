"""The station's store as tests fill it and look into it, past the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from station.query import READ_SCHEMA, stored_record
from station.store import NewRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.wire.record import Record
    from station.query import StoredRecord
    from station.store import Store


def each_read(store: Store, schema: str = READ_SCHEMA, **asked: Any) -> Iterator[StoredRecord]:
    """Records of a type in the order they came."""
    return (stored_record(row, store.registry) for row in store.each(schema, **asked))


def stored_reads(store: Store, **asked: Any) -> list[StoredRecord]:
    """Reads in the order they came."""
    return list(each_read(store, **asked))


def add(store: Store, *records: Record, now_us: int) -> list[bool]:
    """Store records in one transaction; say of each whether it was new."""
    with store.transaction():
        return store.add_records([NewRecord(record) for record in records], now_us)

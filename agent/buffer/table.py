"""Inserts and reads rows of the record tables.  All run inside a transaction and raise sqlite3.Error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.buffer.rows import OutboxRow
from agent.errors import OutboxTypeError
from protocol.wire.enums import Lost

if TYPE_CHECKING:
    import sqlite3

    from agent.buffer.counters import OutboxCounters
    from agent.buffer.rows import Encoder
    from protocol.wire.registry import RecordBody, Registry

MAX_SCHEMA_CHARS = 32
COLUMNS = "seq, schema, id, payload, priority, kept, expires_us, class"
"""Columns of a row, in the order of :class:`~agent.buffer.rows.OutboxRow`."""
INSERT = f"INSERT INTO records ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - words of ours
INSERT_REFUSED = f"INSERT INTO quarantine ({COLUMNS}, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - words of ours


def values(row: OutboxRow) -> tuple[object, ...]:
    """Return the values for ``INSERT``."""
    return (
        row.seq, row.schema, row.record_id, row.payload, row.priority, row.kept, row.expires_us, row.retention
    )  # fmt: skip


def as_row(  # noqa: PLR0917 - the columns, for each row that is sent
    seq: Any, schema: Any, record_id: Any, payload: Any, priority: Any, kept: Any, expires_us: Any, retention: Any
) -> OutboxRow:
    """Make a row from ``COLUMNS``; raises ValueError for values that are never written."""
    if (
        type(seq) is int
        and type(schema) is str
        and type(record_id) is bytes
        and type(payload) is bytes
        and type(priority) is int
        and kept in {0, 1}
        and (expires_us is None or type(expires_us) is int)
        and (retention is None or type(retention) is str)
        and 0 < len(schema) <= MAX_SCHEMA_CHARS
        and schema.isprintable()
    ):
        return OutboxRow(seq, schema, record_id, payload, priority, kept == 1, expires_us, retention)
    raise ValueError("a row that is never written")


def append(
    con: sqlite3.Connection,
    counts: OutboxCounters,
    encoder: Encoder,
    body: RecordBody,
    *,
    record_id: bytes | None = None,
    expires_us: int | None = None,
) -> tuple[int, bytes]:
    """Encode a record, give it the next number and insert it; return its number and id.

    Raises OutboxTypeError for a type that is not registered.
    """
    known = encoder.registry.get(body.SCHEMA)
    if known is None:
        raise OutboxTypeError(f"records of type {body.SCHEMA} are not registered: see protocol/wire/records")
    seq = counts.take_seq()
    encoded = encoder.record(seq, body, counts.link, record_id)
    payload = encoded.payload
    row = OutboxRow(
        seq,
        known.schema,
        encoded.record_id,
        payload,
        known.priority,
        kept=not known.evictable,
        expires_us=expires_us,
        retention=known.retention(body) or "",
    )
    con.execute(INSERT, values(row))
    counts.record(known.schema, len(payload), 1)
    counts.of(known.schema).appended += 1
    counts.link = encoded.link
    return seq, encoded.record_id


def lost_as(registry: Registry, schema: str) -> Lost:
    """Return the kind under which a tombstone lists records of a type."""
    known = registry.get(schema)
    return Lost.RECORD if known is None else known.lost

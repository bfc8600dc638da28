"""Deletes expired records, sent or not.  All run inside a transaction of the outbox and raise sqlite3.Error.

The expiry time of a sealed record is stored unencrypted: it depends on when the record was made and on its retention
class, not on the plate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.buffer.retention import Gone, make_tombstone
from agent.buffer.rows import Expired
from protocol.wire.enums import Lost, LostCause, LostReason, PictureKind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from agent.buffer.counters import OutboxCounters
    from protocol.wire.records.tombstone import Tombstone
    from protocol.wire.registry import Registry

MAX_AT_ONCE = 256
"""Limit per transaction for records, quarantined records and pictures each: no more than one tombstone can list."""


def expire(
    con: sqlite3.Connection, counts: OutboxCounters, now_utc_us: int, registry: Registry
) -> tuple[Expired, list[Tombstone]]:
    """Delete expired rows, oldest expiry first; return how many, and the tombstones to append."""
    waiting = _delete(con, "records", now_utc_us)
    refused = _delete(con, "quarantine", now_utc_us)
    for schema, size in ((schema, size) for _, schema, size in waiting):
        counts.record(schema, size, -1)
    for size in (size for _, _, size in refused):
        counts.refused(size, -1)
    records = sorted([*waiting, *refused])
    for _, schema, _ in records:
        counts.of(schema).expired += 1
    pictures = _delete_pictures(con, counts, now_utc_us)
    tombstones = [*_record_tombstones(con, records, registry), *_picture_tombstones(pictures)]
    more = MAX_AT_ONCE in {len(waiting), len(refused), len(pictures)}
    return Expired(len(records), len(pictures), more), tombstones


def _delete(con: sqlite3.Connection, table: str, now_utc_us: int) -> list[tuple[int, str, int]]:
    rows: list[tuple[int, str, int]] = con.execute(
        f"SELECT seq, schema, length(payload) FROM {table} WHERE expires_us <= ? ORDER BY expires_us LIMIT ?",  # noqa: S608 - words of ours
        (now_utc_us, MAX_AT_ONCE),
    ).fetchall()
    con.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq, _, _ in rows])  # noqa: S608 - words of ours
    return rows


def _delete_pictures(
    con: sqlite3.Connection, counts: OutboxCounters, now_utc_us: int
) -> list[tuple[str, int, int]]:
    rows = con.execute(
        "SELECT pic, lane, kind, seq, size FROM pictures WHERE expires_us <= ? ORDER BY expires_us LIMIT ?",
        (now_utc_us, MAX_AT_ONCE),
    ).fetchall()
    for pic, priority, _, _, size in rows:
        con.execute("DELETE FROM jpegs WHERE pic = ?", (pic,))
        con.execute("DELETE FROM pictures WHERE pic = ?", (pic,))
        counts.picture(priority, size, -1)
    counts.expired_pictures += len(rows)
    return [(kind, seq, size) for _, _, kind, seq, size in rows]


def _record_tombstones(
    con: sqlite3.Connection, records: Iterable[tuple[int, str, int]], registry: Registry
) -> Iterator[Tombstone]:
    by_type: dict[str, list[tuple[int, str, int]]] = {}
    for row in records:
        by_type.setdefault(row[1], []).append(row)
    for rows in by_type.values():
        gone = Gone(con, registry)
        for row in rows:
            if not gone.add(*row):
                yield from _told(gone)
                gone = Gone(con, registry)
                gone.add(*row)
        yield from _told(gone)


def _told(gone: Gone) -> Iterator[Tombstone]:
    tombstone = gone.tombstone(LostReason.BUDGET, cause=LostCause.EXPIRED)
    if tombstone is not None:
        yield tombstone


def _picture_tombstones(pictures: Iterable[tuple[str, int, int]]) -> Iterator[Tombstone]:
    by_kind: dict[str, list[tuple[int, int]]] = {}
    for kind, seq, size in pictures:
        by_kind.setdefault(kind, []).append((seq, size))
    for kind, gone in by_kind.items():
        lost = Lost.PLATE if kind == PictureKind.PLATE else Lost.OVERVIEW
        yield make_tombstone(sorted(gone), LostReason.BUDGET, lost, cause=LostCause.EXPIRED)

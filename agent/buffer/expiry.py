"""Deletes expired records, sent or not.  All run inside a transaction of the outbox and raise sqlite3.Error.

The expiry time of a sealed record is stored unencrypted: it depends on when the record was made and on its retention
class, not on the plate.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from agent.buffer.retention import Gone, make_tombstone
from agent.buffer.rows import Expired
from protocol.wire.enums import Lost, LostCause, LostReason, PictureKind
from protocol.wire.records.purge import MAX_CLASSES, MAX_TYPES, UNKNOWN_CLASS, Purge

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from agent.buffer.counters import OutboxCounters
    from agent.buffer.rows import PicturePriority, PurgeNote
    from protocol.wire.records.tombstone import Tombstone
    from protocol.wire.registry import Registry

MAX_AT_ONCE = 256
"""Limit per transaction for records, quarantined records and pictures each: no more than one tombstone can list."""


class _Row(NamedTuple):
    """A row that was deleted."""

    seq: int
    schema: str
    size_bytes: int
    retention: str | None


def expire(
    con: sqlite3.Connection,
    counts: OutboxCounters,
    now_utc_us: int,
    registry: Registry,
    note: PurgeNote | None = None,
) -> tuple[Expired, list[Tombstone | Purge]]:
    """Delete expired rows, oldest expiry first; return how many, and the records to append.

    These are tombstones and, with ``note``, one purge record.
    """
    first_due_us = _first_due(con)
    if first_due_us is None or first_due_us > now_utc_us:
        return Expired(), []
    waiting = _delete(con, "records", now_utc_us)
    refused = _delete(con, "quarantine", now_utc_us)
    for row in waiting:
        counts.record(row.schema, row.size_bytes, -1)
    for row in refused:
        counts.refused(row.size_bytes, -1)
    records = sorted([*waiting, *refused], key=lambda row: row.seq)
    for row in records:
        counts.of(row.schema).expired += 1
    pictures = _delete_pictures(con, counts, now_utc_us)
    bodies: list[Tombstone | Purge] = [*_record_tombstones(con, records, registry), *_picture_tombstones(pictures)]
    if note is not None:
        bodies.append(_purge(note, records, len(pictures), first_due_us, now_utc_us))
    more = MAX_AT_ONCE in {len(waiting), len(refused), len(pictures)}
    return Expired(len(records), len(pictures), more), bodies


def set_expiry(con: sqlite3.Connection, dated: Iterable[tuple[int, int]]) -> None:
    """Give rows without an expiry theirs, by sequence number, and their pictures."""
    values = [(expires_us, seq) for seq, expires_us in dated]
    for rows in ("records", "quarantine", "pictures"):
        con.executemany(f"UPDATE {rows} SET expires_us = ? WHERE seq = ? AND expires_us IS NULL", values)  # noqa: S608 - words of ours


def limit_expiry(
    con: sqlite3.Connection, schema: str, expires_us: int, pictures: Sequence[PicturePriority] = ()
) -> int:
    """Give all rows of a type that have no expiry this one, and the pictures of queues; return how many records."""
    limited = 0
    for rows in ("records", "quarantine"):
        limited += con.execute(
            f"UPDATE {rows} SET expires_us = ? WHERE schema = ? AND expires_us IS NULL",  # noqa: S608 - words of ours
            (expires_us, schema),
        ).rowcount
    con.executemany(
        "UPDATE pictures SET expires_us = ? WHERE lane = ? AND expires_us IS NULL",
        [(expires_us, priority) for priority in pictures],
    )
    return limited


def _first_due(con: sqlite3.Connection) -> int | None:
    found = [
        con.execute(f"SELECT min(expires_us) FROM {rows} WHERE expires_us IS NOT NULL").fetchone()[0]  # noqa: S608 - words of ours
        for rows in ("records", "quarantine", "pictures")
    ]
    return min((due for due in found if due is not None), default=None)


def _purge(note: PurgeNote, deleted: Sequence[_Row], pictures: int, first_due_us: int, now_utc_us: int) -> Purge:
    types = Counter(row.schema for row in deleted)
    classes = Counter((row.schema, UNKNOWN_CLASS if row.retention is None else row.retention) for row in deleted)
    return Purge(
        policy=note.policy,
        records=tuple(sorted(types.items())[:MAX_TYPES]),
        classes=tuple((*which, count) for which, count in sorted(classes.items())[:MAX_CLASSES]),
        pictures=pictures,
        first_due_us=max(0, first_due_us),
        deleted_us=now_utc_us,
        time=note.time,
        mono_us=note.mono_us,
        reason=LostCause.EXPIRED,
    )


def _delete(con: sqlite3.Connection, table: str, now_utc_us: int) -> list[_Row]:
    query = (
        f"SELECT seq, schema, length(payload), class FROM {table}"  # noqa: S608 - words of ours
        " WHERE expires_us <= ? ORDER BY expires_us LIMIT ?"
    )
    rows = [_Row(*row) for row in con.execute(query, (now_utc_us, MAX_AT_ONCE))]
    con.executemany(f"DELETE FROM {table} WHERE seq = ?", [(row.seq,) for row in rows])  # noqa: S608 - words of ours
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
    con: sqlite3.Connection, records: Iterable[_Row], registry: Registry
) -> Iterator[Tombstone]:
    by_type: dict[str, list[_Row]] = {}
    for row in records:
        by_type.setdefault(row.schema, []).append(row)
    for rows in by_type.values():
        gone = Gone(con, registry)
        for seq, schema, size_bytes, _ in rows:
            if not gone.add(seq, schema, size_bytes):
                yield from _told(gone)
                gone = Gone(con, registry)
                gone.add(seq, schema, size_bytes)
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

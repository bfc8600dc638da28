"""Applies receipts and nacks to the rows.  All run inside a transaction of the outbox and raise sqlite3.Error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.buffer.rows import PicturePriority
from agent.buffer.table import COLUMNS, INSERT_REFUSED

if TYPE_CHECKING:
    import sqlite3

    from agent.buffer.counters import OutboxCounters


def free(con: sqlite3.Connection, counts: OutboxCounters, seq: int, record_id: bytes) -> bool:
    """Delete a record that the station has stored; False if it was not in the outbox."""
    row = con.execute(
        "DELETE FROM records WHERE seq = ? AND id = ? RETURNING schema, length(payload)", (seq, record_id)
    ).fetchone()
    if row is None:
        return _free_quarantined(con, counts, seq, record_id)
    schema, size = row
    counts.record(schema, size, -1)
    counts.of(schema).receipted += 1
    return True


def _free_quarantined(con: sqlite3.Connection, counts: OutboxCounters, seq: int, record_id: bytes) -> bool:
    """Delete a quarantined record that the station has accepted after all."""
    row = con.execute(
        "DELETE FROM quarantine WHERE seq = ? AND id = ? RETURNING schema, length(payload)", (seq, record_id)
    ).fetchone()
    if row is None:
        return False
    schema, size = row
    counts.refused(size, -1)
    counts.of(schema).receipted += 1
    return True


def note_stored(
    con: sqlite3.Connection, counts: OutboxCounters, sha256: bytes, stored_bytes: int
) -> tuple[bool, bool]:
    """Return whether the picture was deleted, and whether it was known."""
    row = con.execute("SELECT pic, lane, size FROM pictures WHERE sha = ?", (sha256,)).fetchone()
    if row is None:
        return False, False
    pic, priority, size = row
    if stored_bytes < size:
        # Only increases: replayed receipts must not cause a write each.
        con.execute("UPDATE pictures SET stored = ?1 WHERE pic = ?2 AND stored < ?1", (stored_bytes, pic))
        return False, True
    con.execute("DELETE FROM jpegs WHERE pic = ?", (pic,))
    con.execute("DELETE FROM pictures WHERE pic = ?", (pic,))
    counts.picture(priority, size, -1)
    return True, True


def quarantine(con: sqlite3.Connection, counts: OutboxCounters, seq: int, code: str) -> bool:
    """Quarantine a record; False if it was not in the outbox."""
    row = con.execute(f"DELETE FROM records WHERE seq = ? RETURNING {COLUMNS}", (seq,)).fetchone()  # noqa: S608 - words of ours
    if row is None:
        return False
    con.execute(INSERT_REFUSED, (*row, code))
    _, schema, _, payload, *_ = row
    counts.record(schema, len(payload), -1)
    counts.refused(len(payload), 1)
    return True


def quarantine_picture(con: sqlite3.Connection, counts: OutboxCounters, sha256: bytes) -> None:
    """Quarantine a picture; False if it was not in the outbox."""
    row = con.execute(
        "SELECT pic, lane FROM pictures WHERE sha = ? AND lane != ?", (sha256, PicturePriority.QUARANTINED)
    ).fetchone()
    if row is not None:
        con.execute("UPDATE pictures SET lane = ? WHERE pic = ?", (PicturePriority.QUARANTINED, row[0]))
        counts.move(row[1], -1)
        counts.move(PicturePriority.QUARANTINED, 1)

"""What goes first when there is no more room.

A read that was just made is never what goes.  By value: pictures that were refused for good, overviews, plate pictures,
those of hits after all others, and last of all, loudly, reads; oldest first within each.  Receipted rows need no
eviction, they leave with their receipt.  Every eviction is counted by kind and announced by a tombstone in the same
transaction, so the station can tell evicted from missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer.counters import ROW_BYTES
from agent.buffer.rows import SENDING, PicturePriority, RowKind
from protocol.wire.enums import Lost, LostReason, PictureKind
from protocol.wire.records.tombstone import MAX_RANGES, Tombstone

if TYPE_CHECKING:
    import sqlite3

    from agent.buffer.counters import OutboxCounters

_BATCH = 64
_LAST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much room the outbox may take."""

    max_bytes: int = 8 * 2**30
    """Byte budget of all that waits."""
    slack_bytes: int = 4 * 2**20
    """How far below the budget an eviction goes, at most a twentieth of it: one tombstone stands for many rows."""
    min_free_bytes: int = 256 * 2**20
    """Below this much free disk the outbox grows by reads alone: pictures and refused reads make room for them.  On
    a full disk even deleting fails, so this comes well before."""
    ballast_bytes: int = 16 * 2**20
    """Size of a file that is deleted to regain room when the disk is full all the same; 0 for none."""

    @property
    def last_bytes(self) -> int:
        """Below this much free disk even the oldest reads go: the disk must still take the deletion."""
        return min(self.min_free_bytes, _LAST_BYTES)

    @property
    def low_bytes(self) -> int:
        """What an eviction brings the outbox down to."""
        return self.max_bytes - min(self.slack_bytes, self.max_bytes // 20)


@dataclass(frozen=True, slots=True)
class Goal:
    """What an eviction is for."""

    down_to_bytes: int
    reason: LostReason
    reads_below_seq: int
    """Reads may go that have a lower sequence number."""


def evict(con: sqlite3.Connection, tally: OutboxCounters, goal: Goal) -> list[Tombstone]:
    """Delete, by value, until no more waits than wanted, or all that may go is gone; return the tombstones to append.

    Raises sqlite3.Error.  Datings and tombstones are never evicted: they are small, and they explain the rest.
    """
    stones = []
    while tally.used_bytes > goal.down_to_bytes:
        lanes = (PicturePriority.HELD, *reversed(SENDING))
        pictures = (_evict_pictures(con, tally, lane, goal) for lane in lanes)
        stone = (
            next((found for found in pictures if found is not None), None)
            or _evict_quarantined(con, tally, goal)
            or _evict_reads(con, tally, goal)
        )
        if stone is None:
            break
        stones.append(stone)
    return stones


def _evict_pictures(
    con: sqlite3.Connection, tally: OutboxCounters, lane: PicturePriority, goal: Goal
) -> Tombstone | None:
    """Evict the oldest pictures of one lane and of one kind."""
    gone: list[tuple[int, int]] = []
    kind = ""
    holes = 0
    done = False
    while not done:
        rows = con.execute(
            "SELECT pic, kind, seq, size FROM pictures WHERE lane = ? ORDER BY pic LIMIT ?", (lane, _BATCH)
        ).fetchall()
        done = len(rows) < _BATCH
        for pic, row_kind, seq, size in rows:
            kind = kind or row_kind
            # All pictures of one kind of a read go together: the tombstone names reads.
            enough = tally.used_bytes <= goal.down_to_bytes and bool(gone) and seq != gone[-1][0]
            # Other reads' pictures may lie between, so the reads are named one by one, as far as a tombstone has room.
            holes += bool(gone) and not gone[-1][0] <= seq <= gone[-1][0] + 1
            if enough or row_kind != kind or holes >= MAX_RANGES:
                done = True
                break
            con.execute("DELETE FROM jpegs WHERE pic = ?", (pic,))
            con.execute("DELETE FROM pictures WHERE pic = ?", (pic,))
            tally.picture(lane, size, -1)
            gone.append((seq, size))
    if not gone:
        return None
    if kind == PictureKind.PLATE:
        tally.evicted_plates += len(gone)
    else:
        tally.evicted_overviews += len(gone)
    lost = Lost.PLATE if kind == PictureKind.PLATE else Lost.OVERVIEW
    return _tombstone(lost, goal.reason, gone, _runs(sorted({seq for seq, _ in gone})))


def _evict_quarantined(con: sqlite3.Connection, tally: OutboxCounters, goal: Goal) -> Tombstone | None:
    """Evict the oldest quarantined reads."""
    rows = con.execute(
        "SELECT seq, length(payload) FROM quarantine WHERE kind = ? ORDER BY seq LIMIT ?",
        (RowKind.READ, MAX_RANGES),
    ).fetchall()
    gone = []
    for seq, size in rows:
        if tally.used_bytes <= goal.down_to_bytes:
            break
        con.execute("DELETE FROM quarantine WHERE seq = ?", (seq,))
        tally.used_bytes -= size + ROW_BYTES
        tally.quarantined -= 1
        gone.append((seq, size))
    return _read_tombstone(tally, gone, _runs([seq for seq, _ in gone]), goal.reason)


def _evict_reads(con: sqlite3.Connection, tally: OutboxCounters, goal: Goal) -> Tombstone | None:
    """Evict the oldest waiting reads."""
    gone: list[tuple[int, int]] = []
    done = False
    while not done:
        rows = con.execute(
            "SELECT seq, length(payload) FROM records WHERE seq > ? AND seq < ? AND kind = ? ORDER BY seq LIMIT ?",
            (tally.read_floor, goal.reads_below_seq, RowKind.READ, _BATCH),
        ).fetchall()
        done = len(rows) < _BATCH
        for seq, size in rows:
            if tally.used_bytes <= goal.down_to_bytes:
                done = True
                break
            con.execute("DELETE FROM records WHERE seq = ?", (seq,))
            tally.record(RowKind.READ, size, -1)
            tally.read_floor = seq
            gone.append((seq, size))
    return _read_tombstone(tally, gone, ((gone[0][0], gone[-1][0]),) if gone else (), goal.reason)


def _read_tombstone(
    tally: OutboxCounters, gone: list[tuple[int, int]], ranges: tuple[tuple[int, int], ...], reason: LostReason
) -> Tombstone | None:
    if not gone:
        return None
    tally.evicted_reads += len(gone)
    return _tombstone(Lost.READ, reason, gone, ranges)


def make_tombstone(gone: list[tuple[int, int]], reason: LostReason, lost: Lost = Lost.RECORD) -> Tombstone:
    """Return the tombstone of what is given by sequence number (ascending) and size in bytes."""
    runs = _runs([seq for seq, _ in gone])
    return _tombstone(lost, reason, gone, runs)


def damage_tombstone(ranges: tuple[tuple[int, int], ...]) -> Tombstone:
    """Return the tombstone of records that a damaged file no longer gives."""
    return Tombstone(lost=Lost.RECORD, reason=LostReason.DAMAGE, count=0, size_bytes=0, ranges=ranges)


def _tombstone(
    lost: Lost, reason: LostReason, gone: list[tuple[int, int]], ranges: tuple[tuple[int, int], ...]
) -> Tombstone:
    size_bytes = sum(size for _, size in gone)
    return Tombstone(lost=lost, reason=reason, count=len(gone), size_bytes=size_bytes, ranges=ranges)


def _runs(seqs: list[int]) -> tuple[tuple[int, int], ...]:
    """Join ascending numbers into inclusive ranges."""
    runs: list[tuple[int, int]] = []
    for seq in seqs:
        if runs and seq <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))
    return tuple(runs)

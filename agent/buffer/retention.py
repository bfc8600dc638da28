"""What goes first when there is no more room.

A record that was just made is never what goes.  By value: pictures that were refused for good, overviews, plate
pictures, those of hits after all others, refused records, and last of all, loudly, waiting records: the least urgent
priority first, oldest first within each.  Types that are not evictable stay: they are small, and explain the rest.
Receipted rows need no eviction, they leave with their receipt.  Every eviction is counted by type and announced by a
tombstone in the same transaction, so the station can tell evicted from missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer.rows import SENDING, PicturePriority
from agent.buffer.table import lost_as
from protocol.wire.enums import Lost, LostReason, PictureKind
from protocol.wire.records.tombstone import MAX_RANGES, Tombstone

if TYPE_CHECKING:
    import sqlite3

    from agent.buffer.counters import OutboxCounters
    from protocol.wire.registry import Registry

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
    """Below this much free disk the outbox grows by records alone: pictures and refused records make room for them.  On
    a full disk even deleting fails, so this comes well before."""
    ballast_bytes: int = 16 * 2**20
    """Size of a file that is deleted to regain room when the disk is full all the same; 0 for none."""

    @property
    def last_bytes(self) -> int:
        """Below this much free disk even the oldest records go: the disk must still take the deletion."""
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
    records_below_seq: int
    """Waiting records may go that have a lower sequence number."""
    registry: Registry
    floors: dict[int, int]
    """By priority: no evictable record waits at or below this number; where the search begins, and moved on by it."""


def evict(con: sqlite3.Connection, counts: OutboxCounters, goal: Goal) -> list[Tombstone]:
    """Delete, by value, until no more waits than wanted, or all that may go is gone; return the tombstones to append.

    Raises sqlite3.Error.
    """
    stones = []
    while counts.used_bytes > goal.down_to_bytes:
        lanes = (PicturePriority.HELD, *reversed(SENDING))
        pictures = (_evict_pictures(con, counts, lane, goal) for lane in lanes)
        stone = (
            next((found for found in pictures if found is not None), None)
            or _evict_quarantined(con, counts, goal)
            or _evict_records(con, counts, goal)
        )
        if stone is None:
            break
        stones.append(stone)
    return stones


def _evict_pictures(
    con: sqlite3.Connection, counts: OutboxCounters, lane: PicturePriority, goal: Goal
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
            enough = counts.used_bytes <= goal.down_to_bytes and bool(gone) and seq != gone[-1][0]
            # Other reads' pictures may lie between, so the reads are named one by one, as far as a tombstone has room.
            holes += bool(gone) and not gone[-1][0] <= seq <= gone[-1][0] + 1
            if enough or row_kind != kind or holes >= MAX_RANGES:
                done = True
                break
            con.execute("DELETE FROM jpegs WHERE pic = ?", (pic,))
            con.execute("DELETE FROM pictures WHERE pic = ?", (pic,))
            counts.picture(lane, size, -1)
            gone.append((seq, size))
    if not gone:
        return None
    if kind == PictureKind.PLATE:
        counts.evicted_plates += len(gone)
    else:
        counts.evicted_overviews += len(gone)
    lost = Lost.PLATE if kind == PictureKind.PLATE else Lost.OVERVIEW
    return _tombstone(lost, goal.reason, gone, _runs(sorted({seq for seq, _ in gone})))


def _evict_quarantined(con: sqlite3.Connection, counts: OutboxCounters, goal: Goal) -> Tombstone | None:
    """Evict the oldest refused records."""
    rows = con.execute(
        "SELECT seq, schema, length(payload) FROM quarantine WHERE NOT kept ORDER BY seq LIMIT ?", (MAX_RANGES,)
    ).fetchall()
    gone = Gone(con, goal.registry)
    for seq, schema, size in rows:
        if counts.used_bytes <= goal.down_to_bytes or not gone.add(seq, schema, size):
            break
        con.execute("DELETE FROM quarantine WHERE seq = ?", (seq,))
        counts.refused(size, -1)
        counts.of(schema).evicted += 1
    return gone.tombstone(goal.reason)


def _evict_records(con: sqlite3.Connection, counts: OutboxCounters, goal: Goal) -> Tombstone | None:
    """Evict the oldest waiting records of the least urgent priority that has any."""
    for priority in reversed(priorities(con)):
        gone = Gone(con, goal.registry)
        while rows := _oldest_evictable(con, goal, priority):
            for seq, schema, size in rows:
                if counts.used_bytes <= goal.down_to_bytes or not gone.add(seq, schema, size):
                    return gone.tombstone(goal.reason)
                con.execute("DELETE FROM records WHERE seq = ?", (seq,))
                counts.record(schema, size, -1)
                counts.of(schema).evicted += 1
                goal.floors[priority] = seq
        if gone:
            return gone.tombstone(goal.reason)
    return None


def _oldest_evictable(con: sqlite3.Connection, goal: Goal, priority: int) -> list[tuple[int, str, int]]:
    floor = goal.floors.get(priority, 0)
    return con.execute(
        "SELECT seq, schema, length(payload) FROM records INDEXED BY records_priority"
        " WHERE priority = ? AND seq > ? AND seq < ? AND NOT kept ORDER BY seq LIMIT ?",
        (priority, floor, goal.records_below_seq, _BATCH),
    ).fetchall()


def priorities(con: sqlite3.Connection) -> list[int]:
    """Return the priorities of which records wait, the most urgent first; raises sqlite3.Error."""
    # One step of the index for each, however many records wait (sqlite.org/lang_with.html).
    rows = con.execute(
        "WITH RECURSIVE found (priority) AS (SELECT min(priority) FROM records UNION ALL"
        " SELECT (SELECT min(priority) FROM records WHERE priority > found.priority) FROM found"
        " WHERE found.priority IS NOT NULL) SELECT priority FROM found WHERE priority IS NOT NULL"
    )
    return [priority for (priority,) in rows]


class Gone:
    """Collects deleted records for one tombstone: of one name, in no more ranges than it has room for."""

    def __init__(self, con: sqlite3.Connection, registry: Registry) -> None:
        self._con = con
        self._registry = registry
        self._lost: Lost | None = None
        self._count = 0
        self._size_bytes = 0
        self._runs: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._count)

    def add(self, seq: int, schema: str, size_bytes: int) -> bool:
        """Take one, in ascending order; False when another tombstone has to name it."""
        lost = lost_as(self._registry, schema)
        if self._lost not in {None, lost} or not self._reach(seq):
            return False
        self._lost = lost
        self._count += 1
        self._size_bytes += size_bytes
        return True

    def _reach(self, seq: int) -> bool:
        """A range goes on over numbers that left earlier, never over one that is still here: it will come."""
        if self._runs and self._nothing_between(self._runs[-1][1], seq):
            self._runs[-1] = (self._runs[-1][0], seq)
            return True
        if len(self._runs) == MAX_RANGES:
            return False
        self._runs.append((seq, seq))
        return True

    def _nothing_between(self, first: int, last: int) -> bool:
        return last == first + 1 or not any(
            self._con.execute(f"SELECT 1 FROM {table} WHERE seq > ? AND seq < ? LIMIT 1", (first, last)).fetchone()  # noqa: S608 - words of ours
            for table in ("records", "quarantine")
        )

    def tombstone(self, reason: LostReason, *, cause: str = "") -> Tombstone | None:
        """Return what names them; None when there are none."""
        if self._lost is None:
            return None
        return Tombstone(
            lost=self._lost,
            reason=reason,
            count=self._count,
            size_bytes=self._size_bytes,
            ranges=tuple(self._runs),
            cause=cause,
        )


def make_tombstone(
    gone: list[tuple[int, int]], reason: LostReason, lost: Lost = Lost.RECORD, *, cause: str = ""
) -> Tombstone:
    """Return the tombstone of what is given by sequence number (ascending) and size in bytes."""
    runs = _runs([seq for seq, _ in gone])
    return _tombstone(lost, reason, gone, runs, cause)


def damage_tombstone(ranges: tuple[tuple[int, int], ...]) -> Tombstone:
    """Return the tombstone of records that a damaged file no longer gives."""
    return Tombstone(lost=Lost.RECORD, reason=LostReason.DAMAGE, count=0, size_bytes=0, ranges=ranges)


def _tombstone(
    lost: Lost,
    reason: LostReason,
    gone: list[tuple[int, int]],
    ranges: tuple[tuple[int, int], ...],
    cause: str = "",
) -> Tombstone:
    size_bytes = sum(size for _, size in gone)
    return Tombstone(lost=lost, reason=reason, count=len(gone), size_bytes=size_bytes, ranges=ranges, cause=cause)


def _runs(seqs: list[int]) -> tuple[tuple[int, int], ...]:
    """Join ascending numbers into inclusive ranges."""
    runs: list[tuple[int, int]] = []
    for seq in seqs:
        if runs and seq <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))
    return tuple(runs)

"""Eviction: what is deleted when space runs out.

New records are never evicted.  The order: quarantined pictures, overviews, plate pictures, pictures of hits,
quarantined records, and only then waiting records, with an alarm: least urgent priority first, oldest first within
each.  Types that are not evictable stay: they are small, and explain the rest.  Receipted rows need no eviction, they
are deleted with their receipt.  Every eviction is counted by type and announced by a tombstone in the same
transaction, so the station can tell evicted from missing.
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
    """Limits of the outbox."""

    max_bytes: int = 8 * 2**30
    """Byte budget of all waiting rows."""
    slack_bytes: int = 4 * 2**20
    """How far below the budget an eviction goes, at most a twentieth of it, so that one tombstone covers many rows."""
    min_free_bytes: int = 256 * 2**20
    """Below this much free disk only records are added: pictures and quarantined records are evicted for them.  On a
    full disk even deleting fails, so this limit is well above 0."""
    ballast_bytes: int = 16 * 2**20
    """Size of a file that is deleted to free space if the disk is full anyway; 0 for none."""

    @property
    def last_bytes(self) -> int:
        """Below this much free disk even the oldest records are evicted: deleting needs some space."""
        return min(self.min_free_bytes, _LAST_BYTES)

    @property
    def low_bytes(self) -> int:
        """Target of an eviction."""
        return self.max_bytes - min(self.slack_bytes, self.max_bytes // 20)


@dataclass(frozen=True, slots=True)
class Goal:
    """What an eviction has to reach, and what it may delete."""

    down_to_bytes: int
    reason: LostReason
    records_below_seq: int
    """Only waiting records below this sequence number may be evicted."""
    registry: Registry
    floors: dict[int, int]
    """By priority: no evictable record waits at or below this number; start of the search, which moves it on."""


def evict(con: sqlite3.Connection, counts: OutboxCounters, goal: Goal) -> list[Tombstone]:
    """Delete in order of value until the target is reached or nothing more may be evicted; return tombstones to append.

    Raises sqlite3.Error.
    """
    tombstones = []
    while counts.used_bytes > goal.down_to_bytes:
        by_priority = (PicturePriority.QUARANTINED, *reversed(SENDING))
        pictures = (_evict_pictures(con, counts, priority, goal) for priority in by_priority)
        tombstone = (
            next((found for found in pictures if found is not None), None)
            or _evict_quarantined(con, counts, goal)
            or _evict_records(con, counts, goal)
        )
        if tombstone is None:
            break
        tombstones.append(tombstone)
    return tombstones


def _evict_pictures(
    con: sqlite3.Connection, counts: OutboxCounters, priority: PicturePriority, goal: Goal
) -> Tombstone | None:
    """Evict the oldest pictures of one priority and one kind."""
    gone: list[tuple[int, int]] = []
    kind = ""
    holes = 0
    done = False
    while not done:
        rows = con.execute(
            "SELECT pic, kind, seq, size FROM pictures WHERE lane = ? ORDER BY pic LIMIT ?", (priority, _BATCH)
        ).fetchall()
        done = len(rows) < _BATCH
        for pic, row_kind, seq, size in rows:
            kind = kind or row_kind
            # All pictures of one kind of a read are evicted together: the tombstone lists reads.
            enough = counts.used_bytes <= goal.down_to_bytes and bool(gone) and seq != gone[-1][0]
            # Pictures of other reads may lie between, so reads are listed one by one, as far as a tombstone has room.
            holes += bool(gone) and not gone[-1][0] <= seq <= gone[-1][0] + 1
            if enough or row_kind != kind or holes >= MAX_RANGES:
                done = True
                break
            con.execute("DELETE FROM jpegs WHERE pic = ?", (pic,))
            con.execute("DELETE FROM pictures WHERE pic = ?", (pic,))
            counts.picture(priority, size, -1)
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
    """Evict the oldest quarantined records."""
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
    """Return the priorities that have waiting records, most urgent first; raises sqlite3.Error."""
    # One index step per priority, however many records wait (sqlite.org/lang_with.html).
    rows = con.execute(
        "WITH RECURSIVE found (priority) AS (SELECT min(priority) FROM records UNION ALL"
        " SELECT (SELECT min(priority) FROM records WHERE priority > found.priority) FROM found"
        " WHERE found.priority IS NOT NULL) SELECT priority FROM found WHERE priority IS NOT NULL"
    )
    return [priority for (priority,) in rows]


class Gone:
    """Collects deleted records of one kind for one tombstone, in no more ranges than it has room for."""

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
        """Add one, in ascending order; False if it needs another tombstone."""
        lost = lost_as(self._registry, schema)
        if self._lost not in {None, lost} or not self._reach(seq):
            return False
        self._lost = lost
        self._count += 1
        self._size_bytes += size_bytes
        return True

    def _reach(self, seq: int) -> bool:
        """A range may span numbers that were deleted earlier, never one that is still waiting."""
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
        """Return the tombstone; None if nothing was collected."""
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
    """Return the tombstone of rows given by sequence number (ascending) and size in bytes."""
    runs = _runs([seq for seq, _ in gone])
    return _tombstone(lost, reason, gone, runs, cause)


def damage_tombstone(ranges: tuple[tuple[int, int], ...]) -> Tombstone:
    """Return the tombstone of records lost with a damaged file."""
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

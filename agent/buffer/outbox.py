"""The outbox: what is appended is on the disk when ``append`` returns, and stays until the station's receipt.

Sequence numbers are given out inside the transaction, so they have no gaps: what the station misses is missing.
Records are stored as the final bytes of the wire and never change afterwards.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer import apply, counters, retention, schema
from agent.buffer.damage import DamageWatch
from agent.buffer.retention import Limits
from agent.buffer.rows import (
    Applied,
    Command,
    Encoded,
    Encoder,
    OutboxStats,
    PicturePriority,
    PictureQuarantined,
    PictureStored,
    Quarantined,
    Receipted,
    RowKind,
    picture_priority,
)
from agent.errors import OutboxDiskError, OutboxError, OutboxFullError
from protocol.wire.enums import LostReason
from protocol.wire.records.tombstone import MAX_RANGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.buffer.mark import SeqMark
    from agent.records import Read
    from protocol.wire.records.time_anchor import TimeAnchor
    from protocol.wire.records.tombstone import Tombstone

FILE_NAME = "outbox.db"
BALLAST_NAME = "ballast"
_NOTHING_BYTES = 64 * 1024


def free_bytes(folder: Path) -> int:
    """Return what this process may still write to the disk of a folder; raises OSError."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A group whose commit failed: it may be in the file all the same, and show when the log is read again."""

    first_seq: int
    read_ids: tuple[bytes, ...]


class Outbox:
    """The one writer.  Used by one thread; :func:`agent.buffer.open_outbox` makes it."""

    def __init__(
        self, folder: Path, con: sqlite3.Connection, encoder: Encoder, mark: SeqMark, limits: Limits | None = None
    ) -> None:
        self._folder = folder
        self._con = con
        self._encoder = encoder
        self._mark = mark
        self._limits = limits or Limits()
        self._ceiling_bytes = 0
        """What the outbox may hold while the disk is nearly full; 0 while it is not."""
        self._is_open = True
        self._doubt: _Doubt | None = None
        self._known: dict[bytes, int] = {}
        """Reads whose commit failed and that were found in the file afterwards, with their numbers."""
        self._doing = ""
        self._watch = DamageWatch(self.path)
        self.lost_reads = 0
        """Reads evicted since the opening: each is a loss that somebody should hear of at once."""

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / FILE_NAME

    def append(self, reads: Sequence[Read], time_anchors: Sequence[TimeAnchor] = ()) -> list[int]:
        """Append a group in one transaction; return the sequence numbers of the reads.

        When this returns, the group survives a power cut.  Raises OutboxFullError when the disk has no room even
        after evictions, OutboxDiskError when it fails or is read-only: then the caller keeps the group and gives it
        again, the same reads first.  Raises OutboxDamagedError when the file is damaged.
        """
        try:
            return self._append(reads, time_anchors)
        except OutboxFullError:
            # The ballast is there for this moment: the room it gives lets evictions be written.
            self._drop_ballast()
            # The log takes room of its own: folded into the file it gives that back.
            self._checkpoint_wal()
            with self._transaction("evict") as counts:
                self._evict(counts, counts.used_bytes - counts.used_bytes // 20 - 1, LostReason.DISK)
            self._checkpoint_wal()
            return self._append(reads, time_anchors)

    def apply(self, commands: Sequence[Command]) -> Applied:
        """Carry out what the station said, in one transaction.

        Raises what ``append`` raises; then nothing was changed and the station, asked again, will say the same.
        """
        freed = pictures_freed = unknown = quarantined = 0
        with self._transaction("apply") as counts:
            for command in commands:
                match command:
                    case Receipted(records):
                        gone = sum(apply.free(self._con, counts, seq, record_id) for seq, record_id in records)
                        freed += gone
                        unknown += len(records) - gone
                    case PictureStored(sha256, stored_bytes):
                        left, known = apply.note_stored(self._con, counts, sha256, stored_bytes)
                        pictures_freed += left
                        unknown += not known
                    case Quarantined(seq, code):
                        quarantined += apply.quarantine(self._con, counts, seq, code)
                    case PictureQuarantined(sha256, _):
                        apply.hold(self._con, counts, sha256)
            counts.unknown_receipts += unknown
        return Applied(freed, pictures_freed, unknown, quarantined)

    def discard(self, limit: int) -> int:
        """Remove the oldest quarantined records for good, with a tombstone; return how many.  A person asked."""
        with self._transaction("discard") as counts:
            rows = self._con.execute(
                "SELECT seq, length(payload) FROM quarantine ORDER BY seq LIMIT ?", (min(limit, MAX_RANGES),)
            ).fetchall()
            for seq, size in rows:
                self._con.execute("DELETE FROM quarantine WHERE seq = ?", (seq,))
                counts.used_bytes -= size + counters.ROW_BYTES
                counts.quarantined -= 1
            if rows:
                self._append_tombstones(
                    counts, [retention.make_tombstone([(seq, size) for seq, size in rows], LostReason.OPERATOR)]
                )
        return len(rows)

    def requeue(self) -> int:
        """Put quarantined records back among the waiting; return how many.  A person asked."""
        with self._transaction("requeue") as counts:
            rows = self._con.execute("SELECT seq, kind, id, payload FROM quarantine").fetchall()
            for seq, kind, record_id, payload in rows:
                self._con.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (seq, kind, record_id, payload))
                counts.used_bytes -= len(payload) + counters.ROW_BYTES
                counts.quarantined -= 1
                counts.record(kind, len(payload), 1)
            if rows:
                counts.read_floor = min(counts.read_floor, rows[0][0] - 1)
            self._con.execute("DELETE FROM quarantine")
        return len(rows)

    def stats(self) -> OutboxStats:
        """Read the counters; raises OutboxError."""
        self._doing = "stats"
        try:
            self._ensure_open()
            found = counters.stats(self._con)
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error
        self._watch.well("stats")
        return found

    def close(self) -> None:
        """Fold the log into the file and release it; what was appended is safe even without this."""
        try:
            if self._is_open:
                self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failure(error) from error
        finally:
            self._con.close()

    def _append(self, reads: Sequence[Read], time_anchors: Sequence[TimeAnchor]) -> list[int]:
        with self._transaction("append") as counts:
            before_bytes = counts.used_bytes
            fresh = [read for read in reads if read.read_id not in self._known]
            self._doubt = _Doubt(counts.next_seq, tuple(read.read_id for read in fresh))
            for read in fresh:
                seq = counts.take_seq()
                self._insert(
                    counts,
                    seq,
                    RowKind.READ,
                    encoded := self._encoder.record(seq, read.body, counts.link, read.read_id),
                )
                self._insert_pictures(counts, seq, encoded.record_id, read)
            for anchor in time_anchors:
                seq = counts.take_seq()
                self._insert(counts, seq, RowKind.TIME_ANCHOR, self._encoder.record(seq, anchor, counts.link))
            counts.appended += len(fresh)
            self._keep_room(counts, before_bytes, self._doubt.first_seq)
        seqs = self._known | dict(zip(self._doubt.read_ids, range(self._doubt.first_seq, 2**63), strict=False))
        self._doubt = None
        self._known.clear()
        return [seqs[read.read_id] for read in reads]

    def _insert(self, counts: counters.OutboxCounters, seq: int, kind: RowKind, encoded: Encoded) -> None:
        self._con.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?)", (seq, kind, encoded.record_id, encoded.payload)
        )
        counts.record(kind, len(encoded.payload), 1)
        counts.link = encoded.link

    def _insert_pictures(self, counts: counters.OutboxCounters, seq: int, read_id: bytes, read: Read) -> None:
        for picture in read.pictures:
            lane = picture_priority(picture.kind, read.retention)
            sha, stored = self._encoder.picture(picture.sha256, picture.jpeg)
            # Two plates in one frame share its overview: the first read brings it, both name its hash.
            done = self._con.execute(
                "INSERT OR IGNORE INTO pictures (pic, lane, kind, seq, read_id, sha, size)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (counts.next_pic, lane, picture.kind.value, seq, read_id, sha, len(stored)),
            )
            if done.rowcount:
                self._con.execute("INSERT INTO jpegs VALUES (?, ?)", (counts.next_pic, stored))
                counts.next_pic += 1
                counts.picture(lane, len(stored), 1)
            else:
                self._move_up(counts, sha, lane)

    def _move_up(self, counts: counters.OutboxCounters, sha: bytes, lane: PicturePriority) -> None:
        """A picture that waits already is wanted more now."""
        row = self._con.execute("SELECT pic, lane FROM pictures WHERE sha = ?", (sha,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("an index names a picture that is not in the table")
        if lane < row[1] < PicturePriority.HELD:
            self._con.execute("UPDATE pictures SET lane = ? WHERE pic = ?", (lane, row[0]))
            counts.move(row[1], -1)
            counts.move(lane, 1)

    def _keep_room(self, counts: counters.OutboxCounters, before_bytes: int, first_new_seq: int) -> None:
        """Evict what must make room for a group; the group's own reads never do."""
        free = free_bytes(self._folder)
        if counts.used_bytes > self._limits.max_bytes:
            self._evict(counts, self._limits.low_bytes, LostReason.BUDGET, first_new_seq)
        elif free < self._limits.min_free_bytes:
            # The file keeps the pages it has: up to this size it grows no further on the disk.
            self._ceiling_bytes = max(before_bytes, self._ceiling_bytes)
            # What is kept free is there for reads: they use it up before any of them goes.
            oldest_go = free < self._limits.last_bytes
            self._evict(counts, self._ceiling_bytes, LostReason.DISK, first_new_seq if oldest_go else 0)
        else:
            self._ceiling_bytes = 0

    def _evict(
        self,
        counts: counters.OutboxCounters,
        down_to_bytes: int,
        reason: LostReason,
        reads_below_seq: int = 2**63 - 1,
    ) -> None:
        goal = retention.Goal(max(0, down_to_bytes), reason, reads_below_seq)
        self._append_tombstones(counts, retention.evict(self._con, counts, goal))

    def _append_tombstones(self, counts: counters.OutboxCounters, stones: Sequence[Tombstone]) -> None:
        for stone in stones:
            seq = counts.take_seq()
            self._insert(counts, seq, RowKind.TOMBSTONE, self._encoder.record(seq, stone, counts.link))

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[counters.OutboxCounters]:
        """All or nothing; the counters are read at the start and written at the end."""
        self._doing = doing
        try:
            self._ensure_open()
            self._con.execute("BEGIN IMMEDIATE")
            counts = counters.load(self._con)
            evicted_before = counts.evicted_reads
            yield counts
            self._mark.cover(counts.next_seq - 1)
            counters.store(self._con, counts)
            self._con.execute("COMMIT")
            self._watch.well(doing)
            self.lost_reads += counts.evicted_reads - evicted_before
        except (sqlite3.Error, OSError) as error:
            failure = self._failure(error)
            if isinstance(failure, OutboxDiskError):
                self._let_go()
            else:
                self._roll_back()
            raise failure from error
        except Exception as error:
            self._roll_back()
            # Perhaps the file holds what none of our statements wrote: the next opening looks.
            self._watch.mark(repr(error), certain=False)
            raise
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            if self._con.in_transaction:
                self._con.execute("ROLLBACK")
        except sqlite3.Error:
            self._let_go()

    def _let_go(self) -> None:
        """After a failed write or fsync nothing this connection believes can be trusted: the next step opens anew."""
        self._is_open = False
        with suppress(sqlite3.Error):
            self._con.close()

    def _ensure_open(self) -> None:
        if self._is_open:
            return
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} is not there")
        self._con.close()
        self._con = schema.connect(self.path)
        next_seq = counters.load(self._con).next_seq
        if self._doubt is not None and next_seq > self._doubt.first_seq:
            self._known |= dict(zip(self._doubt.read_ids, range(self._doubt.first_seq, next_seq), strict=False))
        self._doubt = None
        self._is_open = True

    def _failure(self, error: sqlite3.Error | OSError) -> OutboxError:
        """Sort an error: no room, a failing disk, or damage, which is marked."""
        return self._watch.sort(error, self._doing, nothing_free=self._nothing_free)

    def _checkpoint_wal(self) -> None:
        if not self._is_open:
            return
        try:
            self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            failure = self._failure(error)
            if not isinstance(failure, OutboxFullError):
                raise failure from error

    def _drop_ballast(self) -> None:
        try:
            (self._folder / BALLAST_NAME).unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def _nothing_free(self) -> bool:
        try:
            return free_bytes(self._folder) < _NOTHING_BYTES
        except OSError:
            return False

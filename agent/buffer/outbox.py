"""The outbox: a record is on the disk when ``append`` returns, and stays until the station's receipt.

Sequence numbers are assigned inside the transaction, so they have no gaps: a gap at the station is a loss.
Records are stored as final wire bytes and never change.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.buffer import apply, counters, expiry, retention, schema, table
from agent.buffer.damage import DamageWatch
from agent.buffer.retention import Limits
from agent.buffer.rows import (
    Applied,
    Command,
    Encoder,
    Expired,
    OutboxStats,
    PicturePriority,
    PictureQuarantined,
    PictureStored,
    Quarantined,
    Receipted,
    picture_priority,
)
from agent.errors import OutboxDiskError, OutboxError, OutboxFullError, OutboxTypeError
from protocol.wire.enums import LostReason
from protocol.wire.records.tombstone import MAX_RANGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.buffer.mark import SeqMark
    from agent.buffer.rows import Appendable, PurgeNote
    from protocol.wire.enums import PictureKind
    from protocol.wire.records.tombstone import Tombstone

FILE_NAME = "outbox-3.db"
"""Changes with each migration that an older release cannot read, so that it does not find the file after a rollback.

The names of notes beside the file (``outbox-3.rescue``, ``outbox-3.suspect``) change with it;
:mod:`agent.buffer.adopt` takes over the rows of files of older names.
"""
BALLAST_NAME = "ballast"
_NOTHING_BYTES = 64 * 1024


def free_bytes(folder: Path) -> int:
    """Return the bytes that this process may still write to the disk of a folder; raises OSError."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A group whose commit failed: it may nevertheless be in the file, and appear when the log is read again."""

    first_seq: int
    record_ids: tuple[bytes | None, ...]


class Outbox:
    """The only writer.  Used by one thread; made by :func:`agent.buffer.open_outbox`."""

    def __init__(
        self, folder: Path, con: sqlite3.Connection, encoder: Encoder, mark: SeqMark, limits: Limits | None = None
    ) -> None:
        self._folder = folder
        self._con = con
        self._encoder = encoder
        self._mark = mark
        self._limits = limits or Limits()
        self._ceiling_bytes = 0
        """Size limit while the disk is nearly full; 0 while it is not."""
        self._is_open = True
        self._doubt: _Doubt | None = None
        self._known: dict[bytes | None, int] = {}
        """Records whose commit failed but that were found in the file afterwards, with their numbers."""
        self._floors: dict[int, int] = {}
        """By priority: no evictable record waits at or below this number."""
        self._doing = ""
        self._unknown_receipts = 0
        """Counts not yet in the file; written with the next change."""
        self._watch = DamageWatch(self.path)
        self.lost_records = 0
        """Records evicted since the opening; each loss is reported at once."""

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / FILE_NAME

    def append(self, records: Sequence[Appendable]) -> list[int]:
        """Append a group in one transaction; return the sequence numbers.

        When this returns, the group survives a power cut.  Raises OutboxFullError if the disk is full even after
        evictions, OutboxDiskError if it fails or is read-only: the caller then keeps the group and appends it again,
        the same records first; those with their own id are never stored twice.  Raises OutboxDamagedError if the
        file is damaged, OutboxTypeError for a type that is not registered.
        """
        try:
            return self._append(records)
        except OutboxFullError:
            # Deleting the ballast frees the space that evictions need.
            self._drop_ballast()
            # A checkpoint frees the space of the log.
            self._checkpoint_wal()
            with self._transaction("evict") as counts:
                self._evict(counts, counts.used_bytes - counts.used_bytes // 20 - 1, LostReason.DISK)
            self._checkpoint_wal()
            return self._append(records)

    def expire(self, now_utc_us: int, note: PurgeNote | None = None) -> Expired:
        """Delete what has expired by ``now_utc_us``, with tombstones; the time must be trusted.

        With ``note`` a purge record says what was deleted, in the same transaction.  Each call deletes a bounded
        number; if ``more`` is set, call again.  Raises what ``append`` raises.
        """
        with self._transaction("expire", writes_always=False) as counts:
            expired, bodies = expiry.expire(self._con, counts, now_utc_us, self._encoder.registry, note)
            for body in bodies:
                table.append(self._con, counts, self._encoder, body)
        return expired

    def set_expiry(self, dated: Sequence[tuple[int, int]]) -> None:
        """Give records without an expiry theirs: sequence numbers with UTC in microseconds; their pictures as well.

        Raises what ``append`` raises.
        """
        with self._transaction("set_expiry", writes_always=False):
            expiry.set_expiry(self._con, dated)

    def limit_expiry(self, schema: str, expires_us: int, pictures: Sequence[PicturePriority] = ()) -> int:
        """Give all records of a type without an expiry this one, and pictures of queues; return how many records.

        Raises what ``append`` raises.
        """
        with self._transaction("limit_expiry", writes_always=False):
            return expiry.limit_expiry(self._con, schema, expires_us, pictures)

    def apply(self, commands: Sequence[Command]) -> Applied:
        """Apply receipts and nacks in one transaction; nothing is written if nothing changes.

        Raises what ``append`` raises; then nothing was changed, and the station repeats its messages on request.
        """
        freed = pictures_freed = unknown = quarantined = 0
        with self._transaction("apply", writes_always=False) as counts:
            before = self._con.total_changes
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
                        apply.quarantine_picture(self._con, counts, sha256)
            if self._con.total_changes != before:
                counts.unknown_receipts += self._unknown_receipts + unknown
                unwritten = 0
            else:
                unwritten = self._unknown_receipts + unknown
        self._unknown_receipts = unwritten
        return Applied(freed, pictures_freed, unknown, quarantined)

    def discard(self, limit: int) -> int:
        """Delete the oldest quarantined records, with a tombstone, at an operator's command; return how many."""
        with self._transaction("discard") as counts:
            rows = self._con.execute(
                "SELECT seq, length(payload) FROM quarantine ORDER BY seq LIMIT ?", (min(limit, MAX_RANGES),)
            ).fetchall()
            for seq, size in rows:
                self._con.execute("DELETE FROM quarantine WHERE seq = ?", (seq,))
                counts.refused(size, -1)
            if rows:
                self._append_tombstones(
                    counts, [retention.make_tombstone([(seq, size) for seq, size in rows], LostReason.OPERATOR)]
                )
        return len(rows)

    def requeue(self) -> int:
        """Queue quarantined records for sending again, at an operator's command; return how many."""
        with self._transaction("requeue") as counts:
            rows = self._con.execute(f"SELECT {table.COLUMNS} FROM quarantine").fetchall()  # noqa: S608 - words of ours
            for row in rows:
                self._con.execute(table.INSERT, row)
                _, schema_id, _, payload, *_ = row
                counts.refused(len(payload), -1)
                counts.record(schema_id, len(payload), 1)
            self._con.execute("DELETE FROM quarantine")
            self._floors.clear()
        return len(rows)

    def holds(self, record_id: bytes) -> bool:
        """Return True if a record of this id waits or is quarantined; looks through all rows.  Raises OutboxError."""
        self._doing = "holds"
        try:
            self._ensure_open()
            return any(
                self._con.execute(f"SELECT 1 FROM {rows} WHERE id = ? LIMIT 1", (record_id,)).fetchone()  # noqa: S608 - words of ours
                for rows in ("records", "quarantine")
            )
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def stats(self) -> OutboxStats:
        """Read the counters; raises OutboxError."""
        self._doing = "stats"
        try:
            self._ensure_open()
            found = counters.stats(self._con)
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error
        self._watch.well("stats")
        return replace(found, unknown_receipts=found.unknown_receipts + self._unknown_receipts)

    def close(self) -> None:
        """Checkpoint the log and close the file; appended records are durable even without this."""
        try:
            if self._is_open:
                self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failure(error) from error
        finally:
            self._con.close()

    def _append(self, records: Sequence[Appendable]) -> list[int]:
        with self._transaction("append") as counts:
            before_bytes = counts.used_bytes
            fresh = [record for record in records if record.record_id not in self._known]
            self._doubt = _Doubt(counts.next_seq, tuple(record.record_id for record in fresh))
            seqs = iter([self._insert(counts, record) for record in fresh])
            self._keep_room(counts, before_bytes, self._doubt.first_seq)
        # In the order of appending; earlier records are recognised by their ids.
        given = [self._known.get(record.record_id) or next(seqs) for record in records]
        self._doubt = None
        self._known.clear()
        return given

    def _insert(self, counts: counters.OutboxCounters, record: Appendable) -> int:
        seq, record_id = table.append(
            self._con,
            counts,
            self._encoder,
            record.body,
            record_id=record.record_id,
            expires_us=record.expires_utc_us,
        )
        if record.pictures:
            self._insert_pictures(counts, record, seq, record_id)
        return seq

    def _insert_pictures(
        self, counts: counters.OutboxCounters, record: Appendable, seq: int, record_id: bytes
    ) -> None:
        for picture in record.pictures:
            priority = self._picture_priority(record, picture.kind)
            sha, stored = self._encoder.picture(picture.sha256, picture.jpeg)
            # Two plates in one frame share its overview: stored with the first read, referenced by both.
            done = self._con.execute(
                "INSERT OR IGNORE INTO pictures (pic, lane, kind, seq, read_id, sha, size, expires_us)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    counts.next_pic,
                    priority,
                    picture.kind.value,
                    seq,
                    record_id,
                    sha,
                    len(stored),
                    record.expires_utc_us,
                ),
            )
            if done.rowcount:
                self._con.execute("INSERT INTO jpegs VALUES (?, ?)", (counts.next_pic, stored))
                counts.next_pic += 1
                counts.picture(priority, len(stored), 1)
            else:
                self._share(counts, sha, priority, record.expires_utc_us)

    def _picture_priority(self, record: Appendable, kind: PictureKind) -> PicturePriority:
        known = self._encoder.registry.get(record.body.SCHEMA)
        return picture_priority(kind, None if known is None else known.retention(record.body))

    def _share(
        self, counts: counters.OutboxCounters, sha: bytes, priority: PicturePriority, expires_us: int | None
    ) -> None:
        """A waiting picture is shared by another record: its priority and expiry may rise."""
        row = self._con.execute("SELECT pic, lane FROM pictures WHERE sha = ?", (sha,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("an index has a picture that is not in the table")
        pic, before = row
        # The later of both; NULL (never expires) if either is.
        self._con.execute("UPDATE pictures SET expires_us = max(expires_us, ?) WHERE pic = ?", (expires_us, pic))
        if priority < before < PicturePriority.QUARANTINED:
            self._con.execute("UPDATE pictures SET lane = ? WHERE pic = ?", (priority, pic))
            counts.move(before, -1)
            counts.move(priority, 1)

    def _keep_room(self, counts: counters.OutboxCounters, before_bytes: int, first_new_seq: int) -> None:
        """Evict to make room for a group; never the group's own records."""
        free = free_bytes(self._folder)
        if counts.used_bytes > self._limits.max_bytes:
            self._evict(counts, self._limits.low_bytes, LostReason.BUDGET, first_new_seq)
        elif free < self._limits.min_free_bytes:
            # The file keeps its pages: up to this size it does not grow on the disk.
            self._ceiling_bytes = max(before_bytes, self._ceiling_bytes)
            # The reserved free space is for records: it is used up before any record is evicted.
            oldest_go = free < self._limits.last_bytes
            self._evict(counts, self._ceiling_bytes, LostReason.DISK, first_new_seq if oldest_go else 0)
        else:
            self._ceiling_bytes = 0

    def _evict(
        self,
        counts: counters.OutboxCounters,
        down_to_bytes: int,
        reason: LostReason,
        records_below_seq: int = 2**63 - 1,
    ) -> None:
        goal = retention.Goal(
            max(0, down_to_bytes), reason, records_below_seq, self._encoder.registry, self._floors
        )
        self._append_tombstones(counts, retention.evict(self._con, counts, goal))

    def _append_tombstones(self, counts: counters.OutboxCounters, tombstones: Sequence[Tombstone]) -> None:
        for tombstone in tombstones:
            table.append(self._con, counts, self._encoder, tombstone)

    @contextmanager
    def _transaction(self, doing: str, *, writes_always: bool = True) -> Iterator[counters.OutboxCounters]:
        """A transaction; counters are read at its start and written at its end.

        Without ``writes_always`` the file is left alone when no row has changed.
        """
        self._doing = doing
        try:
            self._ensure_open()
            self._con.execute("BEGIN IMMEDIATE")
            counts = counters.load(self._con)
            evicted_before, changes_before = counts.evicted, self._con.total_changes
            yield counts
            if not writes_always and self._con.total_changes == changes_before:
                self._con.execute("ROLLBACK")
                self._watch.well(doing)
                return
            self._mark.cover(counts.next_seq - 1)
            counters.store(self._con, counts)
            self._con.execute("COMMIT")
            self._mark.note(counts.next_seq - 1)
            self._watch.well(doing)
            self.lost_records += counts.evicted - evicted_before
        except (sqlite3.Error, OSError) as error:
            self._floors.clear()
            failure = self._failure(error)
            if isinstance(failure, OutboxDiskError):
                self._let_go()
            else:
                self._roll_back()
            raise failure from error
        except Exception as error:
            self._floors.clear()
            self._roll_back()
            if isinstance(error, OutboxTypeError):
                raise
            # The file may hold what no statement of ours wrote: the next opening checks.
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
        """After a failed write or fsync the connection's state cannot be trusted: the next step reopens the file."""
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
        if self._doubt is not None:
            self._known.update(self._found(self._doubt, counters.load(self._con).next_seq))
        self._doubt = None
        self._is_open = True

    def _found(self, doubt: _Doubt, next_seq: int) -> dict[bytes | None, int]:
        """Return the records of a doubtful group that are in the file; its numbers may have gone to tombstones."""
        numbered = zip(doubt.record_ids, range(doubt.first_seq, next_seq), strict=False)
        return {
            record_id: seq
            for record_id, seq in numbered
            if self._con.execute("SELECT 1 FROM records WHERE seq = ? AND id = ?", (seq, record_id)).fetchone()
        }

    def _failure(self, error: sqlite3.Error | OSError) -> OutboxError:
        """Classify an error: disk full, disk failing, or damage, which is marked."""
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

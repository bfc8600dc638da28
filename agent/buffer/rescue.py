"""Copies readable rows of a damaged file into a new one, and announces the rest.

In small transactions: the file may be larger than the memory.  Until the rescue is complete there is a note beside the
file, and an interrupted rescue starts again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.buffer import counters, table
from agent.buffer.recount import recount, waiting_by_type
from agent.buffer.retention import damage_tombstone, make_tombstone
from protocol.wire.enums import Lost, LostReason, PictureKind
from protocol.wire.records.tombstone import MAX_RANGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.buffer.counters import OutboxCounters
    from agent.buffer.mark import SeqMark
    from agent.buffer.rows import Encoder, OutboxRow
    from agent.buffer.salvage import SavedPicture, Wreck
    from protocol.wire.records.tombstone import Tombstone

RESCUE_NAME = "outbox-3.rescue"
"""Note that names the damaged file from before it is moved until its readable rows are in the new one."""
ASIDE = "outbox.damaged-"
"""Prefix of the names of damaged files that were moved aside."""
SIDE_FILES = ("", "-wal", "-shm")
BATCH_BYTES = 4 * 2**20
ROOM_BYTES = 3 * BATCH_BYTES
"""Disk space required for another picture: the log and the file each take a batch."""
_SAVE = table.INSERT.replace("INSERT", "INSERT OR IGNORE", 1)
_SAVE_REFUSED = table.INSERT_REFUSED.replace("INSERT", "INSERT OR IGNORE", 1)
_ALL_SEQS = "SELECT seq FROM records UNION ALL SELECT seq FROM quarantine"


@dataclass(frozen=True, slots=True)
class Rescued:
    """The result of a rescue."""

    records: int
    pictures: int
    lost_at_min: int
    """Numbers missing between the salvaged ones: at least these are lost, unless the station already has them."""
    lost_pictures: int


class Rescue:
    """One rescue into a file.  Its methods raise sqlite3.Error."""

    def __init__(self, con: sqlite3.Connection, encoder: Encoder, *, has_room: Callable[[int], bool]) -> None:
        """``has_room`` returns whether the disk has this many bytes free; it may free some."""
        self._con = con
        self._encoder = encoder
        self._has_room = has_room
        self._next_pic = 1
        self._batch_bytes = 0
        self.is_full = False
        """True if the disk was too full for all readable pictures."""

    def run(self, wreck: Wreck, mark: SeqMark) -> Rescued:
        """Salvage all readable rows, records first; announce the rest."""
        self._con.execute("BEGIN IMMEDIATE")
        for row in wreck.records():
            self._save_record(row)
        for row, code in wreck.quarantined():
            self._save_refused(row, code)
        lost: dict[PictureKind, list[tuple[int, int]]] = {kind: [] for kind in PictureKind}
        for picture in wreck.pictures():
            if not self._save_picture(picture):
                lost[picture.kind].append((picture.seq, 0))
        found = self._finish(mark, lost)
        self._con.execute("COMMIT")
        return found

    def _recounted(self) -> OutboxCounters:
        """The counters, with waiting rows recounted."""
        counts = counters.load(self._con)
        for name, value in recount(self._con).items():
            setattr(counts, name, value)
        for of_type in counts.types.values():
            of_type.waiting = 0
        for schema, waiting in waiting_by_type(self._con).items():
            counts.of(schema).waiting = waiting
        counts.next_pic = self._next_pic
        return counts

    def _save_record(self, row: OutboxRow) -> None:
        if self._encoder.intact(row):
            self._put(_SAVE, table.values(typed(self._encoder, row)), len(row.payload))

    def _save_refused(self, row: OutboxRow, code: str) -> None:
        waits = self._con.execute("SELECT 1 FROM records WHERE seq = ?", (row.seq,)).fetchone()
        if waits is None and self._encoder.intact(row):
            self._put(_SAVE_REFUSED, (*table.values(typed(self._encoder, row)), code), len(row.payload))

    def _save_picture(self, p: SavedPicture) -> bool:
        """Copy a picture; False if it is lost."""
        self.is_full = self.is_full or not self._has_room(ROOM_BYTES)
        if p.stored is None or self.is_full:
            return False
        values = (self._next_pic, p.priority, p.kind, p.seq, p.read_id, p.sha256, len(p.stored), p.expires_us)
        added = self._con.execute(
            "INSERT OR IGNORE INTO pictures (pic, lane, kind, seq, read_id, sha, size, expires_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        ).rowcount
        if added:
            self._put("INSERT INTO jpegs VALUES (?, ?)", (self._next_pic, p.stored), len(p.stored))
            self._next_pic += 1
        return True

    def _put(self, sql: str, values: tuple[object, ...], size_bytes: int) -> None:
        """Execute inside the current transaction, which is committed when it is large."""
        self._con.execute(sql, values)
        self._batch_bytes += size_bytes
        if self._batch_bytes >= BATCH_BYTES:
            self._batch_bytes = 0
            self._con.execute("COMMIT")
            self._con.execute("BEGIN IMMEDIATE")

    def _finish(self, mark: SeqMark, lost: dict[PictureKind, list[tuple[int, int]]]) -> Rescued:
        """Recount, and announce missing records."""
        counts = self._recounted()
        for of_type in counts.types.values():
            of_type.appended = of_type.waiting
        for schema, refused in self._con.execute("SELECT schema, count(*) FROM quarantine GROUP BY schema"):
            counts.of(schema).appended += refused
        waiting = sum(of_type.waiting for of_type in counts.types.values())
        records, pictures = waiting + counts.quarantined, counts.plates + counts.overviews
        first, last = self._ends()
        counts.next_seq = max(mark.high, last) + 1
        for tombstone in (*holes(self._con, counts.next_seq - 1), *picture_tombstones(lost)):
            table.append(self._con, counts, self._encoder, tombstone)
        mark.cover(counts.next_seq - 1)
        counters.store(self._con, counts)
        missing = last - first + 1 - records if records else 0
        return Rescued(records, pictures, missing, sum(len(gone) for gone in lost.values()))

    def _ends(self) -> tuple[int, int]:
        row: tuple[int, int] = self._con.execute(
            f"SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM ({_ALL_SEQS})"  # noqa: S608 - words of ours
        ).fetchone()
        return row


def typed(encoder: Encoder, row: OutboxRow) -> OutboxRow:
    """The other columns may be damaged: take the type from the bytes and the rest from the registry."""
    schema = encoder.schema(row.payload) or row.schema
    known = encoder.registry.get(schema)
    if known is None:
        return replace(row, schema=schema)
    return replace(row, schema=schema, priority=int(known.priority), kept=not known.evictable)


def holes(con: sqlite3.Connection, highest: int) -> Iterator[Tombstone]:
    """Yield tombstones of all numbers up to ``highest`` that are not in the file.

    There is one even without a gap: it explains why a new chain begins.
    """
    found: list[tuple[int, int]] = []
    before = 0
    first = True
    # All read at once: tombstones are written meanwhile.
    for (seq,) in [*con.execute(f"{_ALL_SEQS} ORDER BY seq"), (highest + 1,)]:
        if seq > before + 1:
            found.append((before + 1, seq - 1))
        before = seq
        if len(found) == MAX_RANGES:
            yield damage_tombstone(tuple(found))
            found, first = [], False
    if found or first:
        yield damage_tombstone(tuple(found))


def free_name(folder: Path) -> Path:
    """Return the next name for a file that is moved aside."""
    number = 1
    while (aside := folder / f"{ASIDE}{number}.db").exists():
        number += 1
    return aside


def picture_tombstones(lost: dict[PictureKind, list[tuple[int, int]]]) -> Iterator[Tombstone]:
    """Yield tombstones of pictures whose bytes are lost."""
    for kind, gone in lost.items():
        what = Lost.PLATE if kind is PictureKind.PLATE else Lost.OVERVIEW
        gone.sort()
        for at in range(0, len(gone), MAX_RANGES):
            yield make_tombstone(gone[at : at + MAX_RANGES], LostReason.DAMAGE, what)

"""The file of an older release: renamed to the current name, or taken over row by row if both files exist.

A release that cannot read the present file does not find it after a rollback, as its name is another: it makes a file
of its own and counts on above the mark.  The next opening by this release brings the rows of that file here.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer import counters, schema, table
from agent.buffer.damage import SUSPECT_NAME, note_proven
from agent.buffer.log_check import lost_commits
from agent.buffer.mark import sync_folder, write_durably
from agent.buffer.outbox import FILE_NAME
from agent.buffer.rescue import (
    ASIDE,
    BATCH_BYTES,
    RESCUE_NAME,
    ROOM_BYTES,
    SIDE_FILES,
    free_name,
    holes,
    picture_tombstones,
    typed,
)
from agent.buffer.salvage import Wreck
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.buffer.mark import SeqMark
    from agent.buffer.rows import Encoder, OutboxRow
    from agent.buffer.salvage import SavedPicture

OLDER_NAME = "outbox.db"
"""File of the releases that read versions 1 and 2."""
OLDER_RESCUE_NAME = "outbox.rescue"
OLDER_SUSPECT_NAME = "outbox.suspect"
_ID_OF = "SELECT id FROM records WHERE seq = ?1 UNION ALL SELECT id FROM quarantine WHERE seq = ?1"


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The result of taking over the older release's file."""

    records: int = 0
    pictures: int = 0
    problems: tuple[str, ...] = ()


def adopt(folder: Path) -> None:
    """Rename the file of an older release to the current name, unless that exists.

    Raises OutboxVersionError for a file from a newer version, OSError.
    """
    path, older = folder / FILE_NAME, folder / OLDER_NAME
    if older.exists():
        schema.refuse_newer(older)
    # A rescue that was cut short makes the present file anew, and would delete what is there under its name.
    if path.exists() or (folder / RESCUE_NAME).exists():
        return
    if older.exists():
        # The older release, should it run again before the rename is on the disk, must not miss what is in the log.
        _checkpoint(older, lambda: note_proven(folder, "the log is damaged: commits behind the damage are lost"))
        if (folder / OLDER_SUSPECT_NAME).exists() and not (folder / SUSPECT_NAME).exists():
            (folder / OLDER_SUSPECT_NAME).replace(folder / SUSPECT_NAME)
        # The log first: the file is what says that the move was made.
        for suffix in reversed(SIDE_FILES):
            part = folder / f"{OLDER_NAME}{suffix}"
            if part.exists():
                part.replace(folder / f"{FILE_NAME}{suffix}")
        sync_folder(folder)
    if (folder / OLDER_RESCUE_NAME).exists():
        (folder / OLDER_RESCUE_NAME).replace(folder / RESCUE_NAME)
        sync_folder(folder)


def sources(folder: Path) -> list[Path]:
    """Return the files to take over: the one from which an older release was salvaging, and its own."""
    found = []
    with suppress(FileNotFoundError):
        name = (folder / OLDER_RESCUE_NAME).read_bytes().decode(errors="replace")
        # A torn note names nothing: then nothing had been moved.
        if name.startswith(ASIDE) and "/" not in name and (folder / name).is_file():
            found.append(folder / name)
    if (folder / OLDER_NAME).exists():
        found.append(folder / OLDER_NAME)
    return found


class TakeOver:
    """Takes over rows of older files into the open one.  Its methods raise sqlite3.Error and OSError.

    In transactions of bounded size, each with its counters: cut short anywhere, it is simply done again.
    """

    def __init__(
        self,
        folder: Path,
        con: sqlite3.Connection,
        encoder: Encoder,
        mark: SeqMark,
        has_room: Callable[[int], bool],
    ) -> None:
        """``has_room`` returns whether the disk has this many bytes free; it may free some."""
        self._folder = folder
        self._con = con
        self._encoder = encoder
        self._mark = mark
        self._has_room = has_room
        self._counts = counters.load(con)
        self._batch_bytes = 0
        self._records = self._pictures = self._twice = 0
        self._whole = True
        self._is_full = False
        self._lost: dict[PictureKind, list[tuple[int, int]]] = {kind: [] for kind in PictureKind}

    def run(self) -> TakenOver:
        """Take everything over; the older files are deleted, or moved aside if they could not be read completely."""
        self._con.execute("BEGIN IMMEDIATE")
        for source in sources(self._folder):
            self._take(source)
        self._whole = self._whole and not self._twice
        if not self._whole:
            self._announce()
        self._commit()
        aside = self._put_away()
        return TakenOver(self._records, self._pictures, tuple(self._problems(aside)))

    def _take(self, source: Path) -> None:
        suspect = self._folder / OLDER_SUSPECT_NAME
        if source.name == OLDER_NAME:
            _checkpoint(source, lambda: write_durably(suspect, b""))
        # A file that was being salvaged was damaged.
        self._whole = self._whole and source.name == OLDER_NAME and not suspect.exists()
        with Wreck(source) as wreck:
            last = wreck.end()
            if last is None:
                self._whole = False
            else:
                self._count_on(*last)
            for row in wreck.records():
                self._take_record(row, None)
            for row, code in wreck.quarantined():
                self._take_record(row, code)
            for picture in wreck.pictures():
                if not self._take_picture(picture):
                    self._lost[picture.kind].append((picture.seq, 0))
                    self._whole = False
            self._whole = self._whole and wreck.complete and wreck.is_sound

    def _count_on(self, next_seq: int, link: bytes) -> None:
        """Take the link from the file with the last assigned number."""
        if next_seq >= self._counts.next_seq:
            self._counts.next_seq, self._counts.link = next_seq, link

    def _take_record(self, row: OutboxRow, code: str | None) -> None:
        if not self._encoder.intact(row):
            self._whole = False
            return
        there = self._con.execute(_ID_OF, (row.seq,)).fetchone()
        if there is not None:
            self._twice += there[0] != row.record_id
            return
        row = typed(self._encoder, row)
        size_bytes = len(row.payload)
        counts = self._counts
        if code is None:
            self._con.execute(table.INSERT, table.values(row))
            counts.record(row.schema, size_bytes, 1)
        else:
            self._con.execute(table.INSERT_REFUSED, (*table.values(row), code))
            counts.refused(size_bytes, 1)
        counts.of(row.schema).appended += 1
        counts.next_seq = max(counts.next_seq, row.seq + 1)
        self._records += 1
        self._put(size_bytes)

    def _take_picture(self, p: SavedPicture) -> bool:
        """Take over a picture; False if it is lost."""
        self._is_full = self._is_full or not self._has_room(ROOM_BYTES)
        if p.stored is None or self._is_full:
            return False
        pic, size_bytes = self._counts.next_pic, len(p.stored)
        added = self._con.execute(
            "INSERT OR IGNORE INTO pictures (pic, lane, kind, seq, read_id, sha, size, expires_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (pic, p.priority, p.kind, p.seq, p.read_id, p.sha256, size_bytes, p.expires_us),
        ).rowcount
        if added:
            self._con.execute("INSERT INTO jpegs VALUES (?, ?)", (pic, p.stored))
            self._counts.next_pic += 1
            self._counts.picture(p.priority, size_bytes, 1)
            self._pictures += 1
            self._put(size_bytes)
        return True

    def _put(self, size_bytes: int) -> None:
        """Commit the current transaction when it is large."""
        self._batch_bytes += size_bytes
        if self._batch_bytes >= BATCH_BYTES:
            self._batch_bytes = 0
            self._commit()
            self._con.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        self._mark.cover(self._counts.next_seq - 1)
        counters.store(self._con, self._counts)
        self._con.execute("COMMIT")

    def _announce(self) -> None:
        """Announce unreadable numbers; a new chain begins with that tombstone."""
        counts = self._counts
        counts.next_seq = max(self._mark.high + 1, counts.next_seq)
        counts.link = b""
        for tombstone in (*holes(self._con, counts.next_seq - 1), *picture_tombstones(self._lost)):
            table.append(self._con, counts, self._encoder, tombstone)

    def _put_away(self) -> Path | None:
        """Delete the older file, now that its rows are on the disk; return its new name if it is kept.

        The file before its log: without the log it would give out numbers again.
        """
        older = self._folder / OLDER_NAME
        aside = None
        if older.exists() and (self._twice or not self._whole):
            aside = free_name(self._folder)
        for suffix in SIDE_FILES:
            part = self._folder / f"{OLDER_NAME}{suffix}"
            if aside is None:
                part.unlink(missing_ok=True)
            elif part.exists():
                part.rename(aside.with_name(f"{aside.name}{suffix}"))
        for name in (OLDER_RESCUE_NAME, OLDER_SUSPECT_NAME):
            (self._folder / name).unlink(missing_ok=True)
        sync_folder(self._folder)
        return aside

    def _problems(self, aside: Path | None) -> list[str]:
        found = []
        if aside is not None:
            found.append(
                f"{OLDER_NAME} of an older release could not be taken over completely, and is kept as {aside.name}"
            )
        if self._twice:
            found.append(f"{self._twice} records of {OLDER_NAME} have numbers of others, and were not taken over")
        if self._is_full:
            found.append(f"the disk had no room for all pictures of {OLDER_NAME}")
        return found


def _checkpoint(file: Path, note_damage: Callable[[], None]) -> None:
    """Checkpoint the log; what cannot be written, for lack of space or damage, stays in the log.

    Calls ``note_damage`` where the log has lost commits: closing the file removes the log, so this was the last look.
    """
    with suppress(sqlite3.Error):
        con = schema.connect(file)
        try:
            if lost_commits(file, con):
                note_damage()
            else:
                con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            con.close()

"""Reads a damaged file: every row that SQLite can still reach, by key.

A scan ends at the first unreadable page, from either end.  Rows between two such pages are queried by key; the keys
are read from the leaf pages themselves (sqlite.org/fileformat.html, 1.6), because the interior pages may be damaged.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from agent.buffer.rows import NON_HIT, SENDING, UNKNOWN_SCHEMA, OutboxRow, PicturePriority, picture_priority
from agent.buffer.table import as_row
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO, Self

_LEAF = 0x0D
"""Page type of a table leaf."""
_HEADER_BYTES = 100
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_MIN_PAGE, _MAX_PAGE, _USUAL_PAGE = 512, 65536, 4096
_VARINT_BYTES = 9
_KINDS = {0: "read/1", 1: "dating/1", 2: "tomb/1"}
"""Types in files of the first two versions."""


@dataclass(frozen=True, slots=True)
class SavedPicture:
    """A picture whose row could be read."""

    priority: PicturePriority
    kind: PictureKind
    seq: int
    read_id: bytes
    sha256: bytes
    stored: bytes | None
    """None if its bytes could not be read or do not match the hash."""
    expires_us: int | None = None


class Wreck:
    """A damaged file, open for reading.  Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.complete = True
        """False once something could not be read."""
        # Opened without reading the file; errors appear with the first row.
        self._con = sqlite3.connect(path, isolation_level=None)
        # Set before anything is read: allows reading truncated files.
        self._con.execute("PRAGMA writable_schema = ON")
        # A text with a flipped bit must not cost the row.
        self._con.text_factory = bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    @property
    def has_tables(self) -> bool:
        """True if SQLite finds the tables and can read a row of each."""
        try:
            for table in ("records", "pictures"):
                self._con.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - words of ours
        except sqlite3.Error:
            return False
        return True

    @property
    def is_sound(self) -> bool:
        """True if SQLite finds no damage."""
        try:
            return bool(self._con.execute("PRAGMA quick_check(1)").fetchone()[0] == b"ok")
        except sqlite3.Error:
            return False

    def end(self) -> tuple[int, bytes] | None:
        """Return the next sequence number and the link of the record before it; None if unreadable."""
        try:
            row = self._con.execute("SELECT next_seq, link FROM meta").fetchone()
        except sqlite3.Error:
            return None
        match row:
            case (int(next_seq), bytes(link)):
                return next_seq, link
            case _:
                return None

    def records(self) -> Iterator[OutboxRow]:
        """Yield the waiting records in any order, some possibly twice, without checking them."""
        for columns in self._rows("records", "seq, id, payload"):
            row = self._as_row("records", columns)
            if row is None:
                self.complete = False
            else:
                yield row

    def quarantined(self) -> Iterator[tuple[OutboxRow, str]]:
        """Yield the quarantined records, as ``records`` does, each with the code of its nack."""
        for columns in self._rows("quarantine", "seq, id, payload"):
            row = self._as_row("quarantine", columns)
            if row is None:
                self.complete = False
            else:
                code = self._beside("quarantine", "code", "seq", row.seq)
                yield row, code[0].decode(errors="replace") if code and isinstance(code[0], bytes) else ""

    def pictures(self) -> Iterator[SavedPicture]:
        """Yield the pictures, as ``records`` does."""
        can_expire = self._has("pictures", "expires_us")
        for pic, *columns in self._rows("pictures", "pic, lane, kind, seq, read_id, sha"):
            picture = None
            if isinstance(pic, int):
                end = self._beside("pictures", "expires_us", "pic", pic) if can_expire else None
                picture = _as_picture([*columns, end[0] if end else None], self._jpeg(pic))
            if picture is None:
                self.complete = False
            else:
                yield picture

    def _as_row(self, table: str, columns: tuple[object, ...]) -> OutboxRow | None:
        """The other columns may be damaged: they are read separately, and the type is taken from the bytes."""
        match columns:
            case (int(seq), bytes(record_id), bytes(payload)):
                pass
            case _:
                return None
        if self._has(table, "schema"):
            match self._beside(table, "schema, priority, kept, expires_us", "seq", seq):
                case (bytes(schema), priority, kept, expires_us):
                    with suppress(ValueError):
                        retention = self._class(table, seq)
                        return as_row(
                            seq, schema.decode(), record_id, payload, priority, kept, expires_us, retention
                        )
        else:
            match self._beside(table, "kind", "seq", seq):
                case (int(kind),) if kind in _KINDS:
                    return OutboxRow(seq, _KINDS[kind], record_id, payload, kept=kind != 0)
        return OutboxRow(seq, UNKNOWN_SCHEMA, record_id, payload, kept=True)

    def _class(self, table: str, seq: int) -> str | None:
        """The retention class; None where version 3 stored the row, or for a damaged value."""
        match self._beside(table, "class", "seq", seq):
            case (bytes(retention),):
                with suppress(ValueError):
                    return retention.decode()
        return None

    def _beside(self, table: str, columns: str, key: str, number: int) -> tuple[object, ...] | None:
        """Return more columns of one row; None if unreadable, which does not lose the row."""
        query = f"SELECT {columns} FROM {table} WHERE {key} = ?"  # noqa: S608 - words of ours
        try:
            found: tuple[object, ...] | None = self._con.execute(query, (number,)).fetchone()
        except sqlite3.Error:
            return None
        return found

    def _has(self, table: str, column: str) -> bool:
        """False also if nothing of the table can be read."""
        try:
            self._con.execute(f"SELECT {column} FROM {table} LIMIT 0")  # noqa: S608 - words of ours
        except sqlite3.Error:
            return False
        return True

    def _jpeg(self, pic: int) -> bytes | None:
        try:
            row = self._con.execute("SELECT jpeg FROM jpegs WHERE pic = ?", (pic,)).fetchone()
        except sqlite3.Error:
            return None
        return row[0] if row and isinstance(row[0], bytes) else None

    def _rows(self, table: str, columns: str) -> Iterator[tuple[object, ...]]:
        """Yield every reachable row, some twice; the first column is the key.

        Where a scan meets damage, every key is asked for, also those that it gave: a damaged key may stand for another
        row.
        """
        key = columns.split(",", 1)[0]
        select = f"SELECT {columns} FROM {table}"  # noqa: S608 - words of ours
        for order in ("ASC", "DESC"):
            scan = _Scan(self._con, f"{select} ORDER BY {key} {order}")
            yield from scan
            if scan.complete:
                return
            self.complete = False
        for number in self._keys:
            yield from _Scan(self._con, f"{select} WHERE {key} = {number}")

    @cached_property
    def _keys(self) -> list[int]:
        """Keys of all rows of all tables, as far as their pages are readable."""
        found: set[int] = set()
        for page, start in _pages(self._path):
            found.update(_leaf_keys(page, start))
        return sorted(found)


class _Scan:
    """Yield rows up to the first error."""

    def __init__(self, con: sqlite3.Connection, query: str) -> None:
        self._con = con
        self._query = query
        self.complete = False
        """True if all rows were read."""

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        before: object = None
        rising: bool | None = None
        try:
            for row in self._con.execute(self._query):
                if isinstance(before, int) and isinstance(row[0], int):
                    # A page with a wrong pointer could loop.
                    if row[0] == before or rising not in {None, row[0] > before}:
                        return
                    rising = row[0] > before
                before = row[0]
                yield row
        except sqlite3.Error:
            return
        self.complete = True


def _pages(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the pages of the file and of its log, each with the offset of its header."""
    with path.open("rb") as file:
        size_bytes = _page_size(int.from_bytes(file.read(18)[16:18], "big"))
        file.seek(0)
        start = _HEADER_BYTES
        for page in _blocks(file, size_bytes):
            yield page, start
            start = 0
    log = path.with_name(f"{path.name}-wal")
    if not log.exists():
        return
    with log.open("rb") as file:
        size_bytes = _page_size(int.from_bytes(file.read(_LOG_HEADER_BYTES)[8:12], "big"))
        for frame in _blocks(file, _FRAME_HEADER_BYTES + size_bytes):
            first = int.from_bytes(frame[:4], "big") == 1
            yield frame[_FRAME_HEADER_BYTES:], _HEADER_BYTES if first else 0


def _blocks(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    try:
        while block := file.read(size_bytes):
            yield block
    except OSError:
        # A card with unreadable places: use what was read so far.
        return


def _page_size(noted: int) -> int:
    size_bytes = _MAX_PAGE if noted == 1 else noted
    is_power = size_bytes & (size_bytes - 1) == 0
    return size_bytes if is_power and _MIN_PAGE <= size_bytes <= _MAX_PAGE else _USUAL_PAGE


def _leaf_keys(page: bytes, start: int) -> Iterator[int]:
    """Yield the keys on a leaf page of a table; nothing for any other page."""
    if len(page) < start + 8 or page[start] != _LEAF:
        return
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    for place in range(start + 8, min(start + 8 + 2 * count, len(page) - 1), 2):
        cell = int.from_bytes(page[place : place + 2], "big")
        _, after = _varint(page, cell)
        key, _ = _varint(page, after)
        yield key


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """Return a number and the offset after it; past the end of the page everything is 0."""
    value = 0
    for place in range(at, at + _VARINT_BYTES):
        byte = page[place] if place < len(page) else 0
        if place == at + _VARINT_BYTES - 1:
            value = value << 8 | byte
            break
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, place + 1
    return (value - 2**64 if value >= 2**63 else value), at + _VARINT_BYTES


def _as_picture(columns: list[object], jpeg: bytes | None) -> SavedPicture | None:
    match columns:
        case [int(priority), bytes(kind), int(seq), bytes(read_id), bytes(sha), expires_us]:
            name = kind.decode(errors="replace")
            if name not in set(PictureKind):
                return None
            found = PictureKind(name)
            # A quarantined picture may be accepted when sent again.
            place = PicturePriority(priority) if priority in SENDING else picture_priority(found, NON_HIT)
            whole = jpeg is not None and hashlib.sha256(jpeg).digest() == sha
            end = expires_us if isinstance(expires_us, int) else None
            return SavedPicture(place, found, seq, read_id, sha, jpeg if whole else None, end)
        case _:
            return None

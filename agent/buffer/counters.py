"""The counters of the outbox: one row, read and written inside each transaction; no row is ever counted again."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass, fields

from agent.buffer.rows import OVERVIEWS, PLATES, OutboxStats, RowKind

ROW_BYTES = 64
"""What a record costs beside its payload, roughly."""
PICTURE_BYTES = 256
"""What a picture costs beside its bytes: three small entries and the rounding to pages."""


@dataclass(slots=True)
class OutboxCounters:
    """The row ``meta``; :class:`~agent.buffer.rows.OutboxStats` says what the fields mean."""

    next_seq: int
    next_pic: int
    reads: int
    others: int
    quarantined: int
    plates: int
    overviews: int
    held: int
    used_bytes: int
    appended: int
    receipted: int
    evicted_reads: int
    evicted_plates: int
    evicted_overviews: int
    unknown_receipts: int
    read_floor: int
    """No read waits at or below this sequence number: where the search for the oldest read begins."""
    link: bytes
    """Of the latest record; empty before the first."""

    def take_seq(self) -> int:
        """Give out the next sequence number."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def record(self, kind: int, size_bytes: int, count: int) -> None:
        """Count records of one kind in (``count`` positive) or out (negative); ``size_bytes`` is their sum."""
        if kind == RowKind.READ:
            self.reads += count
        else:
            self.others += count
        sign = 1 if count > 0 else -1
        self.used_bytes += sign * size_bytes + count * ROW_BYTES

    def picture(self, lane: int, size_bytes: int, count: int) -> None:
        """Count one picture in (1) or out (-1) of a lane."""
        self.move(lane, count)
        self.used_bytes += count * (size_bytes + PICTURE_BYTES)

    def move(self, lane: int, count: int) -> None:
        """Count one picture in or out of a lane without a change in bytes."""
        if lane in PLATES:
            self.plates += count
        elif lane in OVERVIEWS:
            self.overviews += count
        else:
            self.held += count


_NAMES = tuple(f.name for f in fields(OutboxCounters))
_TYPES = [*[int] * (len(_NAMES) - 1), bytes]
_SELECT = f"SELECT {', '.join(_NAMES)} FROM meta"  # noqa: S608 - our own field names
_UPDATE = f"UPDATE meta SET {', '.join(f'{name} = ?' for name in _NAMES)}"  # noqa: S608 - our own field names


def load(con: sqlite3.Connection) -> OutboxCounters:
    """Read the counters; raises sqlite3.Error."""
    row = con.execute(_SELECT).fetchone()
    if row is None or [type(value) for value in row] != _TYPES:
        raise sqlite3.DatabaseError("the table of counters does not hold one row of numbers")
    return OutboxCounters(*row)


def store(con: sqlite3.Connection, tally: OutboxCounters) -> None:
    """Write the counters; raises sqlite3.Error."""
    con.execute(_UPDATE, astuple(tally))


def stats(con: sqlite3.Connection) -> OutboxStats:
    """Read the figures; cost does not depend on how much waits."""
    tally = load(con)
    oldest = con.execute("SELECT min(seq) FROM records").fetchone()[0]
    kept = {f.name for f in fields(OutboxStats)}
    values = {name: value for name, value in zip(_NAMES, astuple(tally), strict=True) if name in kept}
    return OutboxStats(**values, oldest_seq=oldest)

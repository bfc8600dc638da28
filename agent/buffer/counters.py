"""The counters of the outbox: one row in total and one per type, read and written inside each transaction.

Rows of records and pictures are never counted again.
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass, field, fields

from agent.buffer.rows import OVERVIEWS, PLATES, OutboxStats, TypeCounts

ROW_BYTES = 64
"""Approximate size of a record's row without its payload."""
PICTURE_BYTES = 256
"""Approximate size of a picture's rows without its bytes: three small entries and the rounding to pages."""


@dataclass(slots=True)
class OutboxCounters:
    """The tables ``meta`` and ``types``; see :class:`~agent.buffer.rows.OutboxStats` for the fields."""

    next_seq: int
    next_pic: int
    quarantined: int
    plates: int
    overviews: int
    held: int
    used_bytes: int
    evicted_plates: int
    evicted_overviews: int
    expired_pictures: int
    unknown_receipts: int
    link: bytes
    """Chain link of the latest record; empty before the first."""
    types: dict[str, TypeCounts] = field(default_factory=dict)

    def of(self, schema: str) -> TypeCounts:
        """Return the counters of a type."""
        found = self.types.get(schema)
        if found is None:
            found = self.types[schema] = TypeCounts()
        return found

    @property
    def evicted(self) -> int:
        """Records of all types that were evicted."""
        return sum(counts.evicted for counts in self.types.values())

    def take_seq(self) -> int:
        """Assign the next sequence number."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def record(self, schema: str, size_bytes: int, count: int) -> None:
        """Add (1) or subtract (-1) one waiting record."""
        self.of(schema).waiting += count
        self.used_bytes += count * (size_bytes + ROW_BYTES)

    def refused(self, size_bytes: int, count: int) -> None:
        """Add (1) or subtract (-1) one quarantined record."""
        self.quarantined += count
        self.used_bytes += count * (size_bytes + ROW_BYTES)

    def picture(self, priority: int, size_bytes: int, count: int) -> None:
        """Add (1) or subtract (-1) one picture and its bytes."""
        self.move(priority, count)
        self.used_bytes += count * (size_bytes + PICTURE_BYTES)

    def move(self, priority: int, count: int) -> None:
        """Add or subtract one picture without its bytes, as when its priority changes."""
        if priority in PLATES:
            self.plates += count
        elif priority in OVERVIEWS:
            self.overviews += count
        else:
            self.held += count


_NAMES = tuple(f.name for f in fields(OutboxCounters) if f.name != "types")
_TYPES = [*[int] * (len(_NAMES) - 1), bytes]
_SELECT = f"SELECT {', '.join(_NAMES)} FROM meta"  # noqa: S608 - our own field names
_UPDATE = f"UPDATE meta SET {', '.join(f'{name} = ?' for name in _NAMES)}"  # noqa: S608 - our own field names
_OF_TYPE = tuple(f.name for f in fields(TypeCounts))
_SELECT_TYPES = f"SELECT schema, {', '.join(_OF_TYPE)} FROM types"  # noqa: S608 - our own field names
_UPSERT_TYPE = (
    f"INSERT INTO types (schema, {', '.join(_OF_TYPE)}) VALUES (?{', ?' * len(_OF_TYPE)})"  # noqa: S608 - our own field names
    f" ON CONFLICT (schema) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _OF_TYPE)}"
    f" WHERE ({', '.join(_OF_TYPE)}) IS NOT ({', '.join(f'excluded.{name}' for name in _OF_TYPE)})"
)


def load(con: sqlite3.Connection) -> OutboxCounters:
    """Read the counters; raises sqlite3.Error."""
    row = con.execute(_SELECT).fetchone()
    if row is None or [type(value) for value in row] != _TYPES:
        raise sqlite3.DatabaseError("the table of counters does not hold one row of numbers")
    types: dict[str, TypeCounts] = {}
    for schema, *numbers in con.execute(_SELECT_TYPES):
        if not isinstance(schema, str) or not all(isinstance(number, int) for number in numbers):
            raise sqlite3.DatabaseError("the table of types does not hold a name and numbers")
        types[schema] = TypeCounts(*numbers)
    return OutboxCounters(**dict(zip(_NAMES, row, strict=True)), types=types)


def store(con: sqlite3.Connection, counts: OutboxCounters) -> None:
    """Write the counters; raises sqlite3.Error."""
    con.execute(_UPDATE, [getattr(counts, name) for name in _NAMES])
    con.executemany(_UPSERT_TYPE, [(schema, *astuple(of_type)) for schema, of_type in counts.types.items()])


def stats(con: sqlite3.Connection) -> OutboxStats:
    """Read the counters; the cost does not depend on the number of records."""
    counts = load(con)
    oldest = con.execute("SELECT min(seq) FROM records").fetchone()[0]
    refused = con.execute("SELECT min(seq) FROM quarantine").fetchone()[0]
    done = min([counts.next_seq, *(seq for seq in (oldest, refused) if seq is not None)]) - 1
    kept = {f.name for f in fields(OutboxStats)} - {"types", "oldest_seq", "done_seq"}
    known = {name: getattr(counts, name) for name in kept}
    return OutboxStats(**known, oldest_seq=oldest, done_seq=done, types=counts.types)

"""The counters of the outbox: one row for all and one a type, read and written inside each transaction.

No row of a record or picture is ever counted again.
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass, field, fields

from agent.buffer.rows import OVERVIEWS, PLATES, OutboxStats, TypeCounts

ROW_BYTES = 64
"""What a record costs beside its payload, roughly."""
PICTURE_BYTES = 256
"""What a picture costs beside its bytes: three small entries and the rounding to pages."""


@dataclass(slots=True)
class OutboxCounters:
    """The tables ``meta`` and ``types``; :class:`~agent.buffer.rows.OutboxStats` says what the fields mean."""

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
    """Of the latest record; empty before the first."""
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
        """Give out the next sequence number."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def record(self, schema: str, size_bytes: int, count: int) -> None:
        """Count one waiting record in (1) or out (-1)."""
        self.of(schema).waiting += count
        self.used_bytes += count * (size_bytes + ROW_BYTES)

    def refused(self, size_bytes: int, count: int) -> None:
        """Count one refused record in (1) or out (-1)."""
        self.quarantined += count
        self.used_bytes += count * (size_bytes + ROW_BYTES)

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
    """Read the figures; cost does not depend on how much waits."""
    counts = load(con)
    oldest = con.execute("SELECT min(seq) FROM records").fetchone()[0]
    kept = {f.name for f in fields(OutboxStats)} - {"types", "oldest_seq"}
    return OutboxStats(**{name: getattr(counts, name) for name in kept}, oldest_seq=oldest, types=counts.types)

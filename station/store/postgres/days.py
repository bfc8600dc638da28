"""Partitions by day of receipt: made before the first record of a day, replaced by what a purge keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from station.store.postgres.database import PostgresDatabase

DAY_US = 86_400_000_000
_LOCK = "days"
_PARTITIONS = """
SELECT child.relname FROM pg_inherits i
JOIN pg_class parent ON parent.oid = i.inhparent
JOIN pg_class child ON child.oid = i.inhrelid
WHERE parent.oid = to_regclass(%s)
"""

_MISSING = """
SELECT day FROM unnest(%b::bigint[]) AS wanted(day) WHERE to_regclass('records_d' || day) IS NULL ORDER BY day
"""


def day_of(received_us: int) -> int:
    """Return the number of the day since 1970."""
    return received_us // DAY_US


def partition(table: str, day: int) -> str:
    """Return the name of a table's partition."""
    return f"{table}_d{day}"


def days(db: PostgresDatabase, table: str = "records") -> list[int]:
    """Return the days of which a table has partitions, in order.  Inside a transaction."""
    start = f"{table}_d"
    return sorted(int(name.removeprefix(start)) for (name,) in db.fetch(_PARTITIONS, (table,)))


class Days:
    """The partitions of ``records`` and of the search tables of the known types."""

    def __init__(self, db: PostgresDatabase, tables: Sequence[str]) -> None:
        """``tables`` are partitioned alike.  Inside a transaction: a new table gets the days that the others have."""
        self._db = db
        self._tables = tuple(tables)
        self._make(days(db))

    def ensure(self, wanted: Iterable[int]) -> None:
        """Make missing partitions.  Inside a transaction, before anything else in it takes a lock.

        No purge drops a day until the transaction ends.  What is there is asked each time: any worker may have dropped
        a day that this one has used.
        """
        self._db.fetch("LOCK TABLE records IN ROW EXCLUSIVE MODE")
        missing = self._db.fetch(_MISSING, (sorted(set(wanted)),))
        if missing:
            self._make([day for (day,) in missing])

    def _make(self, missing: Sequence[int]) -> None:
        if not missing:
            return
        self._db.lock(_LOCK, b"")
        for table in self._tables:
            there = set(days(self._db, table))
            for day in missing:
                if day not in there:
                    make_partition(self._db, table, day)


def make_partition(db: PostgresDatabase, table: str, day: int) -> None:
    """Make an empty partition.  Attaching one does not block readers and writers, unlike ``PARTITION OF``."""
    name = partition(table, day)
    db.fetch(f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE)')
    attach(db, table, name, day)


def attach(db: PostgresDatabase, table: str, name: str, day: int) -> None:
    """Attach a table as the partition of a day."""
    db.fetch(
        f'ALTER TABLE "{table}" ATTACH PARTITION "{name}" FOR VALUES FROM ({day * DAY_US}) TO ({(day + 1) * DAY_US})'
    )


def drop_partition(db: PostgresDatabase, table: str, day: int) -> None:
    """Detach and drop a day."""
    name = partition(table, day)
    db.fetch(f'ALTER TABLE "{table}" DETACH PARTITION "{name}"')
    db.fetch(f'DROP TABLE "{name}"')

"""Ranges of received sequence numbers: inserted by every worker, joined now and then by one.

Joining at once, as in the SQLite file, would make workers wait for each other's commits whenever they have messages of
the same unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from station.store.sequence import merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from station.store.lives import Series
    from station.store.postgres.database import PostgresDatabase

_MAX_RANGES = 64
"""Number of a unit's ranges above which they are joined."""
_INSERT = """
INSERT INTO seen (unit, life, first, last)
SELECT * FROM unnest(%b::text[], %b::bytea[], %b::bigint[], %b::bigint[]) ORDER BY 1, 2, 3
ON CONFLICT (unit, life, first) DO UPDATE SET last = greatest(seen.last, excluded.last)
"""
_JOIN = """
WITH busy AS (SELECT unit FROM seen GROUP BY unit HAVING count(*) > %s),
gone AS (DELETE FROM seen USING busy WHERE seen.unit = busy.unit RETURNING seen.unit, seen.life, seen.first, seen.last),
marked AS (
    SELECT unit, life, first, last, max(last) OVER (
        PARTITION BY unit, life ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before FROM gone
),
islands AS (
    SELECT unit, life, first, last, count(*) FILTER (WHERE before IS NULL OR first - 1 > before) OVER (
        PARTITION BY unit, life ORDER BY first
    ) AS island FROM marked
)
INSERT INTO seen (unit, life, first, last)
SELECT unit, life, min(first), max(last) FROM islands GROUP BY unit, life, island
"""


def add(db: PostgresDatabase, numbers: Mapping[Series, Iterable[int]]) -> None:
    """Add numbers of lives; adding them again changes nothing.  Inside a transaction."""
    if numbers:
        db.fetch(_INSERT, columns(numbers))


def columns(numbers: Mapping[Series, Iterable[int]]) -> list[list[Any]]:
    """Return the ranges that numbers of lives make, as columns: unit, life, first and last."""
    rows = [
        (*series, first, last)
        for series, seqs in numbers.items()
        for first, last in merge((seq, seq) for seq in sorted(seqs))
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def join(db: PostgresDatabase) -> None:
    """Join the ranges of units that have many, unless another worker does.  In a transaction of its own."""
    if db.try_lock("join-ranges"):
        db.fetch(_JOIN, (_MAX_RANGES,))

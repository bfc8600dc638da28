"""Which sequence numbers of a unit are here: a unit counts without gaps over all its boots, so a hole is a loss.

Kept as inclusive ranges that grow together, so that a million records cost one row while nothing is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers the station has not got, ``last`` included."""

    first: int
    last: int
    explained: bool
    """True when the unit's tombstone said that they will not come; False when nobody knows where they are."""

    @property
    def count(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1


def mark_seen(con: sqlite3.Connection, unit: str, seq: int) -> None:
    """Note one number; noting it again changes nothing."""
    below = con.execute(
        "SELECT first, last FROM seen WHERE unit = ? AND first <= ? ORDER BY first DESC LIMIT 1", (unit, seq)
    ).fetchone()
    if below is not None and seq <= below[1]:
        return
    # Added in SQL: one more than the highest number that the wire allows is too much for a parameter.
    above = con.execute("SELECT last FROM seen WHERE unit = ? AND first = ? + 1", (unit, seq)).fetchone()
    last = seq
    if above is not None:
        con.execute("DELETE FROM seen WHERE unit = ? AND first = ? + 1", (unit, seq))
        last = above[0]
    if below is not None and below[1] == seq - 1:
        con.execute("UPDATE seen SET last = ? WHERE unit = ? AND first = ?", (last, unit, below[0]))
    else:
        con.execute("INSERT INTO seen VALUES (?, ?, ?)", (unit, seq, last))


def highest_seen(con: sqlite3.Connection, unit: str) -> int:
    """Return the highest number that is here; 0 for none."""
    row = con.execute("SELECT last FROM seen WHERE unit = ? ORDER BY first DESC LIMIT 1", (unit,)).fetchone()
    return 0 if row is None else int(row[0])


def seen(con: sqlite3.Connection, unit: str) -> list[tuple[int, int]]:
    """Return the ranges that are here, in order."""
    return list(merge(con.execute("SELECT first, last FROM seen WHERE unit = ? ORDER BY first", (unit,))))


def gaps(con: sqlite3.Connection, unit: str, seq_high: int) -> list[Gap]:
    """Return what is missing of 1..``seq_high`` (and below the highest number seen), in order."""
    seen = con.execute("SELECT first, last FROM seen WHERE unit = ? ORDER BY first", (unit,))
    explained = con.execute("SELECT first, last FROM lost WHERE unit = ? ORDER BY first", (unit,))
    return list(_split(list(_holes(seen, seq_high)), list(merge(explained))))


def merge(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join ranges, sorted by their first number, that touch or overlap."""
    held: tuple[int, int] | None = None
    for first, last in ranges:
        if held is None:
            held = (first, last)
        elif first <= held[1] + 1:
            held = (held[0], max(held[1], last))
        else:
            yield held
            held = (first, last)
    if held is not None:
        yield held


def _holes(seen: Iterable[tuple[int, int]], seq_high: int) -> Iterator[tuple[int, int]]:
    expected = 1
    for first, last in seen:
        if first > expected:
            yield expected, first - 1
        expected = last + 1
    if seq_high >= expected:
        yield expected, seq_high


def _split(holes: list[tuple[int, int]], explained: list[tuple[int, int]]) -> Iterator[Gap]:
    """Cut each hole into what is explained and what is not; both lists are sorted and without overlap."""
    at = 0
    for hole_first, last in holes:
        first = hole_first
        while at < len(explained) and explained[at][1] < first:
            at += 1
        look = at
        while first <= last and look < len(explained) and explained[look][0] <= last:
            known_first, known_last = explained[look]
            if known_first > first:
                yield Gap(first, known_first - 1, explained=False)
            yield Gap(max(first, known_first), min(last, known_last), explained=True)
            first = known_last + 1
            look += 1
        if first <= last:
            yield Gap(first, last, explained=False)

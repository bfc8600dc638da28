"""Received sequence numbers of a life of a unit: it counts without gaps over all its boots, so a gap is a loss.

Stored as inclusive ranges that are joined, so that a million records need one row while nothing is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, insert, select, update

from station.store.rows import Gap
from station.store.tables import LOST, SEEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from station.store.database import Database

_MAX_SEQ = 2**63 - 1
MAX_LOST = 50_000
"""Ranges of lost numbers that are noted of a unit, and a few more: the list of units reads them all.  What a unit names
beyond them is missing."""
_SEEN = and_(SEEN.c.unit == bindparam("of"), SEEN.c.life == bindparam("which"))
_RANGES = select(SEEN.c.first, SEEN.c.last).where(_SEEN).order_by(SEEN.c.first)
_LOST = (
    select(LOST.c.first, LOST.c.last)
    .where(LOST.c.unit == bindparam("of"), LOST.c.life == bindparam("which"))
    .order_by(LOST.c.first)
)
_BELOW = (
    select(SEEN.c.first, SEEN.c.last)
    .where(_SEEN, SEEN.c.first < bindparam("low"))
    .order_by(SEEN.c.first.desc())
    .limit(1)
)
_WITHIN = select(SEEN.c.first, SEEN.c.last).where(_SEEN, SEEN.c.first.between(bindparam("low"), bindparam("high")))
_DELETE = delete(SEEN).where(_SEEN, SEEN.c.first == bindparam("low"))
_GROW = update(SEEN).where(_SEEN, SEEN.c.first == bindparam("low")).values(last=bindparam("high"))
_INSERT = insert(SEEN)


_TOO_MANY = select(LOST.c.first).where(LOST.c.unit == bindparam("of")).offset(bindparam("most")).limit(1)
_FORGET_LOST = delete(LOST).where(
    LOST.c.unit == bindparam("of"),
    LOST.c.life == bindparam("which"),
    LOST.c.first == bindparam("low"),
    LOST.c.last == bindparam("high"),
)
_INSERT_LOST = insert(LOST)


def mark_seen(db: Database, unit: str, life: bytes, numbers: Iterable[int]) -> None:
    """Add numbers of a life; adding them again changes nothing.  Inside a transaction."""
    for first, last in merge((number, number) for number in sorted(numbers)):
        _mark_range(db, {"of": unit, "which": life}, first, last)


def _mark_range(db: Database, of: dict[str, Any], first: int, last: int) -> None:
    below = db.run(_BELOW, {**of, "low": first}).first()
    if below is not None and below.last >= last:
        return
    # One more than the highest number on the wire does not fit into a database integer.
    within = db.run(_WITHIN, {**of, "low": first, "high": min(last + 1, _MAX_SEQ)}).all()
    last = max([last, *(high for _, high in within)])
    db.run(_DELETE, [{**of, "low": low} for low, _ in within])
    if below is not None and below.last >= first - 1:
        db.run(_GROW, {**of, "low": below.first, "high": last})
    else:
        db.run(_INSERT, {"unit": of["of"], "life": of["which"], "first": first, "last": last})


def mark_lost(db: Database, unit: str, life: bytes, ranges: Iterable[tuple[int, int]]) -> None:
    """Note numbers that will not be sent; noting them again changes nothing.  Inside a transaction."""
    joined = list(merge(sorted(ranges)))
    if not joined or db.run(_TOO_MANY, {"of": unit, "most": MAX_LOST}).first() is not None:
        return
    db.run(_FORGET_LOST, [{"of": unit, "which": life, "low": first, "high": last} for first, last in joined])
    db.run(_INSERT_LOST, [{"unit": unit, "life": life, "first": first, "last": last} for first, last in joined])


def seen(db: Database, unit: str, life: bytes) -> list[tuple[int, int]]:
    """Return the received ranges of a life, in order."""
    return list(merge((first, last) for first, last in db.all(_RANGES, {"of": unit, "which": life})))


def gaps(db: Database, unit: str, life: bytes, seq_high: int) -> list[Gap]:
    """Return what is missing of 1..``seq_high`` (and below the highest number seen), in order."""
    explained = merge((first, last) for first, last in db.all(_LOST, {"of": unit, "which": life}))
    return list(_split(list(_holes(seen(db, unit, life), seq_high)), list(explained)))


def without(ranges: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of sorted ranges that no other range covers."""
    covered = list(others)
    at = 0
    for low, last in ranges:
        first = low
        while at < len(covered) and covered[at][1] < first:
            at += 1
        look = at
        while first <= last and look < len(covered) and covered[look][0] <= last:
            if covered[look][0] > first:
                yield first, covered[look][0] - 1
            first = covered[look][1] + 1
            look += 1
        if first <= last:
            yield first, last


def merge(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join ranges, sorted by their first number, that touch or overlap."""
    current: tuple[int, int] | None = None
    for first, last in ranges:
        if current is None:
            current = (first, last)
        elif first <= current[1] + 1:
            current = (current[0], max(current[1], last))
        else:
            yield current
            current = (first, last)
    if current is not None:
        yield current


def _holes(seen: Iterable[tuple[int, int]], seq_high: int) -> Iterator[tuple[int, int]]:
    expected = 1
    for first, last in seen:
        if first > expected:
            yield expected, first - 1
        expected = last + 1
    if seq_high >= expected:
        yield expected, seq_high


def _split(holes: list[tuple[int, int]], explained: list[tuple[int, int]]) -> Iterator[Gap]:
    """Split each gap into explained and missing parts; both lists are sorted and without overlap."""
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

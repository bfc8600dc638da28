"""Lives of units, by what their records and health messages say, and two units that use one name.

A life is a series of numbers from 1.  A re-flashed unit begins a new one, and its old one says nothing more.  Two
alarms are kept for ever, as nobody can say any more which vehicle a record is from: an *overlap*, when an earlier life
speaks after a later one began, and a *fork*, when one number of a life names two records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, update

from protocol.errors import WireError
from protocol.seal.head import Head
from protocol.wire.codec import decode
from station.store import sequence
from station.store.rows import SeriesRow
from station.store.tables import LIVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Table

    from station.store.database import Database

Series = tuple[str, bytes]
"""Unit and life."""
_SKEW_US = 5_000_000
"""Several workers may commit the messages of one moment in any order."""
MAX_LIVES = 1_000
"""Of a unit; more are a sign of a hostile unit, which must not slow down the others."""
_IN_ORDER = (LIVES.c.first_us, LIVES.c.life)
_OF_UNITS = select(LIVES.c.unit, LIVES.c.life, LIVES.c.first_us).order_by(LIVES.c.unit, *_IN_ORDER)
_ROWS = select(LIVES).where(LIVES.c.unit == bindparam("of")).order_by(*_IN_ORDER)
_NAMED = (LIVES.c.unit == bindparam("of"), LIVES.c.life == bindparam("which"))
_OVERLAPS = update(LIVES).where(*_NAMED).values(n_overlaps=LIVES.c.n_overlaps + 1, overlap_us=bindparam("now"))
_FORKS = update(LIVES).where(*_NAMED).values(n_forks=LIVES.c.n_forks + bindparam("more"))
_RISES = update(LIVES).where(*_NAMED, LIVES.c.seq_high < bindparam("high")).values(seq_high=bindparam("high"))
_HEAD = select(LIVES.c.head).where(*_NAMED)
_HEADS = (
    select(LIVES.c.head)
    .where(LIVES.c.head.is_not(None), LIVES.c.head_us >= bindparam("since"))
    .order_by(LIVES.c.unit, *_IN_ORDER)
)
_SET_HEAD = update(LIVES).where(*_NAMED).values(head=bindparam("said"), head_us=bindparam("now"))


class Lives:
    """Part of the store; all writes run inside its transaction."""

    def __init__(self, db: Database, stored: Table) -> None:
        """``stored`` has a row for each record ever stored."""
        self._db = db
        numbers = (
            select(stored.c.seq)
            .where(stored.c.unit == bindparam("of"), stored.c.life == bindparam("which"))
            .distinct()
            .subquery()
        )
        island = (numbers.c.seq - func.row_number().over(order_by=numbers.c.seq)).label("island")
        islands = select(numbers.c.seq, island).subquery()
        self._stored = (
            select(func.min(islands.c.seq), func.max(islands.c.seq))
            .group_by(islands.c.island)
            .order_by(func.min(islands.c.seq))
        )
        self._begin = db.insert(LIVES).on_conflict_do_nothing()
        self._of_units = _OF_UNITS.where(db.one_of(LIVES.c.unit, "units"))

    def heard(self, series: Iterable[Series], now_us: int) -> set[str]:
        """Note which lives said something new, in the order of their messages; return units with an overlap."""
        conflicts = set()
        # Unit by unit in a fixed order, so that two workers never wait for each other.
        ordered = sorted(enumerate(dict.fromkeys(series)), key=lambda told: (told[1][0], told[0]))
        by_unit = self._known({unit for _, (unit, _) in ordered})
        for number, (unit, life) in ordered:
            known = by_unit[unit]
            if life not in known and len(known) >= MAX_LIVES:
                conflicts.add(unit)
            elif life not in known:
                # Of two that begin in one transaction, or after a clock that was ahead, the later is the present one.
                first_us = max([now_us + number, *(earlier + 1 for earlier in known.values())])
                self._db.run(self._begin, {"unit": unit, "life": life, "first_us": first_us})
                by_unit |= self._known({unit})
            elif life != list(known)[-1] and now_us - max(known.values()) > _SKEW_US:
                self._db.run(_OVERLAPS, {"of": unit, "which": life, "now": now_us})
                conflicts.add(unit)
        return conflicts

    def _known(self, units: Iterable[str]) -> dict[str, dict[bytes, int]]:
        """Return the lives of units in their order, and when they began."""
        found: dict[str, dict[bytes, int]] = {unit: {} for unit in units}
        for unit, life, first_us in self._db.run(self._of_units, {"units": sorted(found)}):
            found[unit][bytes(life)] = first_us
        return found

    def forked(self, counts: Mapping[Series, int]) -> set[str]:
        """Note how many numbers of a life name a second record; return the units."""
        for (unit, life), count in sorted(counts.items()):
            self._db.run(_FORKS, {"of": unit, "which": life, "more": count})
        return {unit for unit, _ in counts}

    def announced(self, unit: str, life: bytes, seq_high: int) -> None:
        """Note the highest number that a unit announced; it never falls."""
        self._db.run(_RISES, {"of": unit, "which": life, "high": seq_high})

    def take_head(self, head: Head, payload: bytes, now_us: int) -> bool:
        """Store a verified head unless the series has come further; False for one that contradicts the stored one."""
        named = {"of": head.unit, "which": head.life}
        row = self._db.run(_HEAD, named).first()
        before = None if row is None else _decoded(_blob(row.head))
        if before is not None and head.seq == before.seq and head.link != before.link:
            return False
        if before is None or not head.is_older_than(before):
            self._db.run(_SET_HEAD, {**named, "said": payload, "now": now_us})
            self.announced(head.unit, head.life, head.seq)
        return True

    def heads(self, since_us: int) -> list[bytes]:
        """Return the heads of all units that were received since then."""
        rows = self._db.all(_HEADS, {"since": since_us})
        return [payload for row in rows if (payload := _blob(row.head)) is not None]

    def of(self, unit: str, *, removed: bool = True) -> list[SeriesRow]:
        """Return the lives of a unit in their order, with their numbers.

        Without ``removed`` those numbers are left out, for which all records of the unit are counted.
        """
        rows = self._db.all(_ROWS, {"of": unit})
        found = []
        for row in rows:
            life = bytes(row.life)
            seen = sequence.seen(self._db, unit, life)
            gone: tuple[tuple[int, int], ...] = ()
            if removed:
                stored = self._db.all(self._stored, {"of": unit, "which": life})
                gone = tuple(sequence.without(seen, [(first, last) for first, last in stored]))
            found.append(
                SeriesRow(
                    unit=unit,
                    life=life,
                    first_us=row.first_us,
                    seq_high=max(row.seq_high, seen[-1][1] if seen else 0),
                    seen=tuple(seen),
                    gaps=tuple(sequence.gaps(self._db, unit, life, row.seq_high)),
                    removed=gone,
                    overlaps=row.n_overlaps,
                    overlap_us=row.overlap_us,
                    forks=row.n_forks,
                    head=_blob(row.head),
                    head_us=row.head_us,
                )
            )
        return found


def _blob(value: Any) -> bytes | None:
    """SQLite has types by value: somebody may have stored a text."""
    return None if value is None else value.encode() if isinstance(value, str) else bytes(value)


def _decoded(payload: bytes | None) -> Head | None:
    """None for what somebody else wrote there."""
    try:
        return None if payload is None else decode(payload, Head)
    except WireError:
        return None

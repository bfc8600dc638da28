"""Up to which numbers a hold on a unit has been looked for: each refresh looks at what came since the one before.

Numbers, and not times of receipt: they do not depend on a clock, and are stored with their records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select

from station.store.sequence import merge, without
from station.store.tables import EVIDENCE, HOLD_SEEN, LIVES, RECORDS, SEEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Select

    from station.store.database import Database

_RANGES_AT_ONCE = 100
_Numbers = dict[bytes, tuple[int, tuple[tuple[int, int], ...]]]
"""By life: how many of its numbers name two records, and the numbers that were received."""


class HoldProgress:
    """Inside a transaction that holds the lock of holds."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # On PostgreSQL this table has every record, and an index by number.
        self._numbered: Any = RECORDS if db.is_sqlite else EVIDENCE

    def begin(self, hold: int, unit: str) -> list[Select[Any]] | None:
        """Note what is there now; return statements that select unit and id of what came since, None for all.

        To be called before records are looked at: what is stored meanwhile is found by the next call.
        """
        before, now = self._noted(hold), self._received(unit)
        if before != now:
            self.forget(hold)
            rows = [
                {"hold": hold, "life": life, "first": first, "last": last, "forks": forks}
                for life, (forks, ranges) in now.items()
                for first, last in ranges
            ]
            self._db.run(self._db.insert(HOLD_SEEN), rows)
        return list(self._since(unit, before, now)) if before else None

    def forget(self, hold: int) -> None:
        """After its release."""
        self._db.run(delete(HOLD_SEEN).where(HOLD_SEEN.c.hold == hold))

    def _since(self, unit: str, before: _Numbers, now: _Numbers) -> Iterator[Select[Any]]:
        numbered = self._numbered.c
        new: list[ColumnElement[bool]] = []
        for life, (forks, ranges) in now.items():
            forks_before, ranges_before = before.get(life, (forks, ()))
            # A second record of a number does not show in the numbers.
            known = ranges_before if forks == forks_before else ()
            new += [
                and_(numbered.life == life, numbered.seq.between(first, last))
                for first, last in without(ranges, known)
            ]
        for start in range(0, len(new), _RANGES_AT_ONCE):
            part = or_(*new[start : start + _RANGES_AT_ONCE])
            yield select(numbered.unit, numbered.record_id).where(numbered.unit == unit, part)

    def _noted(self, hold: int) -> _Numbers:
        columns = (HOLD_SEEN.c.life, HOLD_SEEN.c.first, HOLD_SEEN.c.last, HOLD_SEEN.c.forks)
        found: _Numbers = {}
        statement = select(*columns).where(HOLD_SEEN.c.hold == hold).order_by(HOLD_SEEN.c.life, HOLD_SEEN.c.first)
        for life, first, last, forks in self._db.run(statement).all():
            _, ranges = found.get(bytes(life), (0, ()))
            found[bytes(life)] = (int(forks), (*ranges, (int(first), int(last))))
        return found

    def _received(self, unit: str) -> _Numbers:
        forks = {
            bytes(life): int(count)
            for life, count in self._db.run(
                select(LIVES.c.life, LIVES.c.n_forks).where(LIVES.c.unit == unit)
            ).all()
        }
        ranges: dict[bytes, list[tuple[int, int]]] = {}
        statement = (
            select(SEEN.c.life, SEEN.c.first, SEEN.c.last)
            .where(SEEN.c.unit == unit)
            .order_by(SEEN.c.life, SEEN.c.first)
        )
        for life, first, last in self._db.run(statement).all():
            ranges.setdefault(bytes(life), []).append((int(first), int(last)))
        return {life: (forks.get(life, 0), tuple(merge(found))) for life, found in ranges.items()}

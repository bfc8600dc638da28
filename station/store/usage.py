"""What each unit sent today, so that a stolen card cannot fill the station's disk."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, select

from station.store.rows import Usage
from station.store.tables import USAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from station.store.database import Database

DAY_US = 86_400_000_000
_SLOTS = 16
_KEPT_DAYS = 31
_SUMS = tuple(
    func.coalesce(func.sum(USAGE.c[name]), 0).label(name) for name in ("records", "bytes", "loose", "refused")
)
_OF_DAY = (
    select(USAGE.c.unit, *_SUMS)
    .where(USAGE.c.day == bindparam("which"))
    .group_by(USAGE.c.unit)
    .order_by(USAGE.c.unit)
)
_OF_UNITS = _OF_DAY.where(USAGE.c.unit.in_(bindparam("units", expanding=True)))
_FORGET = delete(USAGE).where(USAGE.c.day < bindparam("oldest"))


class UsageTable:
    """Part of the store; all writes run inside its transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        statement = db.insert(USAGE)
        more = {
            name: USAGE.c[name] + statement.excluded[name] for name in ("records", "bytes", "loose", "refused")
        }
        self._add = statement.on_conflict_do_update(index_elements=["unit", "day", "slot"], set_=more)
        self._day = 0

    def today(self, units: Iterable[str], now_us: int) -> dict[str, Usage]:
        """Return what units sent on this day, UTC; absent for nothing."""
        rows = self._db.run(_OF_UNITS, {"which": now_us // DAY_US, "units": sorted(units)})
        return {row.unit: Usage(row.records, row.bytes, row.loose, row.refused) for row in rows}

    def add(self, more: Mapping[str, Usage], now_us: int) -> None:
        """Add to what units sent; the last statement of a transaction, as others wait for its rows."""
        day = now_us // DAY_US
        # Workers that add to one row would wait for each other's commits.
        slot = hash((os.getpid(), threading.get_ident())) % _SLOTS
        rows = [
            {
                "unit": unit,
                "day": day,
                "slot": slot,
                "records": found.records,
                "bytes": found.size_bytes,
                "loose": found.loose_bytes,
                "refused": found.refused,
            }
            for unit, found in sorted(more.items())
        ]
        self._db.run(self._add, rows)
        if day != self._day:
            self._day = day
            self._db.run(_FORGET, {"oldest": day - _KEPT_DAYS})

    def of_day(self, now_us: int) -> dict[str, Usage]:
        """Return what every unit sent on this day, UTC."""
        rows = self._db.all(_OF_DAY, {"which": now_us // DAY_US})
        return {row.unit: Usage(row.records, row.bytes, row.loose, row.refused) for row in rows}

"""Counts for reports on PostgreSQL, from indexes alone where there are millions of rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from station.store.reporting import Reporting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.store.postgres.database import PostgresDatabase
    from station.store.reporting import Period

_DAY_US = 86_400_000_000
_CLASSES = """
WITH RECURSIVE classes AS (
    SELECT min(retention) AS name FROM records
    UNION ALL
    SELECT (SELECT min(retention) FROM records WHERE retention > classes.name) FROM classes WHERE name IS NOT NULL
) SELECT name FROM classes WHERE name IS NOT NULL
"""
_OF_CLASS = "SELECT count(*) FROM records WHERE retention = %s AND utc_us >= %s AND utc_us < %s"
_OTHER_TYPES = """
SELECT retention, count(*) FROM records
WHERE schema = ANY(%b::text[]) AND retention IS NOT NULL AND utc_us >= %s AND utc_us < %s GROUP BY retention
"""
_MADE = "SELECT (made_us - %s) / %s AS day, count(*) FROM reads WHERE made_us >= %s AND made_us < %s GROUP BY 1"
_UNDATED = """
SELECT (received_us - %s) / %s AS day, count(*) FROM records
WHERE mono_us IS NOT NULL AND (utc_us IS NULL OR dating_gap_us IS NOT NULL) AND utc_us IS NULL AND schema = 'read/1'
    AND received_us >= %s AND received_us < %s
GROUP BY 1
"""


class PostgresReporting(Reporting):
    """See :class:`station.store.reporting.Reporting`.

    The reads of a class are its records without those of other types, which are few: so the rows are not read.
    """

    def __init__(self, db: PostgresDatabase, schemas: tuple[str, ...]) -> None:
        """``schemas`` are those of all known types; records of unknown types have no class."""
        super().__init__(db)
        self._pg = db
        self._others = sorted(set(schemas) - {"read/1"})

    def _all(self, statement: Any) -> Sequence[Any]:
        """The planner knows too little of these joins: it would look up each hit in every day."""
        with self._pg.transaction():
            self._pg.driver_sql("SET LOCAL enable_nestloop = off")
            return self._pg.all(statement)

    def reads(self, period: Period) -> dict[str, int]:
        """By class."""
        bounds = (period.since_us, period.until_us)
        with self._pg.transaction():
            # By what is asked: a plan for any types would read all records.
            self._pg.driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            classes = [name for (name,) in self._pg.fetch(_CLASSES)]
            found = Counter({name: self._pg.fetch(_OF_CLASS, (name, *bounds))[0][0] for name in classes})
            found.subtract(dict(self._pg.fetch(_OTHER_TYPES, (self._others, *bounds))))
        return {name: count for name, count in found.items() if count > 0}

    def reads_by_day(self, period: Period) -> dict[int, int]:
        """Without those that have no time, which the search table has by their receipt."""
        asked = (period.since_us, _DAY_US, period.since_us, period.until_us)
        with self._pg.transaction():
            # The records first: a purge locks them before the search tables.
            undated = dict(self._pg.fetch(_UNDATED, asked))
            found = Counter(dict(self._pg.fetch(_MADE, asked)))
            found.subtract(undated)
        return {int(day): count for day, count in found.items() if count > 0}

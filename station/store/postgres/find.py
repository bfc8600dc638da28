"""Searches reads on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, or_, select, text

from protocol.wire.records.read import Read
from station.store.find import Finder
from station.store.rows import RecordRow
from station.store.scope import in_scope
from station.store.search import bounds
from station.store.search_sql import READS, conditions, in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.asker import Scope
    from station.store.postgres.database import PostgresDatabase
    from station.store.records import Records
    from station.store.search import Box, Place, ReadSearch

_ROWS = """
SELECT k.number, r.unit, r.record_id, r.seq, r.boot, r.schema, r.received_us, r.retention, r.mono_us, r.utc_us,
    r.time_source, r.uncertainty_ms, r.dating_gap_us, r.payload,
    (SELECT count(*) FROM record_pictures p JOIN pictures j ON j.unit = p.unit AND j.sha = p.sha
     WHERE p.unit = r.unit AND p.record_id = r.record_id AND j.jpeg IS NOT NULL)
FROM unnest(%b::text[], %b::bytea[], %b::bigint[]) WITH ORDINALITY AS k(unit, record_id, received_us, number)
JOIN records r ON r.unit = k.unit AND r.record_id = k.record_id AND r.received_us = k.received_us
WHERE r.schema = %s
"""
"""Under one id there may be records of two types, if a unit sends them."""


class PostgresFinder(Finder):
    """See :class:`station.store.find.Finder`.

    Whole plates have one good plan, which is kept: planning over all days takes longer than the search.  What is best
    for other searches depends on their values.
    """

    def __init__(self, db: PostgresDatabase, records: Records) -> None:
        super().__init__(db, records)
        self._pg = db

    def _keys(self, search: ReadSearch, limit: int, after: Place | None, scope: Scope) -> Sequence[Any]:
        columns = (
            READS.c.unit, READS.c.record_id, READS.c.received_us, READS.c.made_us, READS.c.lat_e7, READS.c.lon_e7,
        )  # fmt: skip
        is_one_of = search.is_exact and len(search.plates) > 1
        others = replace(search, plates=()) if is_one_of else search
        statement = select(*columns).where(
            *conditions(others, READS.c.made_us, after), *in_scope(READS.c.unit, scope)
        )
        if search.areas is not None:
            statement = statement.where(or_(*(_in_box(box, n) for n, box in enumerate(bounds(search)))))
        table: Any = READS.c
        values: dict[str, Any] = {}
        if is_one_of:
            # Found before they are sorted: else each read is compared with all texts, in the order of time.
            statement = statement.where(self._pg.one_of(READS.c.text, "texts")).offset(0)
            table, values = statement.subquery().c, {"texts": list(search.plates)}
            statement = select(*table)
        statement = statement.order_by(*in_order(search, table.made_us, table)).limit(limit)
        with self._pg.transaction():
            if not search.is_exact:
                self._pg.driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            return self._pg.all(statement, values)

    def rows(self, keys: Sequence[Any], schema: str = Read.SCHEMA) -> list[RecordRow | None]:
        """See :meth:`station.store.find.Finder.rows`."""
        found: list[RecordRow | None] = [None] * len(keys)
        if keys:
            columns = [
                list(column) for column in zip(*((k.unit, k.record_id, k.received_us) for k in keys), strict=True)
            ]
            with self._pg.transaction():
                rows = self._pg.fetch(_ROWS, [*columns, schema])
            for number, *row in rows:
                found[number - 1] = RecordRow(*row)
        return found


def _in_box(box: Box, number: int) -> Any:
    """Positions within bounds, as the index has them."""
    names = {name: f"{name}_{number}" for name in ("west", "south", "east", "north")}
    corners = {name: f"CAST(:{bound} AS float8)" for name, bound in names.items()}
    clause = text(
        "point(reads.lon_e7, reads.lat_e7) <@ box(point({west}, {south}), point({east}, {north}))".format(
            **corners
        )
    )
    return clause.bindparams(*(bindparam(bound, getattr(box, name)) for name, bound in names.items()))

"""Searches reads: pages of keys from the index, the area's exact shape here, then the records themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from protocol.wire.records.read import Read
from station.store.scope import in_scope
from station.store.search import FoundRead, boxes, check_limit, is_inside
from station.store.search_sql import READS, conditions, in_box, in_order
from station.store.tables import HERE, RECORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from protocol.wire.registry import Registry
    from station.asker import Scope
    from station.store.database import Database
    from station.store.records import Records
    from station.store.rows import RecordRow
    from station.store.search import Place, ReadSearch

_PAGE = 1_000
_MADE: Any = func.coalesce(RECORDS.c.utc_us, RECORDS.c.received_us)


class Finder:
    """Part of the store."""

    def __init__(self, db: Database, records: Records) -> None:
        self._db = db
        self._records = records

    @property
    def registry(self) -> Registry:
        """The known record types."""
        return self._records.projections.registry

    def find(self, search: ReadSearch, limit: int, after: Place | None, scope: Scope) -> list[FoundRead]:
        """Return the latest reads, in order of time; ``after`` one that was found before.

        Raises StoreError.
        """
        keys: list[Any] = []
        size = check_limit(limit) if search.area is None else max(limit, _PAGE)
        while len(keys) < limit:
            page = self._keys(search, size, after, scope)
            area = search.area
            keys += page if area is None else [k for k in page if is_inside(area, k.lat_e7, k.lon_e7)]
            if len(page) < size:
                break
            after = (page[-1].made_us, page[-1].unit, page[-1].record_id)
        keys = keys[:limit]
        rows = self.rows(keys)
        return [FoundRead(row, key.made_us) for key, row in zip(keys, rows, strict=True) if row is not None]

    def _keys(self, search: ReadSearch, limit: int, after: Place | None, scope: Scope) -> Sequence[Any]:
        """Return a page of keys; an area counts by its bounds."""
        columns = (READS.c.unit, READS.c.record_id, _MADE.label("made_us"), READS.c.lat_e7, READS.c.lon_e7)
        own = and_(RECORDS.c.unit == READS.c.unit, RECORDS.c.record_id == READS.c.record_id)
        statement = (
            select(*columns).select_from(READS.join(RECORDS, own)).where(HERE, *in_scope(READS.c.unit, scope))
        )
        return self._db.all(_ordered(statement, search, _MADE, after).limit(limit))

    def rows(self, keys: Sequence[Any], schema: str = Read.SCHEMA) -> list[RecordRow | None]:
        """Return the records of a type; None for one that was purged meanwhile."""
        found = (self._records.one(key.unit, key.record_id) for key in keys)
        return [None if row is None or row.schema != schema else row for row in found]


def _ordered(statement: Select[Any], search: ReadSearch, made: Any, after: Place | None) -> Select[Any]:
    if search.area is not None:
        statement = statement.where(or_(*(in_box(box) for box in boxes(search.area))))
    return statement.where(*conditions(search, made, after)).order_by(*in_order(search, made))

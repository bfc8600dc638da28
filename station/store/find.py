"""Searches reads: pages of keys from the index, the area's exact shape here, then the records themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from protocol.wire.records.read import Read
from station.store.scope import in_scope
from station.store.search import FoundRead, FoundReads, Polygon, bounds, check_limit
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
    from station.store.search import Circle, Place, ReadSearch

_PAGE = 1_000
_GROWTH = 4
"""Each page of keys is larger than the one before: on SQLite each costs a look at all keys within the bounds."""
_MAX_LOOKED_AT = 20_000
_MAX_COMPARED = 2_000_000
"""Positions times corners: about a second."""
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

    def find(self, search: ReadSearch, limit: int, after: Place | None, scope: Scope) -> FoundReads:
        """Return the latest reads, in order of time; ``after`` the place of one that was found before.

        Raises StoreError.
        """
        check_limit(limit)
        areas = search.areas
        if areas == ():
            return FoundReads([], None)
        if areas is None:
            keys: Sequence[Any] = self._keys(search, limit, after, scope)
            following, is_cut = (_place(keys[-1]) if len(keys) == limit else None), False
        else:
            keys, following, is_cut = self._inside(search, areas, limit, after, scope)
        rows = self.rows(keys)
        found = [FoundRead(row, key.made_us) for key, row in zip(keys, rows, strict=True) if row is not None]
        return FoundReads(found, following, is_cut)

    def _inside(
        self,
        search: ReadSearch,
        areas: Sequence[Circle | Polygon],
        limit: int,
        after: Place | None,
        scope: Scope,
    ) -> tuple[list[Any], Place | None, bool]:
        """Keys in the exact shape, where to go on, and whether that is for having looked at too many."""
        left = max_looked_at(*areas, *(search.zones or ()))
        size, keys = min(left, max(limit, _PAGE)), []
        while True:
            page = self._keys(search, size, after, scope)
            keys += [key for key in page if search.is_inside(key.lat_e7, key.lon_e7)]
            if len(keys) >= limit:
                return keys[:limit], _place(keys[limit - 1]), False
            if len(page) < size:
                return keys, None, False
            after = _place(page[-1])
            left -= size
            if left <= 0:
                return keys, after, True
            size = min(left, size * _GROWTH)

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


def max_looked_at(*areas: Circle | Polygon) -> int:
    """How many positions are compared with shapes for one page: fewer, the more corners they have."""
    corners = sum(len(area.corners) if isinstance(area, Polygon) else 1 for area in areas)
    return max(_PAGE, min(_MAX_LOOKED_AT, _MAX_COMPARED // corners))


def _place(key: Any) -> Place:
    return key.made_us, key.unit, bytes(key.record_id)


def _ordered(statement: Select[Any], search: ReadSearch, made: Any, after: Place | None) -> Select[Any]:
    if search.areas is not None:
        statement = statement.where(or_(*(in_box(box) for box in bounds(search))))
    return statement.where(*conditions(search, made, after)).order_by(*in_order(search, made))

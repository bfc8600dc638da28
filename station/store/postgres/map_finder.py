"""Reads by place and time on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from station.store.map_finder import MapFinder, in_scope, placed
from station.store.map_search import PlacedReads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.asker import Scope
    from station.store.find import Finder
    from station.store.map_search import MapWindow
    from station.store.postgres.database import PostgresDatabase
    from station.store.search import Box

_DAY_US = 86_400_000_000
_MAX_BY_PLACE = 20_000
"""Rows that are looked at by place; a box with more is dense, and its latest reads are soon found by time."""
_WINDOW = "received_us >= :since - :slack AND made_us BETWEEN :since AND :until {scope}"
_BY_PLACE = f"""
SELECT unit, record_id, received_us, made_us, lat_e7, lon_e7, count(*) OVER () FROM (
    SELECT unit, record_id, received_us, made_us, lat_e7, lon_e7 FROM reads
    WHERE point(lon_e7, lat_e7) <@ box(point(:west, :south), point(:east, :north)) AND {_WINDOW} LIMIT :most
) found ORDER BY made_us DESC, unit DESC, record_id DESC LIMIT :limit
"""  # noqa: S608 - values are bound
_BY_TIME = f"""
SELECT unit, record_id, received_us, made_us, lat_e7, lon_e7 FROM reads
WHERE lat_e7 BETWEEN :south AND :north AND lon_e7 BETWEEN :west AND :east AND {_WINDOW}
ORDER BY made_us DESC LIMIT :limit
"""  # noqa: S608 - as above
_LATEST = text("""
SELECT u.unit, l.record_id, l.received_us FROM units u CROSS JOIN LATERAL (
    SELECT record_id, received_us FROM reads r
    WHERE r.unit = u.unit AND r.received_us >= :first AND r.made_us <= :last AND r.lat_e7 IS NOT NULL
    ORDER BY r.made_us DESC LIMIT 1
) l
""")


class PostgresMapFinder(MapFinder):
    """See :class:`station.store.map_finder.MapFinder`."""

    def __init__(self, db: PostgresDatabase, finder: Finder) -> None:
        super().__init__(db, finder)
        self._pg = db

    def _in_box(self, window: MapWindow, box: Box, limit: int, scope: Scope) -> PlacedReads:
        asked: dict[str, Any] = {
            **{name: getattr(box, name) for name in ("south", "north", "west", "east")},
            "since": window.since_us,
            "until": window.until_us,
            "slack": _DAY_US,
            "limit": limit + 1,
        }
        by_place = in_scope(_BY_PLACE, "unit", scope, {**asked, "most": _MAX_BY_PLACE + 1})
        rows = self._all(*by_place)
        if rows and rows[0][-1] > _MAX_BY_PLACE:
            found = self._all(*in_scope(_BY_TIME, "unit", scope, asked))
        else:
            found = [row[:-1] for row in rows]
        reads = [placed(row) for row in found]
        return PlacedReads(reads[:limit], reads[limit - 1].made_us if len(reads) > limit else None)

    def _latest_reads(self, since_us: int, until_us: int) -> Sequence[Any]:
        return self._all(_LATEST, {"first": since_us, "last": until_us})

    def _all(self, statement: Any, values: dict[str, Any]) -> Sequence[Any]:
        """With a plan for these values."""
        with self._pg.transaction():
            self._pg.driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            return self._pg.all(statement, values)

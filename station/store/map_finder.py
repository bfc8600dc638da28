"""Reads by place and time, and where units were last, for a map: a bounded number of rows is read for each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, select, text

from protocol.wire.records.read import Read
from protocol.wire.records.track_point import TrackPoints
from station.store.map_search import LastPlaces, PlacedRead, PlacedReads, UnitSeen
from station.store.tables import UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.asker import Scope
    from station.store.database import Database
    from station.store.find import Finder
    from station.store.map_search import MapWindow
    from station.store.search import Box

_DAY_US = 86_400_000_000
"""A read is received after it was made, unless a clock is wrong by more than this."""
_MAX_BY_PLACE = 20_000
_MAX_BY_TIME = 60_000
"""Rows that are looked at for one answer."""
_RECENT = 20_000
_UNITS = select(UNITS.c.unit, UNITS.c.agency, UNITS.c.state, UNITS.c.reason, UNITS.c.seen_us).order_by(
    UNITS.c.unit
)
_COUNT = text(
    "SELECT count(*) FROM (SELECT 1 FROM reads INDEXED BY reads_place"
    " WHERE lat_e7 BETWEEN :south AND :north AND lon_e7 BETWEEN :west AND :east LIMIT :most)"
)
_BY_PLACE = """
SELECT r.unit, r.record_id, r.received_us, coalesce(r.utc_us, r.received_us) AS made_us, t.lat_e7, t.lon_e7
FROM reads t INDEXED BY reads_place CROSS JOIN records r ON r.unit = t.unit AND r.record_id = t.record_id
WHERE t.lat_e7 BETWEEN :south AND :north AND t.lon_e7 BETWEEN :west AND :east
    AND coalesce(r.utc_us, r.received_us) BETWEEN :since AND :until {scope}
ORDER BY made_us DESC LIMIT :limit
"""
_RECENT_READS = """
SELECT unit, record_id, received_us, coalesce(utc_us, received_us) AS made_us FROM records
WHERE schema = :schema AND payload IS NOT NULL AND received_us BETWEEN :first AND :last
ORDER BY received_us DESC LIMIT :most
"""
_BY_TIME = f"""
SELECT r.unit, r.record_id, r.received_us, r.made_us, t.lat_e7, t.lon_e7
FROM ({_RECENT_READS}) r CROSS JOIN reads t ON t.unit = r.unit AND t.record_id = r.record_id
WHERE t.lat_e7 BETWEEN :south AND :north AND t.lon_e7 BETWEEN :west AND :east
    AND r.made_us BETWEEN :since AND :until {{scope}}
ORDER BY r.made_us DESC LIMIT :limit
"""  # noqa: S608 - values are bound
_FIRST_RECEIVED = text(f"SELECT count(*), min(received_us) FROM ({_RECENT_READS}) r")  # noqa: S608 - as above
_LATEST_OF_UNIT = """
SELECT unit, record_id, received_us FROM (
    SELECT r.unit, r.record_id, r.received_us,
        row_number() OVER (PARTITION BY r.unit ORDER BY r.made_us DESC, r.record_id) AS place
    FROM ({recent}) r {placed} WHERE r.made_us <= :last
) ranked WHERE place = 1
"""
_PLACED = "JOIN reads t ON t.unit = r.unit AND t.record_id = r.record_id AND t.lat_e7 IS NOT NULL"
_LATEST_READS = text(_LATEST_OF_UNIT.format(recent=_RECENT_READS, placed=_PLACED))
_LATEST_TRACKS = text(_LATEST_OF_UNIT.format(recent=_RECENT_READS, placed=""))


class MapFinder:
    """Part of the store, on SQLite; see the subclass for PostgreSQL."""

    def __init__(self, db: Database, finder: Finder) -> None:
        self._db = db
        self._finder = finder

    def reads(self, window: MapWindow, limit: int, scope: Scope) -> PlacedReads:
        """Return the latest reads of a window, at most ``limit``.  Raises StoreError."""
        parts = [self._in_box(window, box, limit, scope) for box in window.boxes]
        found = sorted((read for part in parts for read in part.reads), key=_order, reverse=True)
        since = [part.complete_since_us for part in parts if part.complete_since_us is not None]
        if len(found) > limit:
            since.append(found[limit - 1].made_us)
        return PlacedReads(found[:limit], max(since, default=None))

    def last_places(self, since_us: int, until_us: int) -> LastPlaces:
        """Return the units, and the records that say where each was, received since a time."""
        rows = self._finder.rows(self._latest_reads(since_us, until_us))
        if self._finder.registry.get(TrackPoints.SCHEMA) is not None:
            asked = {"schema": TrackPoints.SCHEMA, "first": since_us, "last": until_us, "most": _RECENT}
            rows += self._finder.rows(self._db.all(_LATEST_TRACKS, asked), TrackPoints.SCHEMA)
        units = [
            UnitSeen(unit, agency or "", state or "?", reason or "", seen)
            for unit, agency, state, reason, seen in self._db.all(_UNITS)
        ]
        return LastPlaces(units, [row for row in rows if row is not None])

    def _in_box(self, window: MapWindow, box: Box, limit: int, scope: Scope) -> PlacedReads:
        """By place where the box has few reads of all times, otherwise by time of receipt, the latest first."""
        asked = _asked(window, box)
        (few,) = self._db.all(_COUNT, {name: asked[name] for name in _BOX} | {"most": _MAX_BY_PLACE + 1})[0]
        if few <= _MAX_BY_PLACE:
            return _cut(self._placed(_BY_PLACE, scope, {**asked, "limit": limit + 1}), limit, None)
        walk = {
            "schema": Read.SCHEMA, "first": window.since_us - _DAY_US, "last": window.until_us + _DAY_US,
            "most": _MAX_BY_TIME,
        }  # fmt: skip
        number, first_us = self._db.all(_FIRST_RECEIVED, walk)[0]
        found = self._placed(_BY_TIME, scope, {**asked, **walk, "limit": limit + 1})
        return _cut(found, limit, first_us if number == _MAX_BY_TIME else None)

    def _placed(self, statement: str, scope: Scope, values: dict[str, Any]) -> list[PlacedRead]:
        return [placed(row) for row in self._db.all(*in_scope(statement, "r.unit", scope, values))]

    def _latest_reads(self, since_us: int, until_us: int) -> Sequence[Any]:
        asked = {"schema": Read.SCHEMA, "first": since_us, "last": until_us, "most": _RECENT}
        return self._db.all(_LATEST_READS, asked)


_BOX = ("south", "north", "west", "east")


def _asked(window: MapWindow, box: Box) -> dict[str, int]:
    return {
        **{name: getattr(box, name) for name in _BOX},
        "since": window.since_us,
        "until": window.until_us,
    }


def in_scope(statement: str, column: str, scope: Scope, values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return a statement for what may be seen, and its values."""
    conditions, more, names = "", dict(values), []
    if scope.units is not None:
        conditions += f" AND {column} IN :units"
        more["units"] = sorted(scope.units)
        names.append("units")
    if scope.agencies is not None:
        conditions += f" AND {column} IN (SELECT unit FROM units WHERE agency IN :agencies)"  # noqa: S608 - our own column
        more["agencies"] = sorted(scope.agencies)
        names.append("agencies")
    limited = text(statement.format(scope=conditions))
    return limited.bindparams(*(bindparam(name, expanding=True, type_=Text) for name in names)), more


def placed(row: Any) -> PlacedRead:
    """Make a read of a row."""
    unit, record_id, *others = row
    return PlacedRead(unit, bytes(record_id), *others)


def _order(read: PlacedRead) -> tuple[int, str, bytes]:
    return read.made_us, read.unit, read.record_id


def _cut(found: list[PlacedRead], limit: int, since_us: int | None) -> PlacedReads:
    if len(found) <= limit:
        return PlacedReads(found, since_us)
    last_us = found[limit - 1].made_us
    return PlacedReads(found[:limit], last_us if since_us is None else max(last_us, since_us))

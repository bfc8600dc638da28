"""Searches hits by what became of them, and counts them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, tuple_

from station.store.hit_search import HitGroup, HitRecords, HitState
from station.store.hit_states import DISPOSITIONS, HITS, SCHEMAS
from station.store.search import check_limit
from station.store.tables import HIT_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Table

    from station.asker import Scope
    from station.store.database import Database
    from station.store.find import Finder
    from station.store.hit_search import HitPlace, HitSearch
    from station.store.hit_states import HitKey
    from station.store.rows import RecordRow

MAX_GROUPS = 10_000
_ROWS_AT_ONCE = 100
_H = HIT_STATES.c
_COLUMNS = (
    _H.unit, _H.hit_id, _H.agency, _H.made_us, _H.list_id, _H.list_name, _H.list_owner, _H.list_version, _H.priority,
    _H.state, _H.reason, _H.outcome, _H.lat_e7, _H.lon_e7, _H.error_cm,
)  # fmt: skip
_GROUP = (_H.list_id, _H.list_owner, _H.state, _H.reason, _H.outcome)
_ORDER = (_H.made_us, _H.unit, _H.hit_id)


class HitFinder:
    """Part of the store."""

    def __init__(self, db: Database, finder: Finder) -> None:
        self._db = db
        self._finder = finder

    def find(self, search: HitSearch, limit: int, after: HitPlace | None, scope: Scope) -> list[HitState]:
        """Return what became of hits, in the order of the search.  Raises StoreError."""
        order = _ORDER if search.ascending else [column.desc() for column in _ORDER]
        statement = select(*_COLUMNS).where(*_conditions(search, scope)).order_by(*order)
        if after is not None:
            here, last = tuple_(*_ORDER), tuple_(*after)
            # The first part is for the index.
            statement = (
                statement.where(_H.made_us >= after[0], here > last)
                if search.ascending
                else statement.where(_H.made_us <= after[0], here < last)
            )
        return [_state(row) for row in self._all(statement.limit(check_limit(limit)))]

    def count(self, search: HitSearch, scope: Scope) -> list[HitGroup]:
        """Count hits by list, owner and end; at most ``MAX_GROUPS`` groups, the largest first."""
        number = func.count()
        statement = (
            select(_H.list_id, func.max(_H.list_name), *_GROUP[1:], number)
            .where(*_conditions(search, scope))
            .group_by(*_GROUP)
            .order_by(number.desc(), *_GROUP)
            .limit(MAX_GROUPS)
        )
        return [HitGroup(*row) for row in self._all(statement)]

    def one(self, unit: str, hit_id: bytes) -> HitState | None:
        """Return what became of a hit; None if it is unknown or was purged."""
        row = self._db.first(select(*_COLUMNS).where(_H.unit == unit, _H.hit_id == hit_id))
        return None if row is None else _state(row)

    def records(self, states: Sequence[HitState]) -> list[HitRecords]:
        """Return the records of hits; those that were purged are left out."""
        found: dict[str, dict[HitKey, list[RecordRow]]] = {}
        for table in (HITS, DISPOSITIONS):
            found[table.name] = defaultdict(list)
            for first in range(0, len(states), _ROWS_AT_ONCE):
                keys = [(state.unit, state.hit_id) for state in states[first : first + _ROWS_AT_ONCE]]
                for key, row in self._rows(table, keys):
                    found[table.name][key].append(row)
        rows = []
        for state in states:
            key = (state.unit, state.hit_id)
            stages, decisions = (
                tuple(sorted(found[table.name][key], key=lambda row: row.seq)) for table in (HITS, DISPOSITIONS)
            )
            rows.append(HitRecords(state, stages, decisions))
        return rows

    def _rows(self, table: Table, keys: Sequence[HitKey]) -> list[tuple[HitKey, RecordRow]]:
        """First the records' keys, then the records: a join of two partitioned tables takes long to plan."""
        columns = [table.c.unit, table.c.record_id, table.c.hit_id]
        if not self._db.is_sqlite:
            columns.append(table.c.received_us)
        units, hit_ids = {unit for unit, _ in keys}, {hit_id for _, hit_id in keys}
        statement = select(*columns).where(table.c.hit_id.in_(hit_ids), table.c.unit.in_(units))
        wanted = set(keys)
        named = [row for row in self._all(statement) if (row.unit, bytes(row.hit_id)) in wanted]
        rows = self._finder.rows(named, SCHEMAS[table.name])
        return [
            ((name.unit, bytes(name.hit_id)), row)
            for name, row in zip(named, rows, strict=True)
            if row is not None
        ]

    def _all(self, statement: Any) -> Sequence[Any]:
        """With a plan for these values: what is best depends on them."""
        if self._db.is_sqlite:
            return self._db.all(statement)
        with self._db.transaction():
            self._db.driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            return self._db.all(statement)


def _state(row: Any) -> HitState:
    unit, hit_id, *others = row
    return HitState(unit, bytes(hit_id), *others)


def _conditions(search: HitSearch, scope: Scope) -> list[ColumnElement[bool]]:
    equal = (
        (_H.list_id, search.list_id), (_H.list_owner, search.list_owner), (_H.unit, search.unit),
        (_H.outcome, search.outcome), (_H.reason, search.reason),
    )  # fmt: skip
    found: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if scope.units is not None:
        found.append(_H.unit.in_(sorted(scope.units)))
    if scope.agencies is not None:
        found.append(_H.agency.in_(sorted(scope.agencies)))
    if search.states:
        found.append(_H.state.in_(search.states))
    if search.since_us is not None:
        found.append(_H.made_us >= search.since_us)
    if search.until_us is not None:
        found.append(_H.made_us <= search.until_us)
    if search.boxes:
        found.append(
            or_(
                *(
                    and_(_H.lat_e7.between(box.south, box.north), _H.lon_e7.between(box.west, box.east))
                    for box in search.boxes
                )
            )
        )
    return found

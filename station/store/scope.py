"""What an asker may see, as conditions of a statement; and the agency of each unit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from protocol.wire.record import decode_record
from protocol.wire.registry import Registry
from station.asker import Scope
from station.store.tables import HERE, RECORDS, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from station.store.contents import NewRecord
    from station.store.database import Database

_NO_TYPES = Registry(())
_ALL = "null"
_OF = select(UNITS.c.agency).where(UNITS.c.unit == bindparam("of"))
_WITHOUT = select(UNITS.c.unit).where(UNITS.c.agency.is_(None))
_ONE = select(RECORDS.c.payload).where(RECORDS.c.unit == bindparam("of"), HERE).limit(1)
_SET = update(UNITS).where(UNITS.c.unit == bindparam("of")).values(agency=bindparam("new_agency"))


def in_scope(unit: ColumnElement[Any], scope: Scope) -> list[ColumnElement[bool]]:
    """Return conditions on the column with the unit; none for all."""
    found: list[ColumnElement[bool]] = []
    if scope.units is not None:
        found.append(unit.in_(sorted(scope.units)))
    if scope.agencies is not None:
        found.append(unit.in_(select(UNITS.c.unit).where(UNITS.c.agency.in_(sorted(scope.agencies)))))
    return found


class UnitAgencies:
    """The agency of each unit, as its latest record says; part of the store."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, str] = {}
        insert = db.insert(UNITS)
        self._upsert = insert.on_conflict_do_update(
            index_elements=["unit"], set_={"agency": insert.excluded.agency}
        )

    def note(self, new: Iterable[NewRecord]) -> None:
        """Inside a transaction; :meth:`forget` must be called if it fails."""
        told = {one.record.envelope.unit: one.record.envelope.agency for one in new}
        changed = {unit: agency for unit, agency in told.items() if self._known.get(unit) != agency}
        for unit, agency in sorted(changed.items()):
            row = self._db.first(_OF, {"of": unit})
            if row is None or row.agency != agency:
                self._db.run(self._upsert, {"unit": unit, "agency": agency})
        self._known |= changed

    def forget(self) -> None:
        """What was noted in a transaction that failed is not stored."""
        self._known.clear()

    def fill(self) -> None:
        """Find the agencies of units whose records were stored by an earlier station."""
        for (unit,) in self._db.all(_WITHOUT):
            row = self._db.first(_ONE, {"of": unit})
            if row is not None:
                agency = decode_record(row.payload, _NO_TYPES).envelope.agency
                with self._db.transaction():
                    self._db.run(_SET, {"of": unit, "new_agency": agency})


def scope_columns(scope: Scope) -> dict[str, str | None]:
    """A scope as the columns ``agencies`` and ``units``; zones are in the latter."""
    units = _listed(scope.units)
    if scope.zones is not None:
        # An earlier program that reads this sees no unit, instead of every place.
        units = json.dumps({"units": _sorted(scope.units), "zones": _sorted(scope.zones)})
    return {"agencies": _listed(scope.agencies), "units": units}


def scope_of(agencies: str | None, units: str | None) -> Scope:
    """The scope in these columns."""
    told = None if units is None else json.loads(units)
    if isinstance(told, dict):
        return Scope(_read(agencies), _set(told["units"]), _set(told["zones"]))
    return Scope(_read(agencies), _set(told))


def said_scope_columns(scope: Scope) -> dict[str, str]:
    """As :func:`scope_columns`, where all must be said: ``null`` of JSON, never NULL."""
    return {name: listed or _ALL for name, listed in scope_columns(scope).items()}


def said_scope(agencies: str, units: str) -> Scope:
    """The scope in these columns."""
    return scope_of(*(None if listed == _ALL else listed for listed in (agencies, units)))


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _listed(names: frozenset[str] | None) -> str | None:
    return None if names is None else json.dumps(sorted(names))


def _read(listed: str | None) -> frozenset[str] | None:
    return None if listed is None else frozenset(json.loads(listed))


def _set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)

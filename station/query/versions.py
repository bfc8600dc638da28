"""Which versions of lists and policies units were offered, and which they have, by their own health messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.codec import decode
from protocol.wire.control.transfer import UPDATE
from protocol.wire.control.unit_state import Health
from station.query.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One kind of file at one unit; releases are in its update report."""

    kind: str
    """Such as ``hotlist``, ``hotlist-2`` or ``policy``."""
    offered: int
    """Version; 0 for none."""
    has: int | None
    """Version that the unit fetched completely, 0 for none; None if it did not say so."""

    @property
    def is_behind(self) -> bool:
        """True if it is not known to have what it is offered."""
        return self.offered > (self.has or 0)


class Versions(Query):
    """Questions about the files of units."""

    def files(self, units: Iterable[str]) -> dict[str, list[FileVersion]]:
        """Return by unit every kind that is offered or was fetched, by name; units outside the scope have none."""
        known = self._store.told(units, self._asker.scope)
        offered = {
            (one.unit, one.file.kind): one.file.release
            for one in self._store.offers(known)
            if one.file.release and one.file.kind != UPDATE
        }
        found: dict[str, list[FileVersion]] = {}
        for unit, told in known.items():
            has = fetched(told.health)
            kinds = {kind for name, kind in offered if name == unit} | {kind for kind, one in has.items() if one}
            found[unit] = [
                FileVersion(kind, offered.get((unit, kind), 0), has.get(kind)) for kind in sorted(kinds)
            ]
        self._note("show versions", len(found))
        return found


def fetched(health: bytes | None) -> dict[str, int]:
    """Return the versions that a unit fetched, by kind, as its latest health message says; empty without one."""
    try:
        gauges = {} if health is None else decode(health, Health).gauges
    except WireError:
        return {}
    parts = {name: name.split(".") for name in gauges}
    return {
        part[1]: gauges[name] for name, part in parts.items() if part[0] == "files" and part[2:] == ["fetched"]
    }

"""Groups of units, and what is rolled out to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, select

from station.store.rows import Rollout
from station.store.tables import ROLLOUTS, UNIT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.store.database import Database

_ROLLOUTS = select(
    ROLLOUTS.c.kind, ROLLOUTS.c.unit_group, ROLLOUTS.c.release, ROLLOUTS.c.sha, ROLLOUTS.c.size, ROLLOUTS.c.parts,
    ROLLOUTS.c.percent, ROLLOUTS.c.started_us, ROLLOUTS.c.changed_us, ROLLOUTS.c.who,
).order_by(ROLLOUTS.c.kind, ROLLOUTS.c.unit_group)  # fmt: skip


class Groups:
    """Part of the store; every method raises StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> dict[str, list[str]]:
        """Return the units of each group, sorted."""
        found: dict[str, list[str]] = {}
        rows = self._db.all(select(UNIT_GROUPS.c.name, UNIT_GROUPS.c.unit).order_by(*UNIT_GROUPS.c))
        for name, unit in rows:
            found.setdefault(name, []).append(unit)
        return found

    def replace(self, name: str, units: Iterable[str]) -> None:
        """Set the units of a group; none removes it.  Inside a transaction."""
        self._db.run(delete(UNIT_GROUPS).where(UNIT_GROUPS.c.name == name))
        rows = [{"name": name, "unit": unit} for unit in sorted(set(units))]
        self._db.run(self._db.insert(UNIT_GROUPS), rows)

    def rollouts(self) -> list[Rollout]:
        """Return all, by kind and group."""
        found = []
        for kind, group, release, sha, size, parts, *rest in self._db.all(_ROLLOUTS):
            found.append(Rollout(kind, group, release, sha, size, tuple(parts.split()), *rest))
        return found

    def keep(self, rollout: Rollout) -> None:
        """Add or replace the roll-out of a kind to a group.  Inside a transaction."""
        statement = self._db.insert(ROLLOUTS)
        values = {
            "kind": rollout.kind, "unit_group": rollout.group, "release": rollout.release, "sha": rollout.sha256,
            "size": rollout.size_bytes, "parts": " ".join(rollout.parts), "percent": rollout.percent,
            "started_us": rollout.started_us, "changed_us": rollout.changed_us, "who": rollout.who,
        }  # fmt: skip
        keys = {"kind", "unit_group"}
        changed = {name: statement.excluded[name] for name in values if name not in keys}
        self._db.run(statement.on_conflict_do_update(index_elements=sorted(keys), set_=changed), values)

    def drop(self, kind: str, group: str) -> None:
        """Remove a roll-out.  Inside a transaction."""
        self._db.run(delete(ROLLOUTS).where(and_(ROLLOUTS.c.kind == kind, ROLLOUTS.c.unit_group == group)))

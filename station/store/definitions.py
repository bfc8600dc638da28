"""Definitions of reports that people made on the station's pages, as they wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from station.store.rows import DefinitionRow
from station.store.tables import REPORT_DEFINITIONS

if TYPE_CHECKING:
    from station.store.database import Database

_COLUMNS = REPORT_DEFINITIONS.c
_ALL = select(_COLUMNS.id, _COLUMNS.text, _COLUMNS.who, _COLUMNS.changed_us).order_by(_COLUMNS.id)


class Definitions:
    """Part of the store; every method raises StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[DefinitionRow]:
        """Return all, by id."""
        return [DefinitionRow(*row) for row in self._db.all(_ALL)]

    def keep(self, row: DefinitionRow) -> None:
        """Add a definition, or replace that of its id.  Inside a transaction."""
        statement = self._db.insert(REPORT_DEFINITIONS)
        values = {"id": row.id, "text": row.text, "who": row.who, "changed_us": row.changed_us}
        changed = {name: statement.excluded[name] for name in ("text", "who", "changed_us")}
        self._db.run(statement.on_conflict_do_update(index_elements=["id"], set_=changed), values)

    def drop(self, identity: str) -> bool:
        """Remove a definition; False if there was none.  Inside a transaction."""
        return bool(self._db.run(delete(REPORT_DEFINITIONS).where(_COLUMNS.id == identity)).rowcount)

"""Searches that people made, and exports that they requested, in the database; part of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select, update

from station.store.rows_accounts import ExportRow, SearchRow
from station.store.scope import said_scope, said_scope_columns
from station.store.tables_accounts import EXPORT_PARTS, EXPORTS, SEARCHES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from station.store.database import Database

_EXPORT = (
    EXPORTS.c.export_id, EXPORTS.c.account, EXPORTS.c.kind, EXPORTS.c.body, EXPORTS.c.purpose,
    EXPORTS.c.case_number, EXPORTS.c.requested_us, EXPORTS.c.state, EXPORTS.c.decided_by, EXPORTS.c.decided_us,
    EXPORTS.c.note, EXPORTS.c.until_us, EXPORTS.c.done, EXPORTS.c.size,
)  # fmt: skip
_SCOPE = (EXPORTS.c.agencies, EXPORTS.c.units)
_SEARCH = (SEARCHES.c.search_id, SEARCHES.c.account, SEARCHES.c.kind, SEARCHES.c.body, SEARCHES.c.made_us)
_WAITING = 100


class ExportTables:
    """Writes are inside a transaction of the store.  Every method raises StoreError if the database fails."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def drop_searches(self, until_us: int, after_us: int) -> int:
        """Delete searches made up to a time, or after one, which has not come yet; return how many."""
        old = or_(SEARCHES.c.made_us <= until_us, SEARCHES.c.made_us > after_us)
        return int(self._db.run(delete(SEARCHES).where(old)).rowcount)

    def add_search(self, search: SearchRow) -> None:
        """Store a search."""
        values = (search.search_id, search.account, search.kind, search.body, search.made_us)
        named = dict(zip((column.name for column in _SEARCH), values, strict=True))
        self._db.run(self._db.insert(SEARCHES), named)

    def search(self, search_id: str, account: str) -> SearchRow | None:
        """Return a search of an account; None if there is none."""
        own = (SEARCHES.c.search_id == search_id, SEARCHES.c.account == account)
        row = self._db.first(select(*_SEARCH).where(*own))
        return None if row is None else SearchRow(*row)

    def add(self, export: ExportRow) -> None:
        """Store a request."""
        values = {column.name: getattr(export, column.name) for column in _EXPORT}
        self._db.run(self._db.insert(EXPORTS), {**values, **said_scope_columns(export.scope)})

    def get(self, export_id: str) -> ExportRow | None:
        """Return a request; None if there is none."""
        row = self._db.first(select(*_EXPORT, *_SCOPE).where(EXPORTS.c.export_id == export_id))
        return None if row is None else _export(row)

    def all(self, *, account: str | None, limit: int, after: ExportRow | None = None) -> list[ExportRow]:
        """Return the latest requests, of one account or of all, the newest first; those that follow ``after``."""
        statement = (
            select(*_EXPORT, *_SCOPE).order_by(EXPORTS.c.requested_us.desc(), EXPORTS.c.export_id).limit(limit)
        )
        if account is not None:
            statement = statement.where(EXPORTS.c.account == account)
        if after is not None:
            same = (EXPORTS.c.requested_us == after.requested_us) & (EXPORTS.c.export_id > after.export_id)
            statement = statement.where((EXPORTS.c.requested_us < after.requested_us) | same)
        return [_export(row) for row in self._db.all(statement)]

    def waiting(self, state: str) -> list[ExportRow]:
        """Return the requests in a state that were made first, in that order."""
        statement = select(*_EXPORT, *_SCOPE).where(EXPORTS.c.state == state)
        ordered = statement.order_by(EXPORTS.c.requested_us, EXPORTS.c.export_id).limit(_WAITING)
        return [_export(row) for row in self._db.all(ordered)]

    def change(self, export_id: str, was: str, /, **values: Any) -> bool:
        """Change a request that is in a state; False if it is in another one, because somebody was faster."""
        own = (EXPORTS.c.export_id == export_id, EXPORTS.c.state == was)
        return bool(self._db.run(update(EXPORTS).where(*own).values(values)).rowcount)

    def add_part(self, export_id: str, number: int, data: bytes) -> None:
        """Store a part of the file."""
        self._db.run(self._db.insert(EXPORT_PARTS), {"export_id": export_id, "number": number, "data": data})

    def parts(self, export_id: str) -> Iterator[bytes]:
        """Yield the parts of the file, in order, one at a time."""
        number = 0
        statement = select(EXPORT_PARTS.c.data).where(EXPORT_PARTS.c.export_id == export_id)
        while row := self._db.first(statement.where(EXPORT_PARTS.c.number == number)):
            yield row.data
            number += 1

    def drop_parts(self, export_id: str) -> None:
        """Delete the file."""
        self._db.run(delete(EXPORT_PARTS).where(EXPORT_PARTS.c.export_id == export_id))

    def overdue(self, now_us: int, latest_us: int) -> list[ExportRow]:
        """Return requests that are ready or being worked on, and whose time is over, or ends after the latest time."""
        over = or_(EXPORTS.c.until_us < now_us, EXPORTS.c.until_us > latest_us)
        overdue = (EXPORTS.c.state.in_(("ready", "running")), over)
        return [_export(row) for row in self._db.all(select(*_EXPORT, *_SCOPE).where(*overdue))]

    def left_behind(self, now_us: int, latest_us: int) -> list[str]:
        """Return requests that still have a file, though they were fetched and the time for it is over."""
        own = EXPORTS.c.export_id == EXPORT_PARTS.c.export_id
        past = or_(EXPORTS.c.until_us < now_us, EXPORTS.c.until_us > latest_us)
        over = (EXPORTS.c.state == "fetched", past)
        statement = select(EXPORT_PARTS.c.export_id).distinct().join(EXPORTS, own).where(*over)
        return [row.export_id for row in self._db.all(statement)]


def _export(row: Any) -> ExportRow:
    return ExportRow(*row[: len(_EXPORT)], scope=said_scope(row.agencies, row.units))

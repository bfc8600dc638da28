"""Which reads each person saw in the last day, and settings of the station, in the database; part of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from station.store.tables_accounts import SEEN_READS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.store.database import Database


class SeenReads:
    """Writes are inside a transaction of the store.  Every method raises StoreError if the database fails."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, account: str, keys: Iterable[tuple[str, bytes]], now_us: int) -> None:
        """Note reads, by unit and id, that a person sees; one that they saw before keeps its time."""
        rows = [
            {"account": account, "unit": unit, "record_id": record_id, "seen_us": now_us}
            for unit, record_id in keys
        ]
        self._db.run(self._db.insert(SEEN_READS).on_conflict_do_nothing(), rows)

    def count(self, account: str) -> int:
        """Return how many different reads of a person are noted."""
        row = self._db.first(select(func.count()).where(SEEN_READS.c.account == account))
        return 0 if row is None else int(row[0])

    def bring_forward(self, after_us: int, to_us: int) -> None:
        """Note what was seen after a time, which has not come yet, as seen at another one."""
        self._db.run(update(SEEN_READS).where(SEEN_READS.c.seen_us > after_us).values(seen_us=to_us))

    def drop(self, until_us: int, *, account: str | None = None) -> int:
        """Forget what was seen up to a time, by one person or by all; return how many."""
        statement = delete(SEEN_READS).where(SEEN_READS.c.seen_us <= until_us)
        if account is not None:
            statement = statement.where(SEEN_READS.c.account == account)
        return int(self._db.run(statement).rowcount)


class Settings:
    """As :class:`SeenReads`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, name: str) -> str | None:
        """Return a setting; None if nobody has set it."""
        row = self._db.first(select(SETTINGS.c.value).where(SETTINGS.c.name == name))
        return None if row is None else str(row.value)

    def put(self, name: str, value: str) -> None:
        """Set it."""
        statement = self._db.insert(SETTINGS)
        changed = {"value": statement.excluded["value"]}
        named = {"name": name, "value": value}
        self._db.run(statement.on_conflict_do_update(index_elements=["name"], set_=changed), named)

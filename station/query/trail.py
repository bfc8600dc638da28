"""The audit trail of one asker: an entry is durable before anything is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.store.rows import AuditRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.asker import Asker
    from station.store import Store


class Trail:
    """Adds entries to the audit trail."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us

    def note(self, what: str, count: int, **asked: str | int | None) -> int:
        """Add an entry, and return its number; raises StoreError, and then nothing may be returned."""
        found = " ".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        asker = self._asker
        entry = AuditRow(self._clock_us(), asker.who, what, found, count, asker.purpose, asker.case_number)
        with self._store.transaction():
            return self._store.audit(entry)

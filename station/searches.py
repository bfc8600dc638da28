"""Searches that people made are kept for a day, each for its person alone, so that no plate stands in an address."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from station.noted import AHEAD_US, is_over
from station.store import SearchRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.store import Store

KEPT_US = 24 * 3_600 * 1_000_000


class KeptSearches:
    """Every method raises StoreError if the database fails."""

    def __init__(self, store: Store, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._clock_us = clock_us

    def keep(self, account: str, kind: str, body: str) -> str:
        """Keep a search; return its id."""
        row = SearchRow(secrets.token_urlsafe(16), account, kind, body, self._clock_us())
        with self._store.transaction():
            self._store.exports.add_search(row)
        return row.search_id

    def find(self, search_id: str, account: str) -> SearchRow | None:
        """Return a search of an account; None if there is none, or it is older than a day."""
        row = self._store.exports.search(search_id, account)
        return None if row is None or is_over(row.made_us, self._clock_us(), KEPT_US) else row

    def drop_old(self) -> int:
        """Delete those that are older than a day; return how many."""
        with self._store.transaction():
            now_us = self._clock_us()
            return self._store.exports.drop_searches(now_us - KEPT_US, now_us + AHEAD_US)

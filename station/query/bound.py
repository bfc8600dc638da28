"""How many different reads one person may look at in a day: whoever needs more requests an export.

Look-ups on pages, on the map and by programs count together.  An export needs the agreement of another person; without
a bound the same reads could be taken page by page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.errors import BoundError, ScopeError
from station.noted import AHEAD_US
from station.store.rows import AuditRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from station.asker import Asker
    from station.store import Store

DEFAULT_READS = 2_000
MIN_READS, MAX_READS = 50, 20_000
"""What an administrator can set."""
PERIOD_US = 24 * 3_600_000_000
_NAME = "reads_of_a_person"


class ReadBound:
    """Every method raises StoreError, and then nothing was changed."""

    def __init__(self, store: Store, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._clock_us = clock_us

    def get(self) -> int:
        """Return how many reads one person may look at within 24 hours."""
        value = self._store.settings.get(_NAME)
        return DEFAULT_READS if value is None else int(value)

    def set(self, by: Asker, reads: int) -> None:
        """Change it, with an entry in the audit trail.  Raises BoundError; ScopeError for an account with a limit."""
        if not by.scope.is_all:
            raise ScopeError("this is for the whole agency: it needs an account that may see all of it")
        if not MIN_READS <= reads <= MAX_READS:
            raise BoundError(
                f"a person may look at {MIN_READS:,} to {MAX_READS:,} reads in 24 hours, not {reads:,}"
            )
        with self._store.transaction():
            asked = f"reads={reads} before={self.get()}"
            self._store.settings.put(_NAME, str(reads))
            entry = AuditRow(self._clock_us(), by.who, "set bound of reads", asked, 1, by.purpose, by.case_number)
            self._store.audit(entry)

    def take(self, who: str, keys: Iterable[tuple[str, bytes]]) -> None:
        """Count reads, by unit and id, that a person is going to see; one of the last 24 hours counts once.

        Raises BoundError if they would be too many, and then none was counted.
        """
        wanted = list(keys)
        if not wanted:
            return
        now_us = self._clock_us()
        with self._store.transaction():
            # Of several requests at once, one after the other.
            self._store.accounts.lock(who)
            self._store.seen_reads.drop(now_us - PERIOD_US, account=who)
            self._store.seen_reads.add(who, wanted, now_us)
            bound = self.get()
            if self._store.seen_reads.count(who) > bound:
                raise BoundError(
                    f"these would be more than the {bound:,} different reads that one person may look at in 24 hours: "
                    "give narrower conditions, or request an export, which another person approves"
                )

    def drop_old(self) -> int:
        """Forget what was seen more than 24 hours ago; return how many reads.

        What was seen while the clock was ahead counts as seen now, and not until that time has come.
        """
        now_us = self._clock_us()
        with self._store.transaction():
            self._store.seen_reads.bring_forward(now_us + AHEAD_US, now_us)
            return self._store.seen_reads.drop(now_us - PERIOD_US)

"""Commands to the station: purge, offer updates.  Each is recorded in the audit trail, in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.errors import StoreError
from station.store.rows import AuditRow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from protocol.update.manifest import Manifest
    from station.store import PurgeResult, Store

_US_PER_DAY = 86_400_000_000


class Commands:
    """Commands of one operator.  Every method raises StoreError, and then nothing was changed."""

    def __init__(self, store: Store, who: str, clock_us: Callable[[], int]) -> None:
        """``who`` is the operator; ``clock_us`` returns UTC."""
        self._store = store
        self._who = who
        self._clock_us = clock_us

    def purge(self, days: float, *, retention: str | None = None) -> PurgeResult:
        """Delete records made or received more than ``days`` ago, with their pictures.

        ``retention`` is one class, None means all.  Records without a class are kept, as are those of unknown types.
        """
        if not days >= 0:
            raise StoreError(f"cannot purge records older than {days} days: use 0 or more")
        now_us = self._clock_us()
        with self._store.transaction():
            gone = self._store.purge(now_us - round(days * _US_PER_DAY), retention)
            asked = f"days={days:g}" if retention is None else f"days={days:g} retention={retention}"
            self._note("purge", asked, gone.records, now_us)
        # Deleted contents must not remain in the database's log.
        self._store.forget_freed()
        return gone

    def offer(self, unit: str, manifest: Manifest, file: Path) -> None:
        """Offer an update to a unit; it replaces an earlier offer."""
        kept = self._store.keep_file(file)
        now_us = self._clock_us()
        with self._store.transaction():
            self._store.offer(unit, manifest, kept, now_us)
            self._note("offer", f"unit={unit} release={manifest.release}", 0, now_us)

    def withdraw(self, unit: str) -> bool:
        """Withdraw the offer to a unit; False if there was none."""
        with self._store.transaction():
            self._note("withdraw", f"unit={unit}", 0, self._clock_us())
            return self._store.withdraw(unit)

    def _note(self, what: str, asked: str, count: int, now_us: int) -> None:
        self._store.audit(AuditRow(now_us, self._who, what, asked, count))

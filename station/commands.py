"""Commands to the station: purge, offer files.  Each is recorded in the audit trail, in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.wire.control.transfer import UPDATE
from protocol.wire.topics import offer_topic
from station.errors import StoreError
from station.retention.purges import PurgePreview, Purger
from station.store import OfferedFile
from station.store.rows import AuditRow, PurgePlan, PurgeRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from protocol.update.manifest import Manifest
    from station.asker import Asker
    from station.store import PurgeResult, Store

_US_PER_DAY = 86_400_000_000
_ALL = 1_000_000


def _check_days(days: float) -> None:
    if not days >= 0:
        raise StoreError(f"cannot purge records older than {days} days: use 0 or more")


class Commands:
    """Commands of one operator.  Every method raises StoreError, and then nothing was changed."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us
        self._purger = Purger(store, asker, clock_us)

    def preview_purge(self, days: float, *, retention: str | None = None) -> PurgePreview:
        """Return what :meth:`purge` would delete now, and whether the clock can be trusted for it."""
        return self._purger.preview(self._plan(days, retention))

    def purge(self, days: float, *, retention: str | None = None) -> PurgeResult:
        """Delete records made or received more than ``days`` ago, with their pictures.

        ``retention`` is one class, None means all.  Records without a class are kept, as are those of unknown types.
        """
        asked = f"days={days:g}" if retention is None else f"days={days:g} retention={retention}"
        return self._purger.run(self._plan(days, retention), asked)

    def _plan(self, days: float, retention: str | None) -> PurgePlan:
        _check_days(days)
        return PurgePlan((PurgeRule(retention, self._clock_us() - round(days * _US_PER_DAY)),))

    def offer(self, unit: str, manifest: Manifest, file: Path) -> None:
        """Offer an update to a unit; it replaces an earlier offer."""
        parts = tuple(part.value for part in manifest.parts)
        self.offer_file(unit, UPDATE, file, release=manifest.release, parts=parts)

    def offer_file(
        self, unit: str, kind: str, file: Path, *, release: int, parts: tuple[str, ...] = (), told: str = ""
    ) -> None:
        """Offer a file of any kind to a unit; it replaces an earlier offer of that kind.

        The caller has verified the file.  ``release`` is its version, ``told`` goes into the audit trail.  Raises
        WireError for an invalid unit or kind.
        """
        offer_topic(unit, kind)
        sha256, size_bytes = self._store.keep_file(file, kind)
        now_us = self._clock_us()
        with self._store.transaction():
            self._store.offer(unit, OfferedFile(kind, release, sha256, size_bytes, parts), now_us)
            self._note("offer", f"unit={unit}{_of(kind)} release={release} {told}".rstrip(), 0, now_us)
        self._store.drop_unoffered(kind, now_us)

    def withdraw(self, unit: str, kind: str = UPDATE) -> bool:
        """Withdraw the offer of a kind to a unit; False if there was none."""
        with self._store.transaction():
            was = self._store.withdraw(unit, kind)
            self._note("withdraw", f"unit={unit}{_of(kind)}", 0, self._clock_us())
        return was

    def retry_output(self, name: str) -> int:
        """Send the dead letters of an output again; return their number.  Raises StoreError for an unknown output."""
        self.refuse_unknown_output(name)
        count = len(self._store.stream.dead_letters(name, _ALL))
        with self._store.transaction():
            self._note("retry output", f"output={name}", count, self._clock_us())
        return self._store.stream.retry(name)

    def remove_output(self, name: str) -> bool:
        """Forget an output, its place and its dead letters; False if there is none."""
        with self._store.transaction():
            self._note("remove output", f"output={name}", 0, self._clock_us())
        return self._store.stream.remove(name)

    def refuse_unknown_output(self, name: str) -> None:
        """Raises StoreError naming the outputs there are."""
        known = [state.name for state in self._store.stream.states()]
        if name not in known:
            raise StoreError(f"there is no output {name!r}; there are: {', '.join(known) or 'none'}")

    def note(self, what: str, asked: str) -> None:
        """Record something that changes nothing in the store."""
        with self._store.transaction():
            self._note(what, asked, 0, self._clock_us())

    def _note(self, what: str, asked: str, count: int, now_us: int) -> None:
        asker = self._asker
        self._store.audit(AuditRow(now_us, asker.who, what, asked, count, asker.purpose, asker.case_number))


def _of(kind: str) -> str:
    return "" if kind == UPDATE else f" kind={kind}"

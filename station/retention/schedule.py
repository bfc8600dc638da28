"""Deletes on time while the station runs: by the records' own expiry, and by the station's signed policies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from protocol.errors import PatrolError
from protocol.policy.envelope import open_pack
from station.asker import Asker
from station.errors import StoreError
from station.retention.purges import Purger, clock_doubt
from station.store.rows import MAX_WAITING, AuditRow, PurgePlan, PurgeRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from protocol.policy.pack import PolicyPack
    from protocol.seal.keys import VerifyKey
    from station.store import PurgeResult, Store

EVERY_S = 300.0
PLANS_EVERY_S = 3_600.0
SETTLE_S = 900.0
"""A clock that jumped is believed after it has gone evenly for so long."""
_MAX_STEP_US = 60_000_000
_LOOSE_EVERY_S = 86_400.0
_STREAM_EVERY_S = 3_600.0
_US_PER_DAY = 86_400_000_000
STATION = Asker("station (retention)")


def load_packs(paths: Iterable[Path], keys: Iterable[VerifyKey]) -> tuple[PolicyPack, ...]:
    """Read and verify policies.  Raises StoreError for one that cannot be used: nothing is deleted by guesses."""
    trusted = tuple(keys)
    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                found.append(open_pack(file, trusted).pack)
        except (OSError, PatrolError) as error:
            raise StoreError(f"{path}: this policy cannot be used: {error}") from error
    return tuple(found)


def plan_of(packs: Iterable[PolicyPack], now_us: int) -> PurgePlan:
    """Return what is due now.

    Of several policies the longest period of a class is taken: the units have put the exact end into each read.
    """
    periods: dict[str, int] = {}
    for pack in packs:
        for name in type(pack.retain).model_fields:
            period = getattr(pack.retain, name)
            if period is not None:
                periods[name] = max(periods.get(name, 0), period.seconds)
    rules = tuple(
        PurgeRule(name, max(0, now_us - seconds * 1_000_000)) for name, seconds in sorted(periods.items())
    )
    return PurgePlan(rules, expired_us=now_us)


class Retention:
    """Used by one thread; ``step`` is called about once a second."""

    def __init__(
        self,
        store: Store,
        packs: tuple[PolicyPack, ...],
        clock_us: Callable[[], int],
        mono_s: Callable[[], float],
    ) -> None:
        """``clock_us`` returns UTC, ``mono_s`` seconds of a clock that never steps."""
        self._store = store
        self._packs = packs
        self._policies = {pack.name: hashlib.sha256(pack.canonical()).hexdigest() for pack in packs}
        self._clock_us = clock_us
        self._mono_s = mono_s
        self._even_since_s: float | None = None
        self._last: tuple[int, float] | None = None
        self._due_s = self._loose_due_s = self._stream_due_s = self._plans_due_s = 0.0
        self.plan_rows = 0
        """Rows about employees that the last step deleted: plans, hours, coverage and incidents."""
        self.doubt = ""
        """Why nothing is deleted at the moment; empty if the clock is believed."""

    def step(self) -> PurgeResult | None:
        """Delete what is due, every few minutes; return what was deleted, None for nothing.  Raises StoreError."""
        now_us, mono_s = self._clock_us(), self._mono_s()
        self.plan_rows = 0
        self._watch_clock(now_us, mono_s)
        if mono_s < self._due_s:
            return None
        self._due_s = mono_s + EVERY_S
        self.doubt = self._clock_jumped(mono_s) or clock_doubt(now_us, self._store)
        self._bound_stream(mono_s)
        if self.doubt:
            return None
        if mono_s >= self._plans_due_s:
            self.plan_rows = self._purge_plans(now_us)
            self._plans_due_s = mono_s + PLANS_EVERY_S
        plan = plan_of(self._packs, now_us)
        if not any(row.records for row in self._store.purgeable(plan)) and not self._has_loose(plan, mono_s):
            return None
        names = ", ".join(sorted(self._policies))
        reason = f"expiry of records{f', policies {names}' if names else ''}"
        return Purger(self._store, STATION, self._clock_us).run(plan, reason[:1_000], self._policies)

    def _bound_stream(self, mono_s: float) -> None:
        """An output that is set up and that nobody runs must not fill the disk with what waits for it."""
        if mono_s >= self._stream_due_s:
            self._stream_due_s = mono_s + _STREAM_EVERY_S
            self._store.stream.bound_all(MAX_WAITING)

    def _has_loose(self, plan: PurgePlan, mono_s: float) -> bool:
        """True for a picture that came after its record was purged, or whose record never came; asked once a day."""
        if mono_s < self._loose_due_s:
            return False
        self._loose_due_s = mono_s + _LOOSE_EVERY_S
        return self._store.has_loose_pictures(plan.loose_us)

    def _purge_plans(self, now_us: int) -> int:
        """Delete what is older than the agency keeps it; an entry in the audit trail if there was something."""
        deployment = self._store.deployment
        days = deployment.settings().keep_days
        with self._store.transaction():
            # Shifts and incidents that a hold keeps stay: also those that came since it was last looked at.
            self._store.holds.refresh()
            gone = deployment.purge_plans(now_us - days * _US_PER_DAY)
            if gone:
                self._store.audit(AuditRow(now_us, STATION.who, "purge plans", f"days={days}", gone))
        if gone:
            self._store.forget_freed()
        return gone

    def _watch_clock(self, now_us: int, mono_s: float) -> None:
        if self._last is not None:
            went_us = round((mono_s - self._last[1]) * 1e6)
            if abs(now_us - self._last[0] - went_us) > _MAX_STEP_US:
                self._even_since_s = mono_s
        self._last = now_us, mono_s

    def _clock_jumped(self, mono_s: float) -> str:
        if self._even_since_s is None or mono_s - self._even_since_s >= SETTLE_S:
            return ""
        return "this machine's clock jumped"

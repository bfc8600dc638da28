"""Limits on attempts to sign on: growing delays, then a lockout that a supervisor lifts.

An attempt is counted before the PIN is compared, and is durable by then: cutting the power during the comparison gains
nothing.  Delays are measured with the monotonic clock; after a restart the last one starts anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

_NS_PER_S = 1_000_000_000
FREE_ATTEMPTS = 3
"""Attempts without a delay."""
FIRST_DELAY_S, MAX_DELAY_S = 5, 900
LOCK_AFTER = 8
"""Consecutive failed attempts after which a badge is locked out."""
UNIT_ATTEMPTS = 20
"""Consecutive failed attempts with any badges after which every attempt on this unit is delayed."""


@dataclass(frozen=True, slots=True)
class BadgeAttempts:
    """Failed attempts with one badge since the last success."""

    failed: int
    pin: str
    """Fingerprint of the PIN's hash in the roster: a new PIN lifts the lockout."""

    @property
    def locked(self) -> bool:
        """True until a supervisor lifts it, or the roster has a new PIN."""
        return self.failed >= LOCK_AFTER


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed attempts on this unit; only ``badges`` and ``failed`` survive a restart."""

    badges: tuple[tuple[str, BadgeAttempts], ...] = ()
    failed: int = 0
    """With any badge, known or not, since the last success."""
    waits: dict[str, int] = field(default_factory=dict)
    """Badge -> monotonic time before which nothing is compared; the empty badge for all."""

    def of(self, badge: str, pin_hash: str) -> BadgeAttempts:
        """Return the attempts with a badge and its present PIN."""
        fingerprint = pin_fingerprint(pin_hash)
        known = dict(self.badges).get(badge)
        return known if known is not None and known.pin == fingerprint else BadgeAttempts(0, fingerprint)

    def wait_s(self, badge: str, t_mono_ns: int) -> float:
        """Return the seconds before the next attempt with this badge; 0 for none."""
        until_ns = max(self.waits.get(badge, 0), self.waits.get("", 0))
        return max(0.0, (until_ns - t_mono_ns) / _NS_PER_S)

    def begin(self, badge: str, pin_hash: str | None, t_mono_ns: int) -> Attempts:
        """Count an attempt, as failed until ``succeed``.  ``pin_hash`` is None for an unknown badge."""
        waits, badges = dict(self.waits), dict(self.badges)
        if pin_hash is not None:
            own = self.of(badge, pin_hash)
            badges[badge] = replace(own, failed=own.failed + 1)
            waits[badge] = t_mono_ns + _delay_ns(own.failed + 1 - FREE_ATTEMPTS)
        waits[""] = t_mono_ns + _delay_ns(self.failed + 1 - UNIT_ATTEMPTS)
        return Attempts(tuple(badges.items()), self.failed + 1, waits)

    def succeed(self, badge: str) -> Attempts:
        """The PIN was correct: forget the failures."""
        waits = {name: until for name, until in self.waits.items() if name not in {badge, ""}}
        return Attempts(tuple(item for item in self.badges if item[0] != badge), 0, waits)

    def unlock(self, badge: str) -> Attempts:
        """Lift the lockout of a badge."""
        waits = {name: until for name, until in self.waits.items() if name != badge}
        return Attempts(tuple(item for item in self.badges if item[0] != badge), self.failed, waits)

    def after_restart(self, t_mono_ns: int) -> Attempts:
        """Start the delays anew: how long the unit was off is unknown."""
        waits = {badge: t_mono_ns + _delay_ns(own.failed - FREE_ATTEMPTS) for badge, own in self.badges}
        waits[""] = t_mono_ns + _delay_ns(self.failed - UNIT_ATTEMPTS)
        return replace(self, waits=waits)

    def only(self, badges: set[str]) -> Attempts:
        """Forget badges that are no longer in the roster."""
        return replace(self, badges=tuple(item for item in self.badges if item[0] in badges))


def _delay_ns(beyond: int) -> int:
    """0 up to the free attempts; then doubling."""
    if beyond < 0:
        return 0
    return min(MAX_DELAY_S, FIRST_DELAY_S << min(beyond, 16)) * _NS_PER_S


def pin_fingerprint(pin_hash: str) -> str:
    """Identify a hash without repeating it."""
    return hashlib.sha256(pin_hash.encode()).hexdigest()[:16]

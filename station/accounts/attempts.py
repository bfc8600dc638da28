"""How long an account is blocked after failed attempts.  The count is stored: a restart forgives nothing."""

from __future__ import annotations

from station.noted import has_ended

_FREE = 3
_FIRST_US = 5_000_000
LONGEST_US = 3_600_000_000


def blocked_until_us(failures: int, now_us: int) -> int:
    """Return until when no attempt is looked at: three are free, then 5 s, doubling to one hour."""
    if failures < _FREE:
        return 0
    return now_us + min(_FIRST_US << min(failures - _FREE, 20), LONGEST_US)


def is_blocked(until_us: int, now_us: int) -> bool:
    """True if no attempt is looked at now."""
    return until_us > now_us and not has_ended(until_us, now_us, LONGEST_US)

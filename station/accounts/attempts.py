"""How long an account is blocked after failed attempts.  The count is stored: a restart forgives nothing."""

from __future__ import annotations

_FREE = 3
_FIRST_US = 5_000_000
_LONGEST_US = 3_600_000_000


def blocked_until_us(failures: int, now_us: int) -> int:
    """Return until when no attempt is looked at: three are free, then 5 s, doubling to one hour."""
    if failures < _FREE:
        return 0
    return now_us + min(_FIRST_US << min(failures - _FREE, 20), _LONGEST_US)

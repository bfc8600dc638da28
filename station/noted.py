"""Times that this station noted, compared with its clock: some may be of a clock that was ahead, and was set since.

Believed, they would lie in the future for as long as the clock was ahead: a session, a token or a file would end years
later, and so would a block.
"""

from __future__ import annotations

AHEAD_US = 600_000_000
"""By which the clocks of several workers may differ."""


def is_over(noted_us: int, now_us: int, lasts_us: int) -> bool:
    """True if what began at a time and lasts for so long is over, or cannot have begun yet."""
    return not -AHEAD_US <= now_us - noted_us < lasts_us


def has_ended(until_us: int, now_us: int, longest_us: int) -> bool:
    """True if what lasts until a time has ended, or would last for longer than anything does."""
    return until_us < now_us or until_us > now_us + longest_us + AHEAD_US

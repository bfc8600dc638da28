"""Compares regions; an unknown region is neither equal nor different."""

from __future__ import annotations

from agent.hotlist.records import RegionMatch
from agent.records import UNKNOWN_REGION
from protocol.hotlist.manifest import RegionRule

MIN_CONFIDENCE = 0.5
"""With less, another region is more likely than the one that was read."""
_COUNTRIES = frozenset({"MX", "CA", "EU", "BR"})
_US = "US-"
_VAGUE = frozenset({"", UNKNOWN_REGION, "OTHER", "US-OTHER"})


def compare_regions(read: str, listed: str, confidence: float = 1.0) -> RegionMatch:
    """Compare the region of a read with that of an entry.

    A region of which the reader is less than half sure (``confidence``, 0..1) is unknown.  Two countries differ even if
    the state is unknown.  Codes that are no region of the reader are unknown.
    """
    read = known_region(read, confidence)
    if read not in _VAGUE and read == listed:
        return RegionMatch.EQUAL
    ours, theirs = _country(read), _country(listed)
    if not ours or not theirs:
        return RegionMatch.UNKNOWN
    if ours != theirs:
        return RegionMatch.DIFFERENT
    return RegionMatch.UNKNOWN if read in _VAGUE or listed in _VAGUE else RegionMatch.DIFFERENT


def known_region(region: str, confidence: float) -> str:
    """Return the region of a read, ``?`` if the reader is less than half sure."""
    return region if confidence >= MIN_CONFIDENCE else UNKNOWN_REGION


def is_reported(found: RegionMatch, rule: RegionRule) -> bool:
    """True if a rule reports matches with this comparison."""
    match rule:
        case RegionRule.EQUAL:
            return found is RegionMatch.EQUAL
        case RegionRule.NOT_DIFFERENT:
            return found is not RegionMatch.DIFFERENT
        case _:
            return True


def _country(region: str) -> str:
    if region.startswith(_US):
        return "US"
    return region if region in _COUNTRIES else ""

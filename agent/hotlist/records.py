"""What a match says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.hotlist.entry import Entry
from protocol.hotlist.manifest import ListPriority as Priority

__all__ = ["Entry", "ListInfo", "Match", "Priority", "RegionMatch", "Rule"]


class Rule(StrEnum):
    """How a read matched an entry."""

    EXACT = "exact"
    """The read's own text is the listed one; the letter O and the digit 0 count as equal."""
    APPROXIMATE = "approximate"
    """The listed text is another that the read's character probabilities allow."""
    WILDCARD = "wildcard"
    """The entry has ``?``, each for one character."""
    PARTIAL = "partial"
    """The entry has ``*``: only part of the plate is known."""
    MANUAL = "manual"
    """Typed by an officer."""


class RegionMatch(StrEnum):
    """Comparison of the read's region with the listed one."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """The read or the entry has none, or one that does not say the state."""


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list in force."""

    list_id: str
    name: str
    owner: str
    version: int
    as_of_utc_us: int
    """Time of the source's data."""
    expires_utc_us: int | None
    priority: Priority
    sound: bool
    lamp: bool
    jurisdiction: str
    entries: int


@dataclass(frozen=True, slots=True)
class Match:
    """A read that may be a listed plate: a lead, which an officer verifies."""

    list: ListInfo
    entry: Entry
    rule: Rule
    probability: float
    """Probability, 0..1, that the read's text is the listed one, by the reader's calibrated confidence.  It does
    not say that the vehicle is the wanted one."""
    region_match: RegionMatch

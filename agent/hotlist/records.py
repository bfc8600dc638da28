"""What a match says."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.hotlist.entry import Entry
from protocol.hotlist.manifest import ListPriority as Priority
from protocol.wire.enums import MatchRule as Rule
from protocol.wire.enums import RegionMatch

__all__ = ["Entry", "ListInfo", "Match", "Priority", "RegionMatch", "Rule"]


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

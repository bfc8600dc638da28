"""Hot lists for tests: the matches are declared, not looked up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from agent.hotlist.records import Entry, ListInfo, Match, Priority, RegionMatch, Rule
from agent.hotlist.regions import compare_regions
from tests.builders import UTC_NS

HOUR_US = 3_600_000_000


def make_list(list_id: str = "stolen", **other: Any) -> ListInfo:
    """An hour old at the start of the drives of the tests."""
    values: dict[str, Any] = {
        "name": "Stolen vehicles",
        "owner": "Example State Police",
        "version": 17,
        "as_of_utc_us": UTC_NS // 1000 - HOUR_US,
        "expires_utc_us": None,
        "priority": Priority.HIGH,
        "sound": True,
        "lamp": True,
        "jurisdiction": "US-CA",
        "entries": 3,
    }
    return ListInfo(list_id=list_id, **{**values, **other})


def make_entry(text: str = "7ABC123", **other: Any) -> Entry:
    values: dict[str, Any] = {
        "region": "US-CA",
        "reason": "stolen vehicle",
        "make": "Toyota",
        "model": "Camry",
        "colour": "grey",
        "year": "2019",
        "callback": "555-0100",
    }
    return Entry(f"e-{text}", text, **{**values, **other})


def make_match(text: str = "7ABC123", listed: ListInfo | None = None, **other: Any) -> Match:
    values: dict[str, Any] = {
        "rule": Rule.EXACT,
        "probability": 0.95,
        "region_match": RegionMatch.EQUAL,
    }
    entry = other.pop("entry", None) or make_entry(text)
    return Match(listed or make_list(), entry, **{**values, **other})


@dataclass
class Listed:
    """A matcher of exact texts."""

    entries: dict[str, Match]

    def match(self, plate, *, now_utc_us, lat_deg=None, lon_deg=None):
        found = self.entries.get(plate.text)
        if found is None:
            return ()
        region = compare_regions(plate.region, found.entry.region)
        return (replace(found, probability=plate.confidence, region_match=region),)

    @property
    def lists(self):
        return tuple({match.list.list_id: match.list for match in self.entries.values()}.values())


def listed(*texts: str, **other: Any) -> Listed:
    """A matcher of one list with these plates."""
    info = make_list(**other)
    return Listed({text: make_match(text, info) for text in texts})

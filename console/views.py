"""What each section of the page shows, as JSON values.  Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from console.blind import choices, matches
from console.state import OPEN_STATES, Section, is_entry_locked, is_fresh, open_shifts, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from console.state import ConsoleState, Document

HIDDEN: Document = {"hidden": True}
"""In place of a section that a terminal may not have."""
CHECKS = ("characters", "region", "vehicle")
"""What an officer compares before a hit counts as confirmed."""
SHOWN_READS = 12
_EARTH_M = 6_371_000.0
_ORDER = {"high": 0, "medium": 1, "low": 2}
_UNIT_KEYS = (
    "unit", "software", "state", "reason", "lamp", "private", "cameras", "fix", "link", "outbox", "lists", "policy",
    "disk", "heat", "utc_us", "hits_open",
)  # fmt: skip


def view(state: ConsoleState, section: Section, t_s: float, checks: Mapping[str, Document]) -> Document:
    """The document of one section.  ``checks`` are the officer's answers by hit, not yet sent to the agent."""
    match section:
        case Section.BEAT:
            return {
                "connected": state.connected,
                "fresh": is_fresh(state, t_s),
                "stopping": state.stopping,
                "locked": is_entry_locked(state),
                "lamp": state.unit.get("lamp"),
                "utc_us": state.unit.get("utc_us"),
                "mono_us": state.unit.get("mono_us"),
            }
        case Section.READS:
            return {"reads": [_read(read, state) for read in state.reads[:SHOWN_READS]]}
        case Section.HITS:
            return {"hits": [_hit(hit, checks.get(hit["hit_id"])) for hit in _by_priority(state.hits)]}
        case Section.UNIT:
            return {key: state.unit.get(key) for key in _UNIT_KEYS}
        case Section.SHIFT:
            return {"shifts": open_shifts(state)}


def sections_for(signed_on: bool, sign_on_required: bool) -> frozenset[Section]:
    """Sections that a terminal may have: without a sign-on, where one is required, none with a plate or a place."""
    if signed_on or not sign_on_required:
        return frozenset(Section)
    return frozenset({Section.BEAT, Section.SHIFT})


def distance_and_bearing(here: tuple[float, float], there: tuple[float, float]) -> tuple[float, float]:
    """Metres and degrees clockwise from north, between two places in degrees, on a sphere, for short distances."""
    lat, lon = math.radians(here[0]), math.radians(here[1])
    north = math.radians(there[0]) - lat
    east = (math.radians(there[1]) - lon) * math.cos(lat)
    return math.hypot(north, east) * _EARTH_M, math.degrees(math.atan2(east, north)) % 360


def _read(read: Document, state: ConsoleState) -> Document:
    return {**read, **_place(read, state)}


def _place(read: Mapping[str, Any], state: ConsoleState) -> Document:
    """Distance and direction from the vehicle's present position, which an officer can use at a glance."""
    fix = table(state.unit.get("fix"))
    here, there = _point(fix), _point(read)
    if not fix.get("found") or here is None or there is None:
        return {"distance_m": None, "bearing_deg": None}
    distance_m, bearing_deg = distance_and_bearing(here, there)
    return {"distance_m": round(distance_m), "bearing_deg": round(bearing_deg)}


def _point(document: Mapping[str, Any]) -> tuple[float, float] | None:
    lat, lon = document.get("lat_deg"), document.get("lon_deg")
    if not isinstance(lat, int | float) or not isinstance(lon, int | float):
        return None
    return (lat, lon) if abs(lat) <= 90 and abs(lon) <= 180 else None  # noqa: PLR2004 - degrees


def _by_priority(hits: tuple[Document, ...]) -> list[Document]:
    """Open ones first, then by priority; among equals the newest first."""
    return sorted(
        hits, key=lambda hit: (hit.get("state") not in OPEN_STATES, _ORDER.get(str(hit.get("priority")), 1))
    )


def _hit(hit: Document, checks: Document | None) -> Document:
    given, listed, pictures = table(hit.get("checks")), table(hit.get("listed")), hit.get("pictures")
    listed = {key: _printable(value) for key, value in listed.items()}
    listed["text"] = str(listed.get("text") or "")
    waits = hit.get("state") in OPEN_STATES
    return {
        **hit,
        "listed": listed,
        "text": str(hit.get("text") or ""),
        "pictures": pictures if isinstance(pictures, list) else [],
        "checks": {name: _either(given.get(name), (checks or {}).get(name)) for name in CHECKS},
        "choices": [{"text": text, "listed": matches(text, listed["text"])} for text in choices(hit)]
        if waits
        else [],
    }


def _printable(value: Any) -> Any:
    """Lists come from others: characters that change the order in which text is shown become spaces."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else " " for char in value)


def _either(stored: object, entered: object) -> object:
    return entered if stored is None else stored

"""What a map asks for, and what it gets; without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from station.store.rows import RecordRow
    from station.store.search import Box


@dataclass(frozen=True, slots=True)
class MapWindow:
    """Part of a map, and a time."""

    boxes: tuple[Box, ...]
    """Two across the 180th meridian."""
    since_us: int
    """When a read was made, or received if its time is unknown."""
    until_us: int


@dataclass(frozen=True, slots=True)
class PlacedRead:
    """Where and when a read was made."""

    unit: str
    record_id: bytes
    received_us: int
    made_us: int
    lat_e7: int
    lon_e7: int


@dataclass(frozen=True, slots=True)
class PlacedReads:
    """The latest reads of a window."""

    reads: list[PlacedRead]
    """The latest first."""
    complete_since_us: int | None
    """All reads of the window from this time on are there; None if all of the window are."""


@dataclass(frozen=True, slots=True)
class UnitSeen:
    """What is known of a unit without its records."""

    unit: str
    agency: str
    """By its latest record; empty if there was none."""
    state: str
    """Latest status; ``?`` if there was none."""
    reason: str
    seen_us: int | None
    """When it last sent something itself."""


@dataclass(frozen=True, slots=True)
class LastPlaces:
    """The units, and the latest records that say where each was."""

    units: list[UnitSeen]
    records: list[RecordRow]
    """At most one of a unit and type."""

"""What hits are searched by, and what a search returns; without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from station.store.rows import RecordRow
    from station.store.search import Box

HitPlace = tuple[int, str, bytes]
"""Time, unit and id of a found hit: a search goes on after it."""


@dataclass(frozen=True, slots=True)
class HitSearch:
    """Every condition must be met; None and empty ones always are."""

    list_id: str | None = None
    list_owner: str | None = None
    unit: str | None = None
    states: tuple[str, ...] = ()
    """Any of these, of :data:`station.store.hit_state.STATES`."""
    outcome: str | None = None
    reason: str | None = None
    since_us: int | None = None
    """When it was made, or received if its time is unknown."""
    until_us: int | None = None
    boxes: tuple[Box, ...] = ()
    """Within any of these."""
    ascending: bool = False
    """The oldest first."""


@dataclass(frozen=True, slots=True)
class HitState:
    """What became of one hit."""

    unit: str
    hit_id: bytes
    agency: str
    made_us: int
    list_id: str
    list_name: str
    list_owner: str
    list_version: int
    priority: str
    state: str
    reason: str
    """Code of the reason why it was rejected; empty if it was not."""
    outcome: str
    """Code; empty if there is none."""
    lat_e7: int | None
    lon_e7: int | None
    error_cm: int | None

    @property
    def place(self) -> HitPlace:
        """Where a search goes on."""
        return self.made_us, self.unit, self.hit_id


@dataclass(frozen=True, slots=True)
class HitRecords:
    """The records of one hit, in the order of their sequence numbers."""

    state: HitState
    stages: tuple[RecordRow, ...]
    decisions: tuple[RecordRow, ...]


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Number of hits of one list that ended alike."""

    list_id: str
    list_name: str
    list_owner: str
    state: str
    reason: str
    outcome: str
    count: int

"""The interface of deployment's tables; ``tests/contract/test_deployment_store.py`` is its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from station.asker import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from station.asker import Scope
    from station.deployment.hours import WorkedShift
    from station.deployment.incidents import IncidentRow
    from station.deployment.model import PlannedShift, Resources, Settings


@dataclass(frozen=True, slots=True)
class CoverageSum:
    """Coverage of one zone, unit or hour; of everything for the name ``*``."""

    name: str
    distance_m: int
    located_ms: int
    reads: int
    unlocated_ms: int = 0
    """Of everything only: without a position there is no zone."""
    periods: int = 0
    """As ``unlocated_ms``: number of messages."""
    jumps: int = 0
    """As ``unlocated_ms``."""


@dataclass(frozen=True, slots=True)
class CoveragePeriod:
    """A message of coverage (``coverage/1``)."""

    unit: str
    period_id: bytes
    shift_id: bytes | None
    ends_us: int
    """Its time; that of its receipt if it had none."""
    zones: tuple[tuple[str, int, int, int], ...]
    """Zone (empty: outside all), metres, milliseconds, reads."""
    distance_m: int
    located_ms: int
    unlocated_ms: int
    reads_unlocated: int
    jumps: int


MARGIN_US = 60_000_000
"""Time within which a worker commits what it has received."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the records of a type have been taken over."""

    received_us: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What was taken over from records, by id."""

    shifts: dict[bytes, WorkedShift]
    incidents: dict[bytes, IncidentRow]


@dataclass(frozen=True, slots=True)
class Kept:
    """Number of rows of one kind, and the time of the oldest."""

    kind: str
    rows: int
    first_us: int | None


class DeploymentStore(Protocol):
    """Stores people, places, plans, and what is taken over from records.  Writes are inside the store's transaction."""

    def resources(self) -> Resources:
        """Everyone and everything, by id."""

    def settings(self) -> Settings:
        """The agency's settings."""

    def put_settings(self, settings: Settings) -> None:
        """Replace them."""

    def put_resources(self, resources: Resources) -> None:
        """Add these, or replace those with the same ids."""

    def drop_resource(self, kind: str, name: str) -> bool:
        """Delete a person, zone, checkpoint, vehicle or equipment; False if there was none."""

    def shifts(
        self, since_us: int, until_us: int, *, badge: str | None = None, cancelled: bool = False
    ) -> list[PlannedShift]:
        """Shifts that overlap with a time, by start."""

    def shift(self, shift_id: str) -> PlannedShift | None:
        """A planned shift."""

    def put_shifts(self, shifts: Sequence[PlannedShift]) -> None:
        """Add or replace shifts."""

    def worked(self, since_us: int, until_us: int, *, badge: str | None = None) -> list[WorkedShift]:
        """Worked shifts that began in a time."""

    def add_worked(self, shifts: Sequence[WorkedShift]) -> None:
        """Keep the highest revision of each, by the unit that told of it first."""

    def add_coverage(self, periods: Sequence[CoveragePeriod]) -> int:
        """Add each period once; return how many were new."""

    def coverage(
        self,
        since_us: int,
        until_us: int,
        by: str,
        *,
        scope: Scope = EVERYTHING,
        zone: str | None = None,
    ) -> list[CoverageSum]:
        """Sums of the periods that ended in a time, by ``zone``, ``unit`` or ``hour`` (µs UTC as text)."""

    def add_incidents(self, rows: Sequence[IncidentRow]) -> None:
        """Keep the highest revision of each, by the unit that told of it first."""

    def incidents(self, since_us: int, until_us: int, *, scope: Scope = EVERYTHING) -> list[IncidentRow]:
        """Incidents of a time, the oldest first."""

    def incident(self, incident_id: bytes) -> IncidentRow | None:
        """One incident."""

    def was_received(self, unit: str, record_id: bytes) -> bool:
        """True if a record was ever received, also if it was deleted since."""

    def taken_over(self, shifts: Sequence[bytes], incidents: Sequence[bytes]) -> TakenOver:
        """Worked shifts and incidents by their ids."""

    def unrecorded(self) -> list[tuple[str, bytes]]:
        """Units and ids of worked shifts and incidents of which no record is here."""

    def floor_us(self) -> int:
        """Time before which nothing is taken over: it was deleted, while its record may be kept for longer."""

    def cursor(self, schema: str) -> Cursor | None:
        """How far a type has been taken over; None: not at all."""

    def move_cursor(self, schema: str, cursor: Cursor, *, was: Cursor | None) -> bool:
        """Remember it, unless it was changed meanwhile; False if it was."""

    def rewind(self, schemas: Collection[str], received_us: int) -> None:
        """Take types over again from a time on, at which records came after others with a later time.

        The clock of this machine was set back, or was wrong for a while.
        """

    def purge_class(self, before_us: int, retention: str | None) -> None:
        """Delete what was taken over from records of a class, None for all, made before a time."""

    def purge_plans(self, before_us: int) -> int:
        """Delete plans, hours, coverage and incidents before a time; return how many."""

    def kept(self) -> list[Kept]:
        """What there is of each kind."""

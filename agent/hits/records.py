"""Hits, and what officers decide about them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.hits.errors import HitRefusedError
from agent.hotlist.records import Match, Priority
from agent.records import Geotag, Picture, PlateText, TimeTag  # noqa: TC001 - pydantic reads saved hits
from protocol.wire.enums import DispositionAction, HitStage


def printed(text: str) -> str:
    """Return a text as it is recorded: what cannot be printed is a space, and spaces around it are left out."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


RANK = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}
"""Order of priorities, most important first."""


class HitState(StrEnum):
    """What has been decided about a hit."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    """Seen; not decided."""
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    """The final text does not match; nobody had decided."""
    EXPIRED = "expired"
    """Nobody decided in time, or there were too many."""


OPEN = frozenset({HitState.NEW, HitState.ACKNOWLEDGED})
"""States of hits that wait for a decision."""
DECIDED = frozenset({HitState.CONFIRMED, HitState.REJECTED})


@dataclass(frozen=True, slots=True)
class Checks:
    """What an officer compared with the pictures: True for equal, False for different, None for not compared."""

    characters: bool | None = None
    region: bool | None = None
    vehicle: bool | None = None

    @property
    def all_equal(self) -> bool:
        """True if all three were compared and are equal."""
        return self.characters is True and self.region is True and self.vehicle is True


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit from its alert to its outcome.  Changed by :mod:`agent.hits.machine` alone."""

    hit_id: bytes
    read_id: bytes
    """Id of the read, which follows when the plate is out of view."""
    camera: str
    camera_role: str
    t_mono_ns: int
    """Start of the exposure of the frame in the pictures."""
    plate: PlateText
    """The text so far, or the final one."""
    n_agreeing: int
    match: Match
    others: tuple[Match, ...] = ()
    stage: HitStage = HitStage.PREVIEW
    state: HitState = HitState.NEW
    alerted: bool = True
    """False if it was only recorded."""
    stale: bool = False
    """The list is older than allowed, or its age is unknown."""
    pictures: tuple[Picture, ...] = ()
    when: TimeTag | None = None
    """UTC of ``t_mono_ns``; None until the commit thread knows it."""
    where: Geotag | None = None
    checks: Checks = Checks()
    officer: str = ""
    """Badge of whoever decided."""
    reason: str = ""
    outcome: str = ""
    boot_id: bytes = b""
    """Boot of the monotonic times."""

    @property
    def priority(self) -> Priority:
        """Priority of the list."""
        return self.match.list.priority

    @property
    def is_open(self) -> bool:
        """True while it waits for a decision."""
        return self.state in OPEN

    @property
    def entry_key(self) -> tuple[str, str]:
        """List and entry: the same for each time that the vehicle is seen."""
        return self.match.list.list_id, self.match.entry.entry_id


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts."""

    badge: str = ""
    """Empty for the acknowledge button."""
    shift_id: bytes | None = None


NOBODY = Actor()


@dataclass(frozen=True, slots=True)
class Decision:
    """One act about one hit, as it is recorded.

    A confirmation cannot be constructed without an officer, all three checks, the confirming agency and its reference.
    """

    hit_id: bytes
    action: DispositionAction
    t_mono_ns: int
    actor: Actor = NOBODY
    checks: Checks = Checks()
    reason: str = ""
    confirming_agency: str = ""
    reference: str = ""
    outcome: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Raises HitRefusedError with code ``not_verified``."""
        if self.action is not DispositionAction.CONFIRMED:
            return
        if not self.checks.all_equal:
            raise HitRefusedError(
                "not_verified",
                "compare characters, region and vehicle with the pictures: all three must be equal to confirm a hit",
            )
        if not (self.actor.badge and printed(self.confirming_agency) and printed(self.reference)):
            raise HitRefusedError(
                "not_verified",
                "a hit is confirmed only with an officer, the agency that confirmed the entry, and its reference",
            )

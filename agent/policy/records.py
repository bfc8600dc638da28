"""What the policy answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from protocol.policy.pack import Overview

if TYPE_CHECKING:
    from protocol.policy.pack import VehicleBox

NON_HIT, HIT, HASHED = "nonhit", "hit", "hash"
"""Retention classes."""


class PauseReason(StrEnum):
    """Why nothing is recorded at a moment."""

    BUTTON = "button"
    """The driver's privacy button."""
    FENCE = "fence"
    """In a do-not-record fence, or not certainly outside."""
    HOURS = "hours"
    POSITION = "position"
    """There are fences, and the position is unknown."""
    TIME = "time"
    """There are hours without recording, and the time is unknown."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is recorded."""

    reason: PauseReason
    name: str = ""
    """Name of the fence or of the hours."""

    def __str__(self) -> str:
        return f"{self.reason} {self.name}".rstrip()


class Kept(StrEnum):
    """What is kept of a read."""

    FULL = "full"
    HASH = "hash"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pictures of a read may show."""

    plate: bool = True
    overview: Overview = Overview.WHOLE
    vehicle: VehicleBox | None = None

    @property
    def is_masked(self) -> bool:
        """True if overviews show the vehicle alone."""
        return self.overview is Overview.VEHICLE


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a read, and why."""

    kept: Kept
    policy_class: str
    policy: str
    """Id and version; empty for none."""
    why: str
    """For people."""
    expires_utc_us: int | None = None
    """None if nothing is kept, or while the time of the read is unknown."""
    period_s: int | None = None
    """Counted from the read; None if nothing is kept."""
    shown: Shown = Shown()
    pause: Pause | None = None
    """Why it was not to be recorded at its place or time."""


@dataclass(frozen=True, slots=True)
class Where:
    """A position with its one-sigma bound; all None if it is unknown."""

    lat_deg: float | None = None
    lon_deg: float | None = None
    error_m: float | None = None

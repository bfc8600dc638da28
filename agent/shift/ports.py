"""What the state machine of shifts needs from outside, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.audit import Auditor
    from protocol.wire.registry import RecordBody


@dataclass(frozen=True, slots=True)
class DutyConfig:
    """Settings."""

    unit: str
    session_idle_s: float = 900.0
    """A session ends after this time without a command, while the vehicle stands; the shift goes on."""
    idle_sign_off_s: float = 4 * 3600.0
    """A shift ends after this time without a command and without movement."""
    resume_s: float = 1800.0
    """After a restart a shift ends if its officer does not sign on again within this time."""
    draft_days: float = 30.0
    """Drafts of incidents that nobody touched for this long are sent unanswered, and deleted."""
    coverage_s: float = 900.0
    """Length of a period of coverage."""
    save_s: float = 60.0
    """Hours and coverage are saved this often: a power cut loses no more of them."""


@dataclass(frozen=True, slots=True)
class DutyLimits:
    """What the policy in force allows here and now."""

    track_every_s: float | None = None
    """Seconds between points of the track; None: no track."""
    idle_s: float | None = None
    """Seconds without activity after which an officer is signed off; None: as configured."""


@dataclass(frozen=True, slots=True)
class DutyPorts:
    """Ports."""

    save: Callable[[bytes], None]
    """Store the state durably; keeps trying later if it cannot, and never raises OSError."""
    send: Callable[[str, RecordBody], None]
    """Hand a record over for the outbox, with its key; :meth:`Duty.stored` is called when it is there."""
    random_bytes: Callable[[int], bytes]
    auditor: Auditor


@dataclass(frozen=True, slots=True)
class OnDuty:
    """An officer who is signed on."""

    badge: str
    name: str
    role: str
    rights: frozenset[str]
    """Of ``officer``, ``supervisor``, ``technician``."""
    shift_id: bytes

    def may(self, right: str) -> bool:
        """True if the roster gives this right."""
        return right in self.rights

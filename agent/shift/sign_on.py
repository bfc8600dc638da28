"""Sign-on: who may, with which assignment.  Checks only; :mod:`agent.shift.duty` has the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.shift.errors import ShiftError
from agent.shift.shifts import Assignment

if TYPE_CHECKING:
    from agent.shift.moment import Moment
    from protocol.roster.envelope import SignedRoster
    from protocol.roster.roster import Officer, Roster

WRONG = "badge or PIN is wrong"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is counted already, and whose PIN is to be compared."""

    badge: str
    pin_hash: str | None
    """None for an unknown badge or an officer without a PIN; compared all the same."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the officer chose at sign-on."""

    role: str = ""
    crew: tuple[str, ...] = ()
    vehicle: str = ""
    zone: str = ""
    checkpoint: str = ""
    task: str = ""
    equipment: tuple[str, ...] = ()


def usable(roster: SignedRoster | None, now: Moment) -> SignedRoster:
    """Return the roster; raises ShiftError if there is none, or it has expired."""
    if roster is None:
        raise ShiftError("no_roster", "this unit has no roster: offer one with `patrol-lpr roster offer`")
    if roster.has_expired(now.utc_s):
        raise ShiftError("roster_expired", f"version {roster.version} of the roster has expired: offer a new one")
    return roster


def training_of(officer: Officer, roster: SignedRoster, now: Moment) -> str:
    """Return ``valid``, ``none`` or ``unchecked``; raises ShiftError if the training has expired.

    While the time is unknown it is at least the time as of which the roster was made.
    """
    expires_s = officer.training_expires_s
    if expires_s is None:
        return "none"
    known_s = roster.header.as_of_s if now.utc_s is None else now.utc_s
    if known_s >= expires_s:
        raise ShiftError("training_expired", "the training has expired: renew it, and have it in the next roster")
    return "unchecked" if now.utc_s is None else "valid"


def assignment_of(choices: Choices, officer: Officer, roster: Roster, unit: str) -> Assignment:
    """Check the choices against the roster; raises ShiftError naming what can be chosen."""
    for name, given, allowed in (
        ("role", choices.role, roster.roles),
        ("zone", choices.zone, tuple(zone.id for zone in roster.zones)),
        ("checkpoint", choices.checkpoint, tuple(place.id for place in roster.checkpoints)),
        ("task", choices.task, roster.tasks),
    ):
        if given and given not in allowed:
            raise ShiftError("unknown_choice", f"{name}: choose one of {', '.join(allowed) or 'none'}")
    vehicle = choices.vehicle or unit
    if roster.vehicles and vehicle not in roster.vehicles:
        raise ShiftError("unknown_choice", f"vehicle: choose one of {', '.join(roster.vehicles)}")
    if unknown := [item for item in choices.equipment if roster.equipment and item not in roster.equipment]:
        raise ShiftError("unknown_choice", f"equipment: {unknown[0]} is not in the roster")
    for badge in choices.crew:
        if badge == officer.badge or roster.officer(badge) is None:
            raise ShiftError("unknown_choice", f"crew: {badge} is not another officer of the roster")
    return Assignment(
        role=choices.role or roster.roles[0] if roster.roles else "",
        crew=choices.crew,
        vehicle=vehicle,
        zone=choices.zone,
        checkpoint=choices.checkpoint,
        task=choices.task,
        equipment=choices.equipment,
    )

"""The roster: officers, zones, checkpoints, equipment, planned shifts, and the answers of incident forms.

It is made at the station and needed on units without a network, so it has everything that sign-on asks for.  PINs are
argon2id hashes with bounded costs: a roster must not make a unit use more memory or time than :mod:`agent.shift.pins`
allows.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from protocol.errors import RosterError
from protocol.mistakes import mistakes_of
from protocol.wire.records.incident import ANSWERS
from protocol.wire.records.shift import MAX_ACTIVITIES

FORMAT = 1
MAX_ROSTER_BYTES = 4 * 2**20
MAX_MEMORY_KIB, MAX_PASSES, MAX_LANES = 65_536, 8, 4
"""Maximum costs of a PIN's hash: 64 MiB, so that a sign-on fits beside the models on a board with 2 GiB."""
MIN_MEMORY_KIB = 19_456
"""Minimum of the OWASP Password Storage Cheat Sheet for argon2id, with at least two passes."""
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
_PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
_E7 = 10**7
_MIN_CORNERS = 3
_MIN_PASSES = 2

Badge = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,15}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=36, pattern=_PRINTABLE)]
LongName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_PRINTABLE)]
Seconds = Annotated[int, Field(ge=0, le=2**40)]
LatE7 = Annotated[int, Field(ge=-90 * _E7, le=90 * _E7)]
LonE7 = Annotated[int, Field(ge=-180 * _E7, le=180 * _E7)]


class Right(StrEnum):
    """What an officer may do on a unit."""

    OFFICER = "officer"
    """Sign on, work on hits and incidents."""
    SUPERVISOR = "supervisor"
    """Also lift lockouts."""
    TECHNICIAN = "technician"
    """Also aim and mask cameras."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Officer(_Model):
    """One person."""

    badge: Badge
    name: LongName
    rights: Annotated[
        tuple[Annotated[Right, Field(strict=False)], ...], Field(strict=False, min_length=1, max_length=3)
    ]
    pin: Annotated[str, Field(max_length=256)] | None = None
    """argon2id in PHC form; None: tokens only."""
    training_expires_s: Seconds | None = None
    """Seconds UTC from which on sign-on is refused; None: not checked."""

    @field_validator("pin")
    @classmethod
    def _bounded(cls, pin: str | None) -> str | None:
        if pin is not None:
            check_pin_hash(pin)
        return pin


class Zone(_Model):
    """An area: corners in order, without holes, not across the antimeridian."""

    id: Name
    name: LongName
    corners: Annotated[
        tuple[Annotated[tuple[LatE7, LonE7], Field(strict=False)], ...],
        Field(strict=False, min_length=_MIN_CORNERS, max_length=512),
    ]
    """Latitude and longitude, 1e-7 degrees."""

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        lons = [lon for _, lon in self.corners]
        if max(lons) - min(lons) > 180 * _E7:
            raise ValueError(f"zone {self.id!r} spans more than 180 degrees: split it at the antimeridian")
        return self


class Checkpoint(_Model):
    """A place with a name."""

    id: Name
    name: LongName
    lat_e7: LatE7
    lon_e7: LonE7


class PlannedShift(_Model):
    """A shift as planned; several may overlap."""

    id: Name
    badge: Badge
    starts_s: Seconds
    ends_s: Seconds
    vehicle: Annotated[str, Field(max_length=36, pattern=_PRINTABLE)] = ""
    """Empty: any."""
    zone: Annotated[str, Field(max_length=36, pattern=_PRINTABLE)] = ""
    checkpoint: Annotated[str, Field(max_length=36, pattern=_PRINTABLE)] = ""
    task: Annotated[str, Field(max_length=36, pattern=_PRINTABLE)] = ""
    overtime_class: Annotated[str, Field(max_length=16, pattern=_PRINTABLE)] = ""
    activities: Annotated[
        tuple[Annotated[tuple[Code, Annotated[int, Field(ge=0, le=604_800)]], Field(strict=False)], ...],
        Field(strict=False, max_length=16),
    ] = ()
    """Activity and its planned seconds."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends_s <= self.starts_s:
            raise ValueError(f"planned shift {self.id!r} ends before it starts")
        return self


_Codes = Annotated[tuple[Code, ...], Field(strict=False, max_length=64)]
_Activities = Annotated[tuple[Code, ...], Field(strict=False, min_length=1, max_length=MAX_ACTIVITIES)]
_Names = Annotated[tuple[Name, ...], Field(strict=False, max_length=256)]


class Roster(_Model):
    """The contents of the signed file; version, units and expiry are in its header."""

    format: int
    token_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Raw Ed25519 public key, in hexadecimal, that signs sign-on tokens; None: no tokens.  The key of the roster can
    so be kept offline."""
    officers: Annotated[tuple[Officer, ...], Field(strict=False, max_length=5_000)]
    zones: Annotated[tuple[Zone, ...], Field(strict=False, max_length=255)] = ()
    checkpoints: Annotated[tuple[Checkpoint, ...], Field(strict=False, max_length=256)] = ()
    vehicles: _Names = ()
    """Vehicles that may be chosen; empty: any text."""
    roles: _Codes = ("driver", "observer", "relief")
    tasks: _Codes = ("patrol",)
    equipment: _Names = ()
    activities: _Activities = ("patrol", "transport", "court", "report", "break", "training")
    """The first is the one with which a shift starts."""
    categories: _Codes = ("stolen-vehicle", "wanted-person", "amber", "other")
    outcomes: _Codes = ("recovered", "arrest", "citation", "released")
    contributions: _Codes = ("located", "identified", "corroborated", "misled")
    shifts: Annotated[tuple[PlannedShift, ...], Field(strict=False, max_length=20_000)] = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name, ids in (
            ("officer", [officer.badge for officer in self.officers]),
            ("zone", [zone.id for zone in self.zones]),
            ("checkpoint", [checkpoint.id for checkpoint in self.checkpoints]),
            ("planned shift", [shift.id for shift in self.shifts]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"a {name} is listed twice: {_first_double(ids)!r}")
        known = {officer.badge for officer in self.officers}
        if unknown := sorted({shift.badge for shift in self.shifts} - known):
            raise ValueError(f"a shift is planned for {unknown[0]!r}, who is not an officer of the roster")
        zones, checkpoints = {zone.id for zone in self.zones}, {place.id for place in self.checkpoints}
        for shift in self.shifts:
            if shift.zone not in {"", *zones} or shift.checkpoint not in {"", *checkpoints}:
                raise ValueError(
                    f"planned shift {shift.id!r} names a zone or checkpoint that is not in the roster"
                )
        return self

    def officer(self, badge: str) -> Officer | None:
        """Return an officer by badge."""
        return next((officer for officer in self.officers if officer.badge == badge), None)

    def planned(self, badge: str, now_s: float, *, margin_s: float = 3600) -> PlannedShift | None:
        """Return the officer's planned shift at this time, or the nearest within ``margin_s`` of it."""
        own = [
            shift
            for shift in self.shifts
            if shift.badge == badge and shift.starts_s - margin_s <= now_s < shift.ends_s + margin_s
        ]
        return min(own, key=lambda shift: _apart_s(shift, now_s), default=None)

    def answers(self, own: tuple[str, ...]) -> tuple[str, ...]:
        """Return the answers of a question of the roster, with those that every agency has."""
        return (*ANSWERS, *(answer for answer in own if answer not in ANSWERS))

    def canonical(self) -> bytes:
        """The bytes that are signed: the same roster is the same bytes."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()


def _apart_s(shift: PlannedShift, now_s: float) -> tuple[float, int]:
    return max(shift.starts_s - now_s, now_s - shift.ends_s, 0.0), shift.starts_s


def _first_double(ids: list[str]) -> str:
    return next(text for n, text in enumerate(ids) if text in ids[:n])


def check_pin_hash(text: str) -> None:
    """Raise ValueError unless this is an argon2id hash within the bounds."""
    found = _PHC.fullmatch(text)
    if found is None:
        raise ValueError("a PIN must be an argon2id hash; make one with `patrol-lpr roster pin`")
    memory_kib, passes, lanes = map(int, found.groups())
    if not (
        MIN_MEMORY_KIB <= memory_kib <= MAX_MEMORY_KIB
        and _MIN_PASSES <= passes <= MAX_PASSES
        and 1 <= lanes <= MAX_LANES
    ):
        raise ValueError(
            f"costs of a PIN's hash must be m={MIN_MEMORY_KIB}..{MAX_MEMORY_KIB}, t={_MIN_PASSES}..{MAX_PASSES}, "
            f"p=1..{MAX_LANES}; make it with `patrol-lpr roster pin`"
        )


def parse_roster(data: bytes) -> Roster:
    """Parse verified bytes; raises RosterError for a newer format and anything that this version would not write."""
    roster = draft_roster(_json(data))
    if roster.canonical() != data:
        raise RosterError("the roster is not in the canonical form of format 1")
    return roster


def draft_roster(told: Any) -> Roster:
    """Check a roster given as plain values, such as those of a TOML file; raises RosterError listing the errors."""
    found = told.get("format") if isinstance(told, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise RosterError(f"the roster is of format {found}, this version reads {FORMAT}: update this unit first")
    try:
        roster = Roster.model_validate(told)
    except ValidationError as error:
        # Without the values: they include the hashes of PINs.
        wrong = mistakes_of(error, "roster", with_values=False)
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""  # noqa: PLR2004 - as many as a person reads
        raise RosterError(f"the roster is invalid: {'; '.join(wrong[:5])}{more}") from None
    if roster.format != FORMAT:
        raise RosterError(f"the roster is of format {roster.format}, this version reads {FORMAT}")
    return roster


def _json(data: bytes) -> Any:
    if len(data) > MAX_ROSTER_BYTES:
        raise RosterError(f"the roster has {len(data)} bytes, at most {MAX_ROSTER_BYTES} are read")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RosterError(f"the roster is not JSON in UTF-8: {error!s:.120}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")

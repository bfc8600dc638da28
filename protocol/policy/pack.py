"""The contents of a policy pack, and the checks that it does not contradict itself.

People write TOML; what is signed is canonical JSON.  Every figure of law or agency policy is in a pack, none in code.
A period cannot be unlimited.
"""

from __future__ import annotations

import json
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from protocol.errors import PolicyError
from protocol.mistakes import mistakes_of
from protocol.policy.polygons import Polygon, make_polygon
from protocol.written import WrittenFileError, parse_toml

FORMAT = 1
MAX_PACK_BYTES = 2**20
MAX_PERIOD_S = 3660 * 86_400
"""About ten years: a typing mistake must not become "for ever"."""
_MAX_CORNERS = 16_384
"""In one pack."""
_MAX_ERRORS = 20
_DAY_MIN = 24 * 60
_WEEK_MIN = 7 * _DAY_MIN
_PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Name = Annotated[str, StringConstraints(min_length=1, max_length=36, pattern=_PRINTABLE)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_PRINTABLE)]
Line = Annotated[str, StringConstraints(max_length=300, pattern=_PRINTABLE)]
Clock = Annotated[str, StringConstraints(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$")]
Degrees = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Corners = Annotated[tuple[tuple[Degrees, Longitude], ...], Field(max_length=1024)]


class Keep(StrEnum):
    """What is kept at all."""

    EVERY_READ = "every_read"
    HITS_ONLY = "hits_only"
    KEYED_HASH = "keyed_hash"
    """Hits, and of other reads a keyed hash in place of the plate."""
    NOTHING = "nothing"
    """Neither reads nor hits: no hit is raised."""


class Overview(StrEnum):
    """What the overview may show."""

    WHOLE = "whole"
    VEHICLE = "vehicle"
    NONE = "none"


class Partial(StrEnum):
    """For which lists wildcards and partial plates may be used."""

    NEVER = "never"
    HIGH_PRIORITY = "high_priority"
    ALWAYS = "always"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))


class Period(_Table):
    """A length of time, in one unit."""

    minutes: Annotated[int, Field(strict=True, ge=1)] | None = None
    hours: Annotated[int, Field(strict=True, ge=1)] | None = None
    days: Annotated[int, Field(strict=True, ge=1)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(part is not None for part in (self.minutes, self.hours, self.days)) != 1:
            raise ValueError("give one of minutes, hours and days")
        if self.seconds > MAX_PERIOD_S:
            raise ValueError(f"at most {MAX_PERIOD_S // 86_400} days: unlimited retention is not possible")
        return self

    @property
    def seconds(self) -> int:
        """In seconds."""
        return (self.minutes or 0) * 60 + (self.hours or 0) * 3_600 + (self.days or 0) * 86_400

    def __str__(self) -> str:
        for unit, value in (("minute", self.minutes), ("hour", self.hours), ("day", self.days)):
            if value is not None:
                return f"{value} {unit}{'' if value == 1 else 's'}"
        raise AssertionError


class Retain(_Table):
    """How long records of each class are kept at most, from the moment of the read."""

    nonhit: Period | None = None
    hit: Period | None = None
    hash: Period | None = None
    """Reads of which only a keyed hash is kept."""


class VehicleBox(_Table):
    """The vehicle in the picture, estimated from its plate: distances from the plate's box in widths of the plate."""

    side: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
    above: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
    """A small value leaves out the windscreen, and with it the people behind it."""
    below: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]


class Pictures(_Table):
    """What kept pictures may show."""

    plate: Annotated[bool, Field(strict=True)]
    overview: Overview
    vehicle: VehicleBox | None = None

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if (self.overview is Overview.VEHICLE) != (self.vehicle is not None):
            raise ValueError('the table "vehicle" belongs to overview = "vehicle", and to nothing else')
        return self


class Fence(_Table):
    """A place where nothing is recorded."""

    name: Name
    polygon: Corners

    @cached_property
    def shape(self) -> Polygon:
        """The polygon; raises ValueError for one that is none."""
        return make_polygon(self.polygon)


class OffHours(_Table):
    """A time of the week at which nothing is recorded."""

    name: Name
    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Field(min_length=1)]
    """Days on which it begins."""
    start: Annotated[Clock, Field(alias="from")]
    end: Annotated[Clock, Field(alias="to")]
    """The same or an earlier time of day is on the next day."""
    zone: Name
    """IANA name of the time zone, such as ``America/New_York``."""

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{zone!r} is not a time zone that this system knows") from None
        return zone

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Begin and end in minutes since Monday 00:00 local time; ends may be in the week after."""
        start, end = _minutes(self.start), _minutes(self.end)
        length = end - start if end > start else end - start + _DAY_MIN
        return tuple(
            (DAYS.index(day) * _DAY_MIN + start, DAYS.index(day) * _DAY_MIN + start + length) for day in self.days
        )

    def covers(self, minute_of_week: int) -> bool:
        """True if nothing is recorded in this minute of the local week."""
        return any(a <= minute_of_week < b or a <= minute_of_week + _WEEK_MIN < b for a, b in self.spans)


class ListRules(_Table):
    """Which hot lists may raise hits."""

    max_age_hours: Annotated[int, Field(strict=True, ge=1)]
    """A list that is older is stale: its hits say so, and above ``stop_age_hours`` it raises none."""
    stop_age_hours: Annotated[int, Field(strict=True, ge=1)]
    partial: Partial
    owners: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=64)] = ("*",)
    retained_reads: Annotated[bool, Field(strict=True)] = False
    """True if the station may compare a list with reads that were kept by this policy before the list came."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.stop_age_hours < self.max_age_hours:
            raise ValueError("stop_age_hours is below max_age_hours: a list would stop before it is stale")
        return self


class EntryRules(_Table):
    """Who may watch for a plate by typing it on the unit."""

    roles: Annotated[tuple[Name, ...], Field(max_length=16)]
    """Empty: nobody."""
    retain: Period | None = None
    """How long such an entry is watched for at most."""
    reason: Annotated[bool, Field(strict=True)] = True

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if bool(self.roles) != (self.retain is not None):
            raise ValueError("roles and retain belong together: entries of an officer must end")
        return self


class Alarms(_Table):
    """The alarm budget."""

    max_false_per_1000: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
    """Expected false alarms per 1,000 innocent vehicles and list; a rule above it is tightened or refused."""


class Session(_Table):
    """An officer's session."""

    idle: Period
    """Signed off without activity."""


class Track(_Table):
    """The vehicle's own track."""

    every_s: Annotated[int, Field(strict=True, ge=0, le=3600)]
    """Seconds between points; 0: no track is recorded."""


class Source(_Table):
    """Where a figure of the pack is from."""

    figure: Name
    """Its key, such as ``retain.nonhit``."""
    verified: Annotated[bool, Field(strict=True)]
    """True if it was seen in the cited text itself, False if in a summary; either way to be compared before use."""
    text: Line
    url: Line = ""


class PolicyPack(_Table):
    """One policy."""

    format: Annotated[int, Field(strict=True, ge=1, le=FORMAT)] = FORMAT
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,35}$")]
    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
    title: Line
    agencies: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=64)] = ("*",)
    """Agencies, or patterns with ``*`` and ``?``, whose units it is for."""
    areas: Annotated[tuple[Corners, ...], Field(max_length=64)] = ()
    """Polygons where it holds; none: everywhere."""
    keep: Keep
    position_sigmas: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)]
    """Fences and areas are checked with this many times the position's one-sigma error."""
    retain: Retain = Retain()
    pictures: Pictures
    fences: Annotated[tuple[Fence, ...], Field(max_length=512)] = ()
    off_hours: Annotated[tuple[OffHours, ...], Field(max_length=64)] = ()
    lists: ListRules
    entries: EntryRules
    alarms: Alarms
    session: Session
    track: Track
    sources: Annotated[tuple[Source, ...], Field(max_length=64)] = ()

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        problems = [*self._of_retention(), *self._of_polygons(), *self._of_hours(), *self._of_sources()]
        if problems:
            raise ValueError("; ".join(problems[:_MAX_ERRORS]))
        return self

    @property
    def name(self) -> str:
        """Id and version, as records have it."""
        return f"{self.id}/{self.version}"

    @cached_property
    def shapes(self) -> tuple[Polygon, ...]:
        """The polygons of ``areas``."""
        return tuple(make_polygon(area) for area in self.areas)

    def is_for(self, agency: str) -> bool:
        """True if an agency's units may use it."""
        return any(fnmatchcase(agency, pattern) for pattern in self.agencies)

    def canonical(self) -> bytes:
        """The bytes that are signed: the same pack is the same bytes."""
        told = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return json.dumps({**told, "format": self.format}, sort_keys=True, separators=(",", ":")).encode("ascii")

    def _of_retention(self) -> list[str]:
        wanted = {
            Keep.EVERY_READ: {"hit", "nonhit"},
            Keep.HITS_ONLY: {"hit"},
            Keep.KEYED_HASH: {"hit", "hash"},
            Keep.NOTHING: set(),
        }[self.keep]
        given = {name for name in Retain.model_fields if getattr(self.retain, name) is not None}
        problems = [f'keep = "{self.keep}" needs retain.{name}' for name in sorted(wanted - given)]
        problems += [
            f'keep = "{self.keep}" contradicts retain.{name}: nothing of it is kept'
            for name in sorted(given - wanted)
        ]
        hit, nonhit = self.retain.hit, self.retain.nonhit
        if hit is not None and nonhit is not None and hit.seconds < nonhit.seconds:
            problems.append("retain.hit is shorter than retain.nonhit: hits would be deleted before other reads")
        return problems

    def _of_polygons(self) -> list[str]:
        problems = []
        names = [fence.name for fence in self.fences]
        problems += [
            f"two fences are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})
        ]
        if sum(len(fence.polygon) for fence in self.fences) + sum(map(len, self.areas)) > _MAX_CORNERS:
            return [*problems, f"the polygons have more than {_MAX_CORNERS} corners: simplify them"]
        polygons = [(f"fence {fence.name!r}", fence.polygon) for fence in self.fences]
        polygons += [(f"area {number}", area) for number, area in enumerate(self.areas, 1)]
        for name, corners in polygons:
            try:
                make_polygon(corners)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        return problems

    def _of_hours(self) -> list[str]:
        names = [hours.name for hours in self.off_hours]
        problems = [f"two off_hours are called {n!r}" for n in sorted({n for n in names if names.count(n) > 1})]
        zones = {hours.zone for hours in self.off_hours}
        # In different zones the same minute is not the same; then no answer is attempted.
        if len(zones) == 1 and all(any(h.covers(m) for h in self.off_hours) for m in range(_WEEK_MIN)):
            problems.append('off_hours cover the whole week: say keep = "nothing" instead')
        return problems

    def _of_sources(self) -> list[str]:
        told = self.model_dump(mode="json", by_alias=True)
        return [
            f"sources: the pack has no {source.figure!r}"
            for source in self.sources
            if _lookup(told, source.figure) is None
        ]


def pack_of_toml(text: str, source: str) -> PolicyPack:
    """Parse what people write.  Raises PolicyError listing every error with its key."""
    try:
        told = parse_toml(text)
    except WrittenFileError as error:
        raise PolicyError(f"{source}: {error}") from error
    return _checked(told, source)


def parse_pack(data: bytes) -> PolicyPack:
    """Parse verified contents of a signed file; raises PolicyError for anything that this version would not write."""
    if len(data) > MAX_PACK_BYTES:
        raise PolicyError(f"the policy has {len(data)} bytes, at most {MAX_PACK_BYTES} are read")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"the policy is not JSON: {error!s:.120}") from error
    found = told.get("format") if isinstance(told, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise PolicyError(f"the policy is of format {found}, this version reads {FORMAT}: update first")
    pack = _checked(told, "policy")
    if pack.canonical() != data:
        raise PolicyError("the policy is not in its canonical form")
    return pack


def strict_pack() -> PolicyPack:
    """Return the policy that holds while there is no other: ``strict.toml`` beside this file."""
    return pack_of_toml(
        files("protocol.policy").joinpath("strict.toml").read_text(encoding="utf-8"), "strict.toml"
    )


def _checked(told: Any, source: str) -> PolicyPack:
    try:
        return PolicyPack.model_validate(told)
    except ValidationError as error:
        lines = [f"  {line}" for line in mistakes_of(error, "policy")[:_MAX_ERRORS]]
        raise PolicyError(f"{source}: the policy is refused:\n" + "\n".join(lines)) from None


def _lookup(told: Any, path: str) -> Any:
    for part in path.split("."):
        told = told.get(part) if isinstance(told, dict) else None
    return told


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)

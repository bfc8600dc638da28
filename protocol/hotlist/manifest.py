"""The signed manifest of a hot list: whose it is, how new, for whom, and how it may raise alarms."""

from __future__ import annotations

import hashlib
import json
import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocol.errors import HotlistError
from protocol.mistakes import mistakes_of

FORMAT = 1
MAX_MANIFEST_BYTES = 64 * 1024
MAX_ROWS = 8_000_000
"""Rows of one list.  A larger one is divided, for example by priority."""
MAX_PATTERNS = 20_000
MAX_SECTION_BYTES = 2**32 - 1
MAX_VERSION = 2**31 - 1
_MAX_POLYGONS, _MAX_CORNERS = 16, 64


class Kind(StrEnum):
    """What a package holds."""

    FULL = "full"
    DELTA = "delta"
    """What changed since one full package."""


class ListPriority(StrEnum):
    """How a match of the list is announced."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class RegionRule(StrEnum):
    """Which matches a rule reports, by the comparison of the regions."""

    ANY = "any"
    NOT_DIFFERENT = "not_different"
    """Equal or unknown."""
    EQUAL = "equal"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Text = Annotated[str, Field(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
_ListId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,35}$")]
_Micros = Annotated[int, Field(ge=0, lt=2**53)]
_E4 = Annotated[int, Field(ge=0, le=10_000)]
_Minute = Annotated[int, Field(ge=0, le=1440)]
_Lat = Annotated[int, Field(ge=-90_000_000, le=90_000_000)]
_Lon = Annotated[int, Field(ge=-180_000_000, le=180_000_000)]
_Corner = Annotated[tuple[_Lat, _Lon], Field(strict=False)]


class RuleTerms(_Record):
    """When one rule reports a match, and how often it is expected to be wrong."""

    enabled: bool = True
    regions: Annotated[RegionRule, Field(strict=False)] = RegionRule.ANY
    min_probability_e4: _E4 = 0
    """Probability that the read is the listed plate, at least."""
    alarms_per_million: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Expected matches of a million cars that are not listed, computed at the import."""


class Rules(_Record):
    """The terms of each rule."""

    exact: RuleTerms = RuleTerms()
    approximate: RuleTerms = RuleTerms(min_probability_e4=1000)
    patterns: RuleTerms = RuleTerms(min_probability_e4=5000)

    @property
    def alarms_per_million(self) -> int:
        """The sum over the rules that are on."""
        return sum(
            terms.alarms_per_million for terms in (self.exact, self.approximate, self.patterns) if terms.enabled
        )


class Window(_Record):
    """A span of a day in which the list is in force; one that ends before it begins runs over midnight."""

    days: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(strict=False, min_length=1, max_length=7)]
    """Days on which it begins; 0 is Monday."""
    from_minute: _Minute
    to_minute: _Minute


class Section(_Record):
    """A part of the package; its bytes follow the manifest in the order of the sections."""

    name: Annotated[str, Field(pattern=r"^[a-z]{1,16}$")]
    size: Annotated[int, Field(ge=0, le=MAX_SECTION_BYTES)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


FULL_SECTIONS = ("keys", "refs", "starts", "blocks", "patterns")
DELTA_SECTIONS = ("removed", *FULL_SECTIONS)


class Settings(_Record):
    """What a person decides about a list."""

    list_id: _ListId
    name: _Name
    owner: _Name
    """The organisation that answers for the entries."""
    source: _Text = ""
    """Where the entries come from, such as the name of an extract."""
    agencies: Annotated[tuple[_Name, ...], Field(strict=False, min_length=1, max_length=64)]
    """Names or patterns of the agencies whose units may use it."""
    priority: Annotated[ListPriority, Field(strict=False)] = ListPriority.MEDIUM
    sound: bool = True
    lamp: bool = True
    jurisdiction: _Text = ""
    timezone: _Text = "UTC"
    schedule: Annotated[tuple[Window, ...], Field(strict=False, max_length=32)] = ()
    """Empty: always."""
    area: Annotated[
        tuple[Annotated[tuple[_Corner, ...], Field(strict=False, min_length=3, max_length=_MAX_CORNERS)], ...],
        Field(strict=False, max_length=_MAX_POLYGONS),
    ] = ()
    """Polygons of corners (latitude, longitude) in millionths of a degree; empty: everywhere."""
    min_confidence_e4: _E4 = 0
    """Minimum evidence: confidence of the read's text."""


class Manifest(_Record):
    """The manifest."""

    format: int
    settings: Settings
    rules: Rules = Rules()
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    """Rises with every package of a list."""
    kind: Annotated[Kind, Field(strict=False)]
    base_version: Annotated[int, Field(ge=0, le=MAX_VERSION)] = 0
    base_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of a delta: version and digest of the full package it changes."""
    as_of_utc_us: _Micros
    """Time of the source's data."""
    expires_utc_us: _Micros | None = None
    rows: Annotated[int, Field(ge=0, le=MAX_ROWS)]
    """Plates without wildcards after this package is applied."""
    carried_rows: Annotated[int, Field(ge=0, le=MAX_ROWS)]
    """Of these, rows in this package."""
    carried_records: Annotated[int, Field(ge=0, le=4 * MAX_ROWS)]
    """Entries in the blocks of this package; a row refers to one of them."""
    removed_rows: Annotated[int, Field(ge=0, le=MAX_ROWS)] = 0
    patterns: Annotated[int, Field(ge=0, le=MAX_PATTERNS)] = 0
    budget_per_million: Annotated[int, Field(ge=0, le=10**9)] = 0
    """The alarm budget that was in force at the import."""
    accepted_by: _Text = ""
    """Who accepted an unusual change of size or an exceeded budget."""
    note: _Text = ""
    sections: Annotated[tuple[Section, ...], Field(strict=False, min_length=5, max_length=6)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        is_delta = self.kind is Kind.DELTA
        if tuple(section.name for section in self.sections) != (DELTA_SECTIONS if is_delta else FULL_SECTIONS):
            raise ValueError(f"the sections of a {self.kind.value} package are missing or in another order")
        if is_delta != bool(self.base_version) or is_delta != bool(self.base_digest):
            raise ValueError("a delta names the full package it changes, a full package names none")
        if is_delta and self.base_version >= self.version:
            raise ValueError("a delta is newer than the full package it changes")
        if not is_delta and (self.carried_rows != self.rows or self.removed_rows):
            raise ValueError("a full package holds all rows of the list and removes none")
        if self.expires_utc_us is not None and self.expires_utc_us <= self.as_of_utc_us:
            raise ValueError("the list expires before the time of its data")
        return self

    @property
    def entries(self) -> int:
        """Entries of the list after this package."""
        return self.rows + self.patterns

    @property
    def payload_bytes(self) -> int:
        """Bytes of all sections."""
        return sum(section.size for section in self.sections)

    def canonical(self) -> bytes:
        """The bytes that are signed: the same manifest is the same bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode("ascii")

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which has the hashes of everything else."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def offset_of(self, name: str) -> int:
        """Offset of a section from the first one."""
        at = 0
        for section in self.sections:
            if section.name == name:
                return at
            at += section.size
        raise KeyError(name)

    def section(self, name: str) -> Section:
        """Return a section by its name."""
        return next(section for section in self.sections if section.name == name)


def parse_manifest(data: bytes) -> Manifest:
    """Parse verified bytes; raises HotlistError for a newer format and anything that this version would not write."""
    try:
        told = json.loads(data)
        found = told.get("format") if isinstance(told, dict) else None
    except (ValueError, RecursionError) as error:
        raise HotlistError(f"the manifest of the list is not JSON: {error}") from error
    if isinstance(found, int) and found > FORMAT:
        raise HotlistError(f"the list is of format {found}, this version reads {FORMAT}: update the unit first")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise HotlistError(f"the manifest of the list is invalid: {explain(error)}") from None
    if manifest.format != FORMAT or manifest.canonical() != data:
        raise HotlistError("the manifest of the list is not in the canonical form of format 1")
    return manifest


def explain(error: ValidationError) -> str:
    """Return what is wrong, on one line."""
    return "; ".join(mistakes_of(error, "manifest", with_values=False)[:5])


def refuse_unless_fits(
    manifest: Manifest, *, agency: str, now_utc_us: int | None, floor: int, max_alarms_per_million: int | None
) -> None:
    """Raise HotlistError unless a unit of this agency may put the package in force now.

    ``floor`` is the highest version of the list that was ever in force here; ``now_utc_us`` is None while the unit
    does not know the time.
    """
    settings = manifest.settings
    if not any(fnmatchcase(agency, pattern) for pattern in settings.agencies):
        raise HotlistError(
            f"list {settings.list_id} is for {', '.join(settings.agencies)}, this unit belongs to {agency}"
        )
    if manifest.version <= floor:
        raise HotlistError(
            f"list {settings.list_id}: version {manifest.version} is not above {floor}, which was in force here: "
            "a list cannot go back; sign a higher version"
        )
    if now_utc_us is not None and manifest.expires_utc_us is not None and now_utc_us >= manifest.expires_utc_us:
        raise HotlistError(f"list {settings.list_id}: version {manifest.version} has expired: get a newer one")
    alarms = manifest.rules.alarms_per_million
    if max_alarms_per_million is not None and alarms > max_alarms_per_million:
        raise HotlistError(
            f"list {settings.list_id}: {alarms / 1000:g} false alarms per 1,000 cars are expected, the policy allows "
            f"{max_alarms_per_million / 1000:g}: tighten its rules"
        )


def is_list_id(text: str) -> bool:
    """True for an id that a list may have."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,35}", text) is not None

"""What a person says about a list: a TOML file with its settings, its file's form, its columns and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocol.errors import HotlistError
from protocol.hotlist.manifest import ListPriority, RegionRule, Settings, explain
from protocol.written import WrittenFileError, parse_toml, read_written

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

_E4, _E6 = 10_000, 1_000_000
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MAX_PLAN_BYTES = 2**20
FIELD_NAMES = (
    "plate", "region", "entry_id", "reason", "make", "model", "colour", "year", "note", "callback", "expires",
)  # fmt: skip
"""Fields that a column may be mapped to."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowTable(_Table):
    """A span of a day."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = _DAYS  # type: ignore[assignment]
    begin: Annotated[str, Field(alias="from", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, Field(alias="to", pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]


class ListTable(_Table):
    """``[list]``: whose it is, for whom, and how it is announced."""

    id: str
    name: str
    owner: str
    source: str = ""
    agencies: tuple[str, ...]
    priority: ListPriority = ListPriority.MEDIUM
    sound: bool = True
    lamp: bool = True
    jurisdiction: str = ""
    timezone: str = "UTC"
    schedule: tuple[WindowTable, ...] = ()
    area: tuple[tuple[tuple[float, float], ...], ...] = ()
    """Polygons of corners: latitude, longitude in degrees."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    expires_days: Annotated[float, Field(gt=0, le=3660)] | None = None
    """Days after the time of the data."""


class FileTable(_Table):
    """``[file]``: the form of the file; what is left out is found out."""

    format: Literal["csv", "fixed"] = "csv"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quote: Annotated[str, Field(max_length=1)] | None = None
    """Empty: nothing is quoted."""
    encoding: Literal["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"] | None = None
    header: bool | None = None


Span = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
ColumnRef = Annotated[int, Field(ge=1)] | Span | str


class RuleTable(_Table):
    """``[rules]``: what is matched, and the alarm budget."""

    budget_per_1000: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Expected false alarms per 1,000 innocent cars that each rule may have."""
    exact_regions: RegionRule = RegionRule.ANY
    approximate: bool = True
    min_probability: Annotated[float, Field(ge=0.001, le=1)] = 0.05
    approximate_regions: RegionRule = RegionRule.ANY
    pattern_regions: RegionRule = RegionRule.ANY
    pattern_probability: Annotated[float, Field(ge=0.001, le=1)] = 0.5
    max_change: Annotated[float, Field(ge=0)] = 0.2
    """Change of the number of entries, as a share, above which the list is held."""
    max_bad: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Share of bad rows above which the list is held."""


class Plan(_Table):
    """The whole file."""

    list: ListTable
    file: FileTable = FileTable()
    columns: dict[str, ColumnRef] = {}
    """Field: name or number (from 1) of the column, or first and last character (from 1) of a fixed-width file."""
    constants: dict[str, Annotated[str, Field(max_length=200)]] = {}
    """Field: text for all entries."""
    regions: dict[str, str] = {}
    """Text in the file: region, such as ``US-CA``."""
    default_region: str = ""
    """Region of entries without one."""
    rules: RuleTable = RuleTable()
    population: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Share of the cars on the road by region; empty: all US states alike."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name in (*self.columns, *self.constants):
            if name not in FIELD_NAMES:
                raise ValueError(f"{name!r} is not a field; fields are {', '.join(FIELD_NAMES)}")
        if self.file.format == "fixed":
            if "plate" not in self.columns:
                raise ValueError("a fixed-width file needs columns.plate = [first, last]")
            if not all(isinstance(ref, tuple) and ref[0] <= ref[1] for ref in self.columns.values()):
                raise ValueError("columns of a fixed-width file are [first, last], counted from 1")
        elif any(isinstance(ref, tuple) for ref in self.columns.values()):
            raise ValueError(
                "columns of a CSV file are names or numbers; set file.format = 'fixed' for [first, last]"
            )
        return self

    def settings(self) -> Settings:
        """Return what is signed; raises HotlistError."""
        told = self.list
        area = [[[round(lat * _E6), round(lon * _E6)] for lat, lon in polygon] for polygon in told.area]
        schedule = [
            {
                "days": [_DAYS.index(day) for day in window.days],
                "from_minute": _minutes(window.begin),
                "to_minute": _minutes(window.end),
            }
            for window in told.schedule
        ]
        try:
            return Settings.model_validate(
                {
                    "list_id": told.id, "name": told.name, "owner": told.owner, "source": told.source,
                    "agencies": list(told.agencies), "priority": told.priority, "sound": told.sound, "lamp": told.lamp,
                    "jurisdiction": told.jurisdiction, "timezone": told.timezone, "schedule": schedule, "area": area,
                    "min_confidence_e4": round(told.min_confidence * _E4),
                }
            )  # fmt: skip
        except ValidationError as error:
            raise HotlistError(f"[list]: {explain(error)}") from None


def load_plan(path: Path) -> Plan:
    """Read a plan; raises HotlistError that names every wrong key."""
    try:
        return Plan.model_validate(parse_toml(read_written(path, _MAX_PLAN_BYTES)))
    except WrittenFileError as error:
        raise HotlistError(f"{path}: {error}") from error
    except ValidationError as error:
        raise HotlistError(f"{path}: {explain(error)}") from None
    except OSError as error:
        raise HotlistError(f"{path}: cannot be read: {error.strerror}") from error


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)

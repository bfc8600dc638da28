"""Definitions of reports: which tables, which period, and what the agency has to check.  Data, not program."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.mistakes import mistakes_of
from protocol.written import WrittenFileError, parse_toml, read_written
from station.reports.lines import ReportError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

_Text = Annotated[str, Field(max_length=1_000)]
_Short = Annotated[str, Field(max_length=200)]
MONTHS = {"month": 1, "quarter": 3, "half-year": 6, "year": 12}
TABLES = (
    "reads", "purged", "unit_purges", "hits", "reasons", "outcomes", "ages", "owners", "look_ups", "unit_look_ups",
)  # fmt: skip
MAX_BYTES = 256 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Part):
    """What a law says, with its source."""

    text: _Text
    source: _Text
    verified: bool
    """True if the text was seen in the source; even then the agency compares it with the law in force."""


class Definition(_Part):
    """One report."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,35}$")]
    title: _Short
    agency: _Short = ""
    period: Annotated[str, Field(pattern="^(month|quarter|half-year|year)$")]
    timezone: _Short = "UTC"
    own_lists: tuple[_Short, ...] = ()
    """Owners of lists, as on the hits, that are the agency itself; all others are other agencies."""
    tables: tuple[_Short, ...] = TABLES
    figures: tuple[Figure, ...] = ()
    checks: tuple[_Text, ...] = ()
    """What the agency must check before it publishes the report."""

    @property
    def months(self) -> int:
        """Length of the period."""
        return MONTHS[self.period]


def parse_definition(text: str, name: str) -> Definition:
    """Parse TOML; raises ReportError, with ``name`` in its message."""
    try:
        found = Definition.model_validate(parse_toml(text))
    except WrittenFileError as error:
        raise ReportError(f"{name}: {error}") from error
    except ValidationError as error:
        raise ReportError(f"{name}: {mistakes_of(error, 'definition')[0]}") from error
    if unknown := sorted(set(found.tables) - set(TABLES)):
        raise ReportError(f"{name}: tables: {', '.join(unknown)} is unknown; known are {', '.join(TABLES)}")
    return found


def load_definition(path: Path) -> Definition:
    """Read a file; raises ReportError."""
    try:
        return parse_definition(read_written(path, MAX_BYTES), str(path))
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from error
    except WrittenFileError as error:
        raise ReportError(f"{path}: {error}") from error


def shipped_definitions() -> dict[str, Definition]:
    """Return the examples that come with the product, by id."""
    found = [
        parse_definition(file.read_text(encoding="utf-8"), file.name)
        for file in _examples().iterdir()
        if file.name.endswith(".toml")
    ]
    return {one.id: one for one in sorted(found, key=lambda one: one.id)}


def example_text(identity: str) -> str:
    """Return an example as it is written."""
    return _examples().joinpath(f"{identity}.toml").read_text(encoding="utf-8")


def _examples() -> Traversable:
    return resources.files("station.reports").joinpath("definitions")

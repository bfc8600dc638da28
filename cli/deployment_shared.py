"""What the verbs of ``patrol-lpr deployment`` have in common."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import operator
from cli.terminal import PlainConsole
from hw.output import text_output
from station.deployment.times import day_of, days_us, parse_day, week_of
from station.planning import Planning
from station.query.deployment import DeploymentQuery
from station.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from station.deployment.model import Settings
    from station.store import Store

DbOption = Annotated[str, typer.Option("--db", help="Database file of the station, or postgresql://...")]
WhyOption = Annotated[str, typer.Option("--purpose", help="Why: recorded in the audit trail with your name.")]
CaseOption = Annotated[str | None, typer.Option("--case", help="Case number, for the audit trail.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write CSV to a file; - is standard output.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page that prints to a file.")]
GeoOption = Annotated[
    Path | None, typer.Option("--geojson", help="Write GeoJSON to a file; - is standard output.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="First day, such as 2027-03-01; if omitted, this week's Monday.")
]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=3_660, help="Number of days.")]
DEFAULT_DB = "station.db"


@contextmanager
def opened(db: str) -> Iterator[Store]:
    """Open the station's database for one command."""
    store = open_store(db if db.startswith("postgres") else Path(db), must_exist=True)
    try:
        yield store
    finally:
        store.close()


def clock_us() -> int:
    """UTC."""
    return time.time_ns() // 1000


def query_of(store: Store, purpose: str = "", case: str | None = None) -> DeploymentQuery:
    """Queries of whoever runs the command."""
    return DeploymentQuery(store, operator(purpose, case), clock_us)


def planning_of(store: Store, purpose: str = "", case: str | None = None) -> Planning:
    """Commands of whoever runs the command."""
    return Planning(store, operator(purpose, case), clock_us)


def period_of(settings: Settings, first: str | None, days: int) -> tuple[int, int, str]:
    """Begin and end of some days in the agency's time zone, and how they are named."""
    zone = settings.zone
    day: date = week_of(day_of(clock_us(), zone)) if first is None else parse_day(first)
    since_us, until_us = days_us(day, days, zone)
    return since_us, until_us, f"{day} to {day + timedelta(days=days - 1)}, {settings.time_zone}"


def say(text: str) -> None:
    """Print one line."""
    PlainConsole().print(text)


def write_to(path: Path | None, write: Callable[[Any], object]) -> None:
    """Write to a file if one is given."""
    if path is not None:
        with text_output(Path("/dev/stdout") if str(path) == "-" else path, private=True) as file:
            write(file)

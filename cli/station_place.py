"""The station's file or database, as the options of a command name it."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import operator
from station.commands import Commands
from station.errors import PurposeError
from station.query import Query
from station.store import is_address, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from station.store import Store

DEFAULT_DB = "station.db"
DbOption = Annotated[
    str | None,
    typer.Option("--db", help="Database file of the station, or postgresql://...; default: station.db."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")]
UnitOption = Annotated[str | None, typer.Option("--unit", help="Only records of this unit.")]
PURPOSE_VARIABLE, CASE_VARIABLE = "PATROL_LPR_PURPOSE", "PATROL_LPR_CASE"
PurposeOption = Annotated[
    str | None,
    typer.Option("--purpose", envvar=PURPOSE_VARIABLE, help="Why, for the audit trail; asked for on a terminal."),
]
CaseOption = Annotated[
    str | None,
    typer.Option(
        "--case", envvar=CASE_VARIABLE, help="Case number, for the audit trail; asked for on a terminal."
    ),
]


def place_of(context: typer.Context, db: str | None) -> Path | str:
    """Return the file, or the address of the database."""
    given: str | None = context.obj
    return place_named(db or given or DEFAULT_DB)


def place_named(db: str) -> Path | str:
    """Return a file, or the address of a database, as an option names it."""
    return db if is_address(db) else Path(db)


@contextmanager
def opened(context: typer.Context, db: str | None) -> Iterator[Store]:
    """Open the store for one command."""
    store = open_store(place_of(context, db), must_exist=True)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def asking(context: typer.Context, db: str | None) -> Iterator[Query]:
    """Open the store for one person's questions that show no record."""
    with opened(context, db) as store:
        yield Query(store, operator(), now_us)


@contextmanager
def looking_up(
    context: typer.Context, db: str | None, purpose: str | None, case_number: str | None
) -> Iterator[Query]:
    """Open the store for a look-up; what is missing of purpose and case number is asked for.  Raises PurposeError."""
    asker = operator(
        (purpose or "").strip() or _asked_for("purpose", "--purpose", PURPOSE_VARIABLE),
        (case_number or "").strip() or _asked_for("case number", "--case", CASE_VARIABLE),
    )
    with opened(context, db) as store:
        yield Query(store, asker, now_us)


def _asked_for(name: str, option: str, variable: str) -> str:
    """Ask a person; standard output may be the answer's, so the question is not written to it."""
    if not sys.stdin.isatty():
        raise PurposeError(
            f"a look-up needs a {name}, which the audit trail keeps: add {option}, or set {variable}"
        )
    sys.stderr.write(f"{name}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer:
        raise PurposeError(f"a look-up needs a {name}; nothing was looked up")
    return answer


def not_the_store(context: typer.Context, db: str | None, target: Path) -> Path:
    """Return the target; refuses the station's database and its SQLite files."""
    place = place_of(context, db)
    if isinstance(place, str):
        return target
    own = {os.path.realpath(f"{place}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")}
    if os.path.realpath(target) in own:
        raise typer.BadParameter(f"{target} is the station's own database; use another file")
    return target


def commands_on(store: Store) -> Commands:
    """Commands of the person who runs this."""
    return Commands(store, operator(), now_us)


def now_us() -> int:
    """UTC."""
    return time.time_ns() // 1000

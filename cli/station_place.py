"""The station's file or database, as the options of a command name it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import operator
from station.commands import Commands
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


def commands_on(store: Store) -> Commands:
    """Commands of the person who runs this."""
    return Commands(store, operator(), now_us)


def now_us() -> int:
    """UTC."""
    return time.time_ns() // 1000

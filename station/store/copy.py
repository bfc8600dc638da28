"""Consistent copies of a store while it is in use: SQLite's online backup, or pg_dump."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from station.errors import StoreError
from station.store import is_address
from station.store.files import folder_of

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDE_FILES = ("-wal", "-journal")
SQLITE_NAME, POSTGRES_NAME, FILES_NAME = "station.db", "station.dump", "files"
_KINDS = ("update", "other")
"""Offered files lie in two folders beside the SQLite file: updates, and all other kinds."""
_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
)


def copy_store(place: Path | str, folder: Path) -> dict[str, int]:
    """Copy a store into an empty folder; return the number of rows of each table.  Raises StoreError."""
    if isinstance(place, str) and is_address(place):
        from station.store.postgres.dump import dump  # noqa: PLC0415 - an extra

        return dump(place, folder / POSTGRES_NAME)
    source = Path(place)
    if not source.exists():
        raise StoreError(f"{source} does not exist: name the station's file with --db")
    try:
        _copy_sqlite(source, folder / SQLITE_NAME)
        for kind in _KINDS:
            offered = folder_of(source, kind)
            if offered.is_dir():
                shutil.copytree(offered, folder / FILES_NAME / kind)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{source}: cannot be copied to {folder}: {error}") from error
    return count_rows(folder / SQLITE_NAME)


def _copy_sqlite(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        # A writer meanwhile makes the copy start again unless all is copied in one step.
        old.backup(new, pages=-1)
        new.execute("PRAGMA journal_mode = DELETE")


def restore_store(folder: Path, place: Path | str) -> None:
    """Put a copy where there is no store yet.  Raises StoreError, and then nothing is left there."""
    if isinstance(place, str) and is_address(place):
        from station.store.postgres.dump import load  # noqa: PLC0415 - an extra

        load(folder / POSTGRES_NAME, place)
        return
    target = Path(place)
    if target.exists():
        raise StoreError(f"{target} exists: restore to another file, or move it away")
    for side in _SIDE_FILES:
        # SQLite would write what it holds of another file into this one.
        if (left := target.with_name(target.name + side)).exists():
            raise StoreError(f"{left} exists: move it to where the file is that it belongs to")
    _whole(target, lambda part: shutil.copyfile(folder / SQLITE_NAME, part))
    for kind in _KINDS:
        offered = folder / FILES_NAME / kind
        if offered.is_dir():
            shutil.copytree(offered, folder_of(target, kind), dirs_exist_ok=True)


def _whole(target: Path, write: Callable[[Path], object]) -> None:
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.chmod(0o600)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{target}: cannot be written: {error.strerror}") from error


def is_postgres_copy(folder: Path) -> bool:
    """True for a copy that was made of a PostgreSQL database."""
    return (folder / POSTGRES_NAME).exists()


def count_rows(place: Path | str) -> dict[str, int]:
    """Return the number of rows of each table of the store.  Raises StoreError for a damaged file."""
    if isinstance(place, str) and is_address(place):
        from station.store.postgres.dump import count  # noqa: PLC0415 - an extra

        return count(place)
    try:
        with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as con:
            ((found,),) = con.execute("PRAGMA integrity_check(1)").fetchall()
            if found != "ok":
                raise StoreError(f"{place} is damaged: {found}")
            return {
                name: int(con.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - our own tables
                for (name,) in con.execute(_TABLES).fetchall()
            }
    except sqlite3.Error as error:
        raise StoreError(f"{place} is damaged: {error}") from error

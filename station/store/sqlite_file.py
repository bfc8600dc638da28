"""The station's SQLite file: permissions, header fields, and pragmas for durable commits and secure deletion."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from protocol.wire.released import released_registry
from station.errors import StoreError
from station.store.database import Database
from station.store.files import FolderFiles
from station.store.migrations import LATEST, upgrade
from station.store.room import DiskRoom
from station.store.sql_store import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from protocol.wire.registry import Registry

APPLICATION_ID = 0x4C505253
"""``LPRS`` in the file's header."""


def open_sqlite_store(
    path: Path,
    *,
    must_exist: bool = False,
    registry: Registry | None = None,
    open_picture: Callable[[bytes], bytes | None] = lambda _: None,
) -> SqlStore:
    """See :func:`station.store.open_store`."""
    database = open_file(path, must_exist=must_exist)
    try:
        return SqlStore(
            database, FolderFiles(path), registry or released_registry(), open_picture, room=DiskRoom(path)
        )
    except BaseException:
        database.close()
        raise


def open_file(path: Path, *, must_exist: bool = False) -> Database:
    """Open and migrate; raises StoreError for a file that is missing, damaged, of another application or newer.

    A refused file is not changed.
    """
    if must_exist and not path.exists():
        raise StoreError(f"{path} does not exist: name the station's file with --db")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Plates are personal data: only the owner may read the file; SQLite gives its side files the same permissions.
        # Only a new one is opened here: closing a handle drops the locks of all connections of this process, and the
        # next other process that closes the file deletes the log under them (sqlite.org/howtocorrupt.html, 2.2).
        with suppress(FileExistsError):
            os.close(os.open(path.resolve(), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be opened: {error}; check the folder and its permissions") from error
    database = None
    try:
        # Before SQLAlchemy sets the connection up: a refused file is not changed.
        _check(con, path)
        engine = create_engine("sqlite://", creator=lambda: con, poolclass=StaticPool, hide_parameters=True)
        database = Database(engine, str(path), begin="BEGIN IMMEDIATE")
        _migrate(con, database)
    except (sqlite3.Error, SQLAlchemyError, StoreError) as error:
        (con if database is None else database).close()
        if isinstance(error, StoreError):
            raise
        reason = getattr(error, "orig", None) or error
        raise StoreError(
            f"{path} is not a station's file, or is damaged: {reason}; restore it from the backup"
        ) from error
    return database


def _check(con: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of another application or a newer version before changing it."""
    version = _version(con)
    if version > LATEST:
        raise StoreError(
            f"{path} has version {version}, this station supports up to {LATEST}: install the newer station"
        )
    if version:
        foreign = con.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID
    else:
        foreign = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    if foreign:
        raise StoreError(f"{path} belongs to another application: choose another file with --db")


def _migrate(con: sqlite3.Connection, database: Database) -> None:
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute("PRAGMA secure_delete = ON")
    # As on PostgreSQL.
    con.execute("PRAGMA case_sensitive_like = ON")
    if _version(con) == LATEST:
        return
    con.execute("BEGIN IMMEDIATE")
    # Another process may have migrated while this one waited for the lock.
    if _version(con) != LATEST:
        upgrade(database.connection)
        con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {LATEST}")
    con.execute("COMMIT")


def _version(con: sqlite3.Connection) -> int:
    return int(con.execute("PRAGMA user_version").fetchone()[0])

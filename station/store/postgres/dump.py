"""Dumps and restores with PostgreSQL's own programs, in the snapshot in which rows are counted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from station.errors import StoreError

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_DEBIAN = Path("/usr/lib/postgresql")


def dump(dsn: str, target: Path) -> dict[str, int]:
    """Dump a database in pg_dump's custom format; return the number of rows of each table, of the same moment."""
    try:
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
            counts = _counted(connection)
            os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _run("pg_dump", dsn, f"--snapshot={snapshot}", "--format=custom", "--no-owner", f"--file={target}")
    except (psycopg.Error, OSError) as error:
        raise StoreError(f"the database cannot be dumped: {_line(error)}") from error
    return counts


def load(source: Path, dsn: str) -> None:
    """Restore a dump into an empty database, in one transaction.  Raises StoreError."""
    try:
        with psycopg.connect(dsn) as connection:
            ((n_tables,),) = connection.execute(
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
            ).fetchall()
    except psycopg.Error as error:
        raise StoreError(f"the database cannot be reached: {_line(error)}") from error
    if n_tables:
        raise StoreError("the database has tables already: create an empty one to restore to")
    _run("pg_restore", dsn, "--single-transaction", "--exit-on-error", "--no-owner", str(source))


def count(dsn: str) -> dict[str, int]:
    """Return the number of rows of each table."""
    try:
        with psycopg.connect(dsn) as connection:
            return _counted(connection)
    except psycopg.Error as error:
        raise StoreError(f"the database cannot be read: {_line(error)}") from error


def _counted(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """By the tables that are there: which ones this process knows depends on what it has imported."""
    found = {}
    for (name,) in connection.execute(_TABLES).fetchall():
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
        ((found[name],),) = connection.execute(statement).fetchall()
    return found


def _run(name: str, dsn: str, *arguments: str) -> None:
    """Run a program of PostgreSQL; a password goes into its environment, where other users cannot see it."""
    told: dict[str, Any] = {**conninfo_to_dict(dsn)}
    password = told.pop("password", None)
    environment = {**os.environ, **({} if password is None else {"PGPASSWORD": str(password)})}
    command = [_program(name), f"--dbname={make_conninfo(**told)}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, errors="replace")  # noqa: S603 - PostgreSQL's
    if done.returncode:
        raise StoreError(
            f"{name} failed: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else done.returncode}"
        )


def _program(name: str) -> str:
    """The newest one: an older pg_dump refuses a newer server."""
    folders = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parent.parent.name))
    found = str(folders[-1]) if folders else shutil.which(name)
    if found is None:
        raise StoreError(f"{name} is missing: install postgresql-client")
    return found


def _line(error: Exception) -> str:
    return str(error).strip().replace("\n", " ")

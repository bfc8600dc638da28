"""The file: connections, pragmas, numbered migrations, and the checks at opening.

Durability rests on WAL with ``synchronous=FULL``: a commit returns after the log is on the disk
(sqlite.org/pragma.html#pragma_synchronous; NORMAL may lose the latest commits at a power cut).
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.errors import OutboxVersionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

APPLICATION_ID = 0x4C505242
"""``LPRB`` in the file's header: tells our file from any other SQLite file."""

_STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37, 0) else ""

_V1 = f"""
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  next_seq INTEGER NOT NULL DEFAULT 1,
  next_pic INTEGER NOT NULL DEFAULT 1,
  reads INTEGER NOT NULL DEFAULT 0,
  others INTEGER NOT NULL DEFAULT 0,
  quarantined INTEGER NOT NULL DEFAULT 0,
  plates INTEGER NOT NULL DEFAULT 0,
  overviews INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0,
  used_bytes INTEGER NOT NULL DEFAULT 0,
  appended INTEGER NOT NULL DEFAULT 0,
  receipted INTEGER NOT NULL DEFAULT 0,
  evicted_reads INTEGER NOT NULL DEFAULT 0,
  evicted_plates INTEGER NOT NULL DEFAULT 0,
  evicted_overviews INTEGER NOT NULL DEFAULT 0,
  unknown_receipts INTEGER NOT NULL DEFAULT 0,
  read_floor INTEGER NOT NULL DEFAULT 0
){_STRICT};
INSERT INTO meta (one) VALUES (1);
CREATE TABLE records (
  seq INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  id BLOB NOT NULL,
  payload BLOB NOT NULL
){_STRICT};
CREATE TABLE quarantine (
  seq INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  id BLOB NOT NULL,
  payload BLOB NOT NULL,
  code TEXT NOT NULL
){_STRICT};
CREATE TABLE pictures (
  pic INTEGER PRIMARY KEY,
  lane INTEGER NOT NULL,
  kind TEXT NOT NULL,
  seq INTEGER NOT NULL,
  read_id BLOB NOT NULL,
  sha BLOB NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  stored INTEGER NOT NULL DEFAULT 0
){_STRICT};
CREATE INDEX pictures_lane ON pictures (lane);
CREATE TABLE jpegs (
  pic INTEGER PRIMARY KEY REFERENCES pictures (pic) ON DELETE CASCADE,
  jpeg BLOB NOT NULL
){_STRICT};
"""  # noqa: S608 - one word of ours

_V2 = "ALTER TABLE meta ADD COLUMN link BLOB NOT NULL DEFAULT x'';"

MIGRATIONS: tuple[str, ...] = (_V1, _V2)
"""One script a version, oldest first; a script that was released is never changed."""


@contextmanager
def closed_on_failure(con: sqlite3.Connection) -> Iterator[None]:
    """Leave no connection behind when the work that it was opened for fails."""
    try:
        yield
    except BaseException:
        con.close()
        raise


def connect(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes; raises sqlite3.Error."""
    # Owned by one thread at a time, which need not be the one that opened it.
    con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    with closed_on_failure(con):
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA synchronous = FULL")
        con.execute("PRAGMA foreign_keys = ON")
        con.execute("PRAGMA cache_size = -4096")
        con.execute("PRAGMA temp_store = MEMORY")
    return con


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write; raises sqlite3.Error."""
    con = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=10
    )
    with closed_on_failure(con):
        con.execute("PRAGMA query_only = ON")
        con.execute("PRAGMA cache_size = -1024")
    return con


def version(con: sqlite3.Connection) -> int:
    """Return the number of migrations the file has seen."""
    return int(con.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Raise OutboxVersionError when the file's header names a version from the future.

    Reads the header itself (sqlite.org/fileformat.html: user version at offset 60), because merely opening and
    closing a connection may already change the file.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if header[:16] != b"SQLite format 3\0":
        return
    found = int.from_bytes(header[60:64], "big")
    if found > len(migrations) and int.from_bytes(header[68:72], "big") == APPLICATION_ID:
        raise OutboxVersionError(
            f"{path} has version {found}, this agent knows up to {len(migrations)}: "
            "install the newer agent again, or let it drain the outbox first; the file was not touched"
        )


def migrate(con: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> int:
    """Bring the file to the newest version, one transaction a step; return how many steps were needed.

    Raises sqlite3.DatabaseError when the file is SQLite but not an outbox.
    """
    start = version(con)
    if start and con.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise sqlite3.DatabaseError("the file belongs to another application")
    for number, script in enumerate(migrations[start:], start + 1):
        # executescript() would commit by itself before it begins.
        con.executescript(
            f"BEGIN IMMEDIATE; {script}\n"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )
    if start < len(migrations):
        # The header must show the version even to one who cannot read the log (see refuse_newer).
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return max(0, len(migrations) - start)


def check(con: sqlite3.Connection) -> str:
    """Return what is wrong with the table of counters, or an empty string; other damage shows when it is met."""
    return _found(con, "PRAGMA quick_check('meta')")


def check_whole(con: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> str:
    """Return what is wrong with any page, or an empty string; takes seconds a gigabyte."""
    con.execute("PRAGMA cell_size_check = ON")
    found = _found(con, "PRAGMA integrity_check(8)")
    return found or ("" if _tables(con) == _tables_of(migrations) else "the tables are not those of an outbox")


def _found(con: sqlite3.Connection, pragma: str) -> str:
    found = "; ".join(str(row[0]) for row in con.execute(pragma))
    return "" if found == "ok" else found


def _tables(con: sqlite3.Connection) -> set[str]:
    # Whether STRICT was there when the file was made depends on the SQLite of that day.
    rows = con.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {sql.removesuffix(" STRICT") for (sql,) in rows}


def _tables_of(migrations: Sequence[str]) -> set[str]:
    con = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(con, migrations)
        return _tables(con)
    finally:
        con.close()

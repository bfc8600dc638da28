"""The outbox file: connections, pragmas, numbered migrations, and the checks at opening.

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
"""``LPRB`` in the file's header: distinguishes an outbox from other SQLite files."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_WRITE_VERSIONS = (1, 2)
_MAX_VERSION = 1_000
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

# Columns are added and renamed, not copied: an outbox may hold gigabytes, and the disk may have no room for a copy.
# ``kind`` was 0 for reads, 1 for time anchors and 2 for tombstones; the last two are never evicted.
_V3 = f"""
ALTER TABLE records RENAME COLUMN kind TO kept;
ALTER TABLE records ADD COLUMN schema TEXT NOT NULL DEFAULT 'read/1';
ALTER TABLE records ADD COLUMN priority INTEGER NOT NULL DEFAULT 10;
ALTER TABLE records ADD COLUMN expires_us INTEGER;
UPDATE records SET schema = CASE kept WHEN 1 THEN 'dating/1' ELSE 'tomb/1' END, kept = 1 WHERE kept != 0;
CREATE INDEX records_priority ON records (priority);
CREATE INDEX records_expiry ON records (expires_us) WHERE expires_us IS NOT NULL;
ALTER TABLE quarantine RENAME COLUMN kind TO kept;
ALTER TABLE quarantine ADD COLUMN schema TEXT NOT NULL DEFAULT 'read/1';
ALTER TABLE quarantine ADD COLUMN priority INTEGER NOT NULL DEFAULT 10;
ALTER TABLE quarantine ADD COLUMN expires_us INTEGER;
UPDATE quarantine SET schema = CASE kept WHEN 1 THEN 'dating/1' ELSE 'tomb/1' END, kept = 1 WHERE kept != 0;
CREATE INDEX quarantine_expiry ON quarantine (expires_us) WHERE expires_us IS NOT NULL;
ALTER TABLE pictures ADD COLUMN expires_us INTEGER;
CREATE INDEX pictures_expiry ON pictures (expires_us) WHERE expires_us IS NOT NULL;
CREATE TABLE types (
  schema TEXT PRIMARY KEY,
  waiting INTEGER NOT NULL DEFAULT 0,
  appended INTEGER NOT NULL DEFAULT 0,
  receipted INTEGER NOT NULL DEFAULT 0,
  evicted INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0
){_STRICT};
INSERT INTO types (schema, waiting, appended, receipted, evicted)
  SELECT 'read/1', reads, appended, receipted, evicted_reads FROM meta;
INSERT INTO types (schema, waiting, appended)
  SELECT schema, sum(waits), count(*) FROM
    (SELECT schema, 1 AS waits FROM records WHERE kept UNION ALL SELECT schema, 0 FROM quarantine WHERE kept)
  GROUP BY schema;
ALTER TABLE meta DROP COLUMN reads;
ALTER TABLE meta DROP COLUMN others;
ALTER TABLE meta DROP COLUMN appended;
ALTER TABLE meta DROP COLUMN receipted;
ALTER TABLE meta DROP COLUMN evicted_reads;
ALTER TABLE meta DROP COLUMN read_floor;
ALTER TABLE meta ADD COLUMN expired_pictures INTEGER NOT NULL DEFAULT 0;
"""  # noqa: S608 - one word of ours

# A sealed record does not show its class, and purge records count by it.  NULL: stored before there was the column.
_V4 = """
ALTER TABLE records ADD COLUMN class TEXT;
ALTER TABLE quarantine ADD COLUMN class TEXT;
"""

MIGRATIONS: tuple[str, ...] = (_V1, _V2, _V3, _V4)
"""One script per version, oldest first; released scripts are never changed."""


@contextmanager
def closed_on_failure(con: sqlite3.Connection) -> Iterator[None]:
    """Close the connection if the work that it was opened for fails."""
    try:
        yield
    except BaseException:
        con.close()
        raise


def connect(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes; raises sqlite3.Error."""
    # Used by one thread at a time, not necessarily the one that opened it.
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
    """Return the number of migrations applied to the file."""
    return int(con.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Raise OutboxVersionError if the file's header has a newer version.

    Reads the header directly, because opening and closing a connection may change the file.
    """
    found = _noted_version(path)
    if found is not None and found > len(migrations):
        raise OutboxVersionError(
            f"{path} has version {found}, this agent supports up to {len(migrations)}: "
            "reinstall the newer agent, or let it drain the outbox first; the file was not changed"
        )


def read_header(path: Path) -> bytes:
    """Return the file's header; empty if there is no file.  Raises OSError.

    Only before a connection of this process is open: closing this handle would drop the locks of all of them
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def check_header(header: bytes, con: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Raise sqlite3.DatabaseError if a value of the header is damaged that SQLite takes for an instruction.

    With an unknown write version, every commit would fail as on a read-only disk (sqlite.org/fileformat.html, 1.3.3).
    """
    if version(con) not in range(len(migrations) + 1):
        raise sqlite3.DatabaseError(f"the header has the version {version(con)}, which no release ever wrote")
    if header[:16] != _MAGIC or header[18] in _WRITE_VERSIONS:
        return
    try:
        con.execute("BEGIN IMMEDIATE")
        con.execute(f"PRAGMA user_version = {version(con)}")
        con.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        raise sqlite3.DatabaseError(f"the header has the unknown write version {header[18]}") from error


def is_older(path: Path, migrations: Sequence[str] = MIGRATIONS) -> bool:
    """True if opening the file will migrate it; raises OSError."""
    found = _noted_version(path)
    return found is not None and found < len(migrations)


def _noted_version(path: Path) -> int | None:
    """Version in the header of an outbox (sqlite.org/fileformat.html: user version at offset 60); None for others.

    A number that no release will ever reach is damage.
    """
    header = read_header(path)
    is_ours = header[:16] == _MAGIC and int.from_bytes(header[68:72], "big") == APPLICATION_ID
    found = int.from_bytes(header[60:64], "big")
    return found if is_ours and found < _MAX_VERSION else None


def migrate(con: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> int:
    """Migrate the file to the newest version, one transaction per step; return the number of steps.

    Raises sqlite3.DatabaseError if the file is an SQLite database but not an outbox.
    """
    start = version(con)
    if start and con.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise sqlite3.DatabaseError("the file belongs to another application")
    for number, script in enumerate(migrations[start:], start + 1):
        # executescript() commits before it begins.
        con.executescript(
            f"BEGIN IMMEDIATE; {script}\n"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )
    if start < len(migrations):
        # The header must have the version without the log (see refuse_newer).
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return max(0, len(migrations) - start)


def check(con: sqlite3.Connection) -> str:
    """Return what is wrong with the counters or the index for sending, or an empty string.

    Other damage is detected when it is read; a record that is not in the index would never be read.
    """
    found = _found(con, "PRAGMA quick_check('meta')") or _found(con, "PRAGMA quick_check('types')")
    if found:
        return found
    (indexed,) = con.execute("SELECT count(*) FROM records INDEXED BY records_priority").fetchone()
    (waiting,) = con.execute("SELECT coalesce(sum(waiting), 0) FROM types").fetchone()
    return "" if indexed == waiting else f"{waiting} records wait, {indexed} are in the index"


def check_whole(con: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> str:
    """Return what is wrong with any page, or an empty string; takes seconds per gigabyte."""
    con.execute("PRAGMA cell_size_check = ON")
    found = _found(con, "PRAGMA integrity_check(8)")
    return found or ("" if _tables(con) == _tables_of(migrations) else "the tables are not those of an outbox")


def _found(con: sqlite3.Connection, pragma: str) -> str:
    found = "; ".join(str(row[0]) for row in con.execute(pragma))
    return "" if found == "ok" else found


def _tables(con: sqlite3.Connection) -> set[str]:
    # Whether the tables are STRICT depends on the SQLite version that created the file.
    rows = con.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {sql.removesuffix(" STRICT") for (sql,) in rows}


def _tables_of(migrations: Sequence[str]) -> set[str]:
    con = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(con, migrations)
        return _tables(con)
    finally:
        con.close()

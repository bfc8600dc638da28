"""The station's file: tables, numbered migrations, the pragmas that make a commit durable and a deletion final."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from station.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x4C505253
"""``LPRS`` in the file's header."""

_V1 = """
CREATE TABLE records (
  unit TEXT NOT NULL, record_id BLOB NOT NULL, seq INTEGER NOT NULL, boot BLOB NOT NULL,
  PRIMARY KEY (unit, record_id)
) WITHOUT ROWID;
CREATE TABLE seen (
  unit TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (unit, first)
) WITHOUT ROWID;
CREATE TABLE reads (
  unit TEXT NOT NULL, read_id BLOB NOT NULL,
  agency TEXT NOT NULL, boot BLOB NOT NULL, seq INTEGER NOT NULL, camera TEXT NOT NULL, role TEXT NOT NULL,
  utc_us INTEGER, time_source TEXT NOT NULL, uncertainty_ms INTEGER, mono_us INTEGER NOT NULL,
  dating_gap_us INTEGER,
  text TEXT NOT NULL, raw TEXT NOT NULL, confidence_e4 INTEGER NOT NULL,
  region TEXT NOT NULL, region_e4 INTEGER NOT NULL,
  single_look INTEGER NOT NULL, n_sightings INTEGER NOT NULL, n_agreeing INTEGER NOT NULL,
  method TEXT NOT NULL, lat_e7 INTEGER, lon_e7 INTEGER, error_cm INTEGER,
  retention TEXT NOT NULL, received_us INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (unit, read_id)
);
CREATE INDEX reads_boot ON reads (unit, boot);
CREATE INDEX reads_received ON reads (received_us);
CREATE TABLE read_pictures (
  unit TEXT NOT NULL, read_id BLOB NOT NULL, sha BLOB NOT NULL, kind TEXT NOT NULL,
  PRIMARY KEY (unit, read_id, sha)
) WITHOUT ROWID;
CREATE INDEX read_pictures_sha ON read_pictures (unit, sha);
CREATE TABLE datings (
  unit TEXT NOT NULL, record_id BLOB NOT NULL, boot BLOB NOT NULL, mono_us INTEGER NOT NULL,
  utc_us INTEGER NOT NULL, time_source TEXT NOT NULL, uncertainty_ms INTEGER, payload BLOB NOT NULL,
  PRIMARY KEY (unit, record_id)
);
CREATE INDEX datings_boot ON datings (unit, boot);
CREATE TABLE tombstones (
  unit TEXT NOT NULL, record_id BLOB NOT NULL, lost TEXT NOT NULL, reason TEXT NOT NULL,
  count INTEGER NOT NULL, bytes INTEGER NOT NULL, received_us INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (unit, record_id)
);
CREATE TABLE lost (unit TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE INDEX lost_unit ON lost (unit, first);
CREATE TABLE pictures (
  unit TEXT NOT NULL, sha BLOB NOT NULL, kind TEXT NOT NULL, total INTEGER NOT NULL, stored INTEGER NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0, updated_us INTEGER NOT NULL, jpeg BLOB,
  PRIMARY KEY (unit, sha)
);
CREATE TABLE chunks (
  unit TEXT NOT NULL, sha BLOB NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (unit, sha, offset)
);
CREATE TABLE units (
  unit TEXT PRIMARY KEY, seen_us INTEGER, seq_high INTEGER NOT NULL DEFAULT 0,
  state TEXT, reason TEXT, software TEXT, status_us INTEGER, health_us INTEGER, health BLOB
) WITHOUT ROWID;
CREATE TABLE audit (
  number INTEGER PRIMARY KEY AUTOINCREMENT, utc_us INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
  count INTEGER NOT NULL
);
"""

# A salt is forgotten with the contents it hid; a picture that came sealed is kept under its own hash.
_V2 = """
CREATE TABLE evidence (
  unit TEXT NOT NULL, seq INTEGER NOT NULL, record_id BLOB NOT NULL, prev BLOB NOT NULL, digest BLOB NOT NULL,
  key BLOB NOT NULL, signature BLOB NOT NULL, salt BLOB,
  PRIMARY KEY (unit, seq, record_id)
) WITHOUT ROWID;
ALTER TABLE pictures ADD COLUMN opened BLOB;
"""

_V3 = """
CREATE TABLE offers (
  unit TEXT PRIMARY KEY, release INTEGER NOT NULL, sha BLOB NOT NULL, size INTEGER NOT NULL,
  attempt INTEGER NOT NULL, parts TEXT NOT NULL, offered_us INTEGER NOT NULL
) WITHOUT ROWID;
ALTER TABLE units ADD COLUMN report BLOB;
"""

MIGRATIONS: tuple[str, ...] = (_V1, _V2, _V3)
"""One script a version, oldest first; a script that was released is never changed.  No ``;`` but between statements."""


def open_file(
    path: Path, *, must_exist: bool = False, migrations: tuple[str, ...] = MIGRATIONS
) -> sqlite3.Connection:
    """Open and migrate; raises StoreError for a file that is absent, damaged, foreign or newer.

    A file that is refused is left as it was.
    """
    if must_exist and not path.exists():
        raise StoreError(f"{path} does not exist: name the station's file with --db")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Plates are personal data: the file is its owner's, and SQLite gives its side files the same rights.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be opened: {error}; check the folder and its rights") from error
    try:
        _migrate(con, path, migrations)
    except sqlite3.Error as error:
        con.close()
        raise StoreError(
            f"{path} is not a station's file, or is damaged: {error}; restore it from the backup"
        ) from error
    except StoreError:
        con.close()
        raise
    return con


def _migrate(con: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> None:
    start = _version(con)
    if start > len(migrations):
        raise StoreError(
            f"{path} has version {start}, this station knows up to {len(migrations)}: install the newer station"
        )
    if start:
        foreign = con.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID
    else:
        foreign = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    if foreign:
        raise StoreError(f"{path} belongs to another application: name another file with --db")
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute("PRAGMA secure_delete = ON")
    if start == len(migrations):
        return
    con.execute("BEGIN IMMEDIATE")
    # Another process may have migrated while this one waited for the lock.
    for script in migrations[_version(con) :]:
        for statement in script.split(";"):
            con.execute(statement)
    con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    con.execute(f"PRAGMA user_version = {len(migrations)}")
    con.execute("COMMIT")


def _version(con: sqlite3.Connection) -> int:
    return int(con.execute("PRAGMA user_version").fetchone()[0])

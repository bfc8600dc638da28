"""The station's file: tables, numbered migrations, the pragma that makes a commit durable."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from station.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x4C505253
"""``LPRS`` in the file's header."""

_V1 = """
CREATE TABLE records (
  unit TEXT NOT NULL, seq INTEGER NOT NULL, record_id BLOB NOT NULL,
  PRIMARY KEY (unit, seq, record_id)
) WITHOUT ROWID;
CREATE TABLE reads (
  read_id BLOB PRIMARY KEY,
  unit TEXT NOT NULL, agency TEXT NOT NULL, boot BLOB NOT NULL, seq INTEGER NOT NULL,
  camera TEXT NOT NULL, role TEXT NOT NULL,
  utc_us INTEGER, time_source TEXT NOT NULL, uncertainty_ms INTEGER, mono_us INTEGER NOT NULL,
  text TEXT NOT NULL, raw TEXT NOT NULL, confidence_e4 INTEGER NOT NULL,
  region TEXT NOT NULL, region_e4 INTEGER NOT NULL,
  single_look INTEGER NOT NULL, n_sightings INTEGER NOT NULL, n_agreeing INTEGER NOT NULL,
  method TEXT NOT NULL, lat_e7 INTEGER, lon_e7 INTEGER, error_cm INTEGER,
  retention TEXT NOT NULL, received_us INTEGER NOT NULL, payload BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX reads_unit ON reads (unit, seq);
CREATE INDEX reads_time ON reads (received_us);
CREATE TABLE read_pictures (
  read_id BLOB NOT NULL, sha BLOB NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (read_id, sha)
) WITHOUT ROWID;
CREATE INDEX read_pictures_sha ON read_pictures (sha);
CREATE TABLE datings (
  record_id BLOB PRIMARY KEY, unit TEXT NOT NULL, boot BLOB NOT NULL, mono_us INTEGER NOT NULL,
  utc_us INTEGER NOT NULL, time_source TEXT NOT NULL, uncertainty_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX datings_boot ON datings (unit, boot);
CREATE TABLE lost (
  unit TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, lost TEXT NOT NULL, reason TEXT NOT NULL,
  count INTEGER NOT NULL
);
CREATE INDEX lost_unit ON lost (unit);
CREATE TABLE tombstones (record_id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE pictures (
  sha BLOB PRIMARY KEY, kind TEXT NOT NULL, total INTEGER NOT NULL, stored INTEGER NOT NULL, jpeg BLOB
);
CREATE TABLE chunks (sha BLOB NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (sha, offset));
CREATE TABLE units (
  unit TEXT PRIMARY KEY, state TEXT, reason TEXT, software TEXT, seen_us INTEGER NOT NULL DEFAULT 0,
  seq_high INTEGER NOT NULL DEFAULT 0, health BLOB
) WITHOUT ROWID;
CREATE TABLE audit (
  number INTEGER PRIMARY KEY AUTOINCREMENT, utc_us INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
  count INTEGER NOT NULL
);
"""

MIGRATIONS: tuple[str, ...] = (_V1,)
"""One script a version, oldest first; a script that was released is never changed."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open and migrate; raises StoreError for a file that is damaged, foreign or newer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error
    try:
        _migrate(con, path)
    except sqlite3.Error as error:
        con.close()
        raise StoreError(
            f"{path}: not a station's file, or damaged: {error}; restore it from the backup"
        ) from error
    except StoreError:
        con.close()
        raise
    return con


def _migrate(con: sqlite3.Connection, path: Path) -> None:
    start = int(con.execute("PRAGMA user_version").fetchone()[0])
    if start > len(MIGRATIONS):
        raise StoreError(
            f"{path} has version {start}, this station knows up to {len(MIGRATIONS)}: install the newer one"
        )
    if start and con.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreError(f"{path} belongs to another application")
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    for number, script in enumerate(MIGRATIONS[start:], start + 1):
        con.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )

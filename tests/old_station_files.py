"""Station's files of versions 1 to 3, as stations before 0.3 made them: their scripts, and rows as they wrote them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from protocol.wire.records.read import Read
from protocol.wire.records.time_anchor import TimeAnchor
from protocol.wire.records.tombstone import Tombstone

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.record import Record

APPLICATION_ID = 0x4C505253

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

SCRIPTS = (_V1, _V2, _V3)


def make(path: Path, version: int) -> sqlite3.Connection:
    """An empty file of a version."""
    con = sqlite3.connect(path, isolation_level=None)
    con.execute("PRAGMA journal_mode = WAL")
    for script in SCRIPTS[:version]:
        con.executescript(script)
    con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    con.execute(f"PRAGMA user_version = {version}")
    return con


def add(con: sqlite3.Connection, record: Record, received_us: int) -> None:
    """A record as the old stations wrote it."""
    envelope, body, payload = record.envelope, record.body, record.payload
    unit, record_id = envelope.unit, envelope.record_id
    con.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (unit, record_id, envelope.seq, envelope.boot_id))
    con.execute("INSERT INTO seen VALUES (?, ?, ?)", (unit, envelope.seq, envelope.seq))
    match body:
        case Read():
            values = (
                unit, record_id, envelope.agency, envelope.boot_id, envelope.seq, body.camera, body.camera_role,
                body.utc_us, body.time.source.value, body.time.uncertainty_ms, body.mono_us, None,
                body.text, body.raw, body.confidence_e4, body.region, body.region_confidence_e4,
                body.single_frame, body.n_sightings, body.n_agreeing, body.place.method.value, body.place.lat_e7,
                body.place.lon_e7, body.place.error_cm, body.retention.policy_class, received_us, payload,
            )  # fmt: skip
            con.execute(f"INSERT INTO reads VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - marks
            for picture in body.pictures:
                row = (unit, record_id, picture.sha256, picture.kind.value)
                con.execute("INSERT INTO read_pictures VALUES (?, ?, ?, ?)", row)
        case TimeAnchor():
            values = (
                unit, record_id, body.anchored_boot_id, body.mono_us, body.utc_us, body.time.source.value,
                body.time.uncertainty_ms, payload,
            )  # fmt: skip
            con.execute("INSERT INTO datings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        case Tombstone():
            values = (
                unit, record_id, body.lost.value, body.reason.value, body.count, body.size_bytes, received_us, payload,
            )  # fmt: skip
            con.execute("INSERT INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            con.executemany("INSERT INTO lost VALUES (?, ?, ?)", [(unit, *pair) for pair in body.ranges])

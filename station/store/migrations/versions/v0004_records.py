"""One table for records of all types; what stations before 0.3 kept by type moves into it.

Revision 0004, the first.  Versions 1 to 3 were SQLite files of three scripts: a table a type of record.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from station.store.migrations.postgres_0004 import STATEMENTS as _POSTGRES

revision = "0004"
down_revision = None

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_HERE = sa.text("payload IS NOT NULL")
_OPAQUE = sa.text("generation = 0 AND payload IS NOT NULL")
_UNDATED = sa.text("mono_us IS NOT NULL AND (utc_us IS NULL OR dating_gap_us IS NOT NULL)")
# What a file of version 1 lacks of version 2, and one of version 2 of version 3.
_SINCE_1 = (
    (
        "CREATE TABLE evidence (unit TEXT NOT NULL, seq INTEGER NOT NULL, record_id BLOB NOT NULL,"
        " prev BLOB NOT NULL,"
        " digest BLOB NOT NULL, key BLOB NOT NULL, signature BLOB NOT NULL, salt BLOB,"
        " PRIMARY KEY (unit, seq, record_id)) WITHOUT ROWID"
    ),
    "ALTER TABLE pictures ADD COLUMN opened BLOB",
)
_SINCE_2 = (
    (
        "CREATE TABLE offers (unit TEXT PRIMARY KEY, release INTEGER NOT NULL, sha BLOB NOT NULL,"
        " size INTEGER NOT NULL, attempt INTEGER NOT NULL, parts TEXT NOT NULL, offered_us INTEGER NOT NULL)"
        " WITHOUT ROWID"
    ),
    "ALTER TABLE units ADD COLUMN report BLOB",
)
_ASIDE = ("ALTER TABLE records RENAME TO old_records",)
# Only reads were ever purged, so a record without contents was one.
_MOVE = (
    (
        "INSERT INTO records (unit, record_id, seq, boot, schema, received_us, retention, mono_us, utc_us, time_source,"
        " uncertainty_ms, dating_gap_us, payload, generation)"
        " SELECT o.unit, o.record_id, o.seq, o.boot,"
        " CASE WHEN d.unit IS NOT NULL THEN 'dating/1' WHEN t.unit IS NOT NULL THEN 'tomb/1' ELSE 'read/1' END,"
        " coalesce(r.received_us, t.received_us, 0), r.retention, r.mono_us, r.utc_us, r.time_source, r.uncertainty_ms,"
        " r.dating_gap_us, coalesce(r.payload, d.payload, t.payload), 0"
        " FROM old_records o"
        " LEFT JOIN reads r ON r.unit = o.unit AND r.read_id = o.record_id"
        " LEFT JOIN datings d ON d.unit = o.unit AND d.record_id = o.record_id"
        " LEFT JOIN tombstones t ON t.unit = o.unit AND t.record_id = o.record_id"
    ),
    (
        "INSERT INTO time_anchors (unit, record_id, boot, mono_us, utc_us, time_source, uncertainty_ms)"
        " SELECT unit, record_id, boot, mono_us, utc_us, time_source, uncertainty_ms FROM datings"
    ),
    "INSERT INTO record_pictures (unit, record_id, sha, kind) SELECT unit, read_id, sha, kind FROM read_pictures",
    "ALTER TABLE audit ADD COLUMN filter TEXT DEFAULT '' NOT NULL",
    "DROP TABLE old_records",
    "DROP TABLE reads",
    "DROP TABLE datings",
    "DROP TABLE tombstones",
    "DROP TABLE read_pictures",
)


def upgrade() -> None:
    """Make the tables; move what an older file holds."""
    if op.get_bind().dialect.name == "postgresql":
        _run(_POSTGRES)
        return
    version = _old_version()
    for since, statements in ((1, _SINCE_1), (2, _SINCE_2), (3, _ASIDE)):
        if 0 < version <= since:
            _run(statements)
    _records()
    if version:
        _run(_MOVE)
    else:
        _others()


def _old_version() -> int:
    """Version of a file that a station before 0.3 made; 0 for an empty database."""
    bind = op.get_bind()
    return int(bind.exec_driver_sql("PRAGMA user_version").scalar_one()) if bind.dialect.name == "sqlite" else 0


def _run(statements: tuple[str, ...]) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def _must(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _records() -> None:
    """What no older version had."""
    op.create_table(
        "records",
        _key("unit", sa.Text),
        _key("record_id", sa.LargeBinary),
        _must("seq", _INT64),
        _must("boot", sa.LargeBinary),
        _must("schema", sa.Text),
        _must("received_us", _INT64),
        sa.Column("retention", sa.Text),
        sa.Column("mono_us", _INT64),
        sa.Column("utc_us", _INT64),
        sa.Column("time_source", sa.Text),
        sa.Column("uncertainty_ms", _INT64),
        sa.Column("dating_gap_us", _INT64),
        _must("generation", _INT64),
        sa.Column("payload", sa.LargeBinary),
    )
    op.create_index(
        "records_received",
        "records",
        ["schema", "received_us", "unit", "seq", "record_id"],
        sqlite_where=_HERE,
        postgresql_where=_HERE,
    )
    op.create_index("records_opaque", "records", ["schema"], sqlite_where=_OPAQUE, postgresql_where=_OPAQUE)
    op.create_index(
        "records_undated", "records", ["unit", "boot"], sqlite_where=_UNDATED, postgresql_where=_UNDATED
    )
    op.create_table(
        "time_anchors",
        _key("unit", sa.Text),
        _key("record_id", sa.LargeBinary),
        _must("boot", sa.LargeBinary),
        _must("mono_us", _INT64),
        _must("utc_us", _INT64),
        _must("time_source", sa.Text),
        sa.Column("uncertainty_ms", _INT64),
    )
    op.create_index("time_anchors_boot", "time_anchors", ["unit", "boot"])
    op.create_table(
        "record_pictures",
        _key("unit", sa.Text),
        _key("record_id", sa.LargeBinary),
        _key("sha", sa.LargeBinary),
        _must("kind", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("record_pictures_sha", "record_pictures", ["unit", "sha"])
    op.create_table(
        "projections",
        _key("schema", sa.Text),
        _must("fingerprint", sa.Text),
        _must("generation", _INT64),
        _must("complete", sa.Integer),
    )


def _others() -> None:
    """What older files have already."""
    op.create_table(
        "evidence",
        _key("unit", sa.Text),
        _key("seq", _INT64),
        _key("record_id", sa.LargeBinary),
        _must("prev", sa.LargeBinary),
        _must("digest", sa.LargeBinary),
        _must("key", sa.LargeBinary),
        _must("signature", sa.LargeBinary),
        sa.Column("salt", sa.LargeBinary),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seen", _key("unit", sa.Text), _key("first", _INT64), _must("last", _INT64), sqlite_with_rowid=False
    )
    op.create_table("lost", _must("unit", sa.Text), _must("first", _INT64), _must("last", _INT64))
    op.create_index("lost_unit", "lost", ["unit", "first"])
    op.create_table(
        "pictures",
        _key("unit", sa.Text),
        _key("sha", sa.LargeBinary),
        _must("kind", sa.Text),
        _must("total", _INT64),
        _must("stored", _INT64),
        _must("failures", sa.Integer, server_default=sa.text("0")),
        _must("updated_us", _INT64),
        sa.Column("jpeg", sa.LargeBinary),
        sa.Column("opened", sa.LargeBinary),
    )
    op.create_table(
        "chunks",
        _key("unit", sa.Text),
        _key("sha", sa.LargeBinary),
        _key("offset", _INT64),
        _must("data", sa.LargeBinary),
    )
    op.create_table(
        "units",
        _key("unit", sa.Text),
        sa.Column("seen_us", _INT64),
        _must("seq_high", _INT64, server_default=sa.text("0")),
        sa.Column("state", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("software", sa.Text),
        sa.Column("status_us", _INT64),
        sa.Column("health_us", _INT64),
        sa.Column("health", sa.LargeBinary),
        sa.Column("report", sa.LargeBinary),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        _must("utc_us", _INT64),
        _must("who", sa.Text),
        _must("what", sa.Text),
        _must("count", _INT64),
        _must("filter", sa.Text, server_default=sa.text("''")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "offers",
        _key("unit", sa.Text),
        _must("release", _INT64),
        _must("sha", sa.LargeBinary),
        _must("size", _INT64),
        _must("attempt", _INT64),
        _must("parts", sa.Text),
        _must("offered_us", _INT64),
        sqlite_with_rowid=False,
    )

"""Lives of units: a re-flashed unit counts from 1 again.  Heads that units signed, and what each sent today.

Revision 0008.  Everything stored before belongs to the life without an id.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_POSTGRES = (
    "ALTER TABLE records ADD COLUMN life bytea NOT NULL DEFAULT ''",
    "ALTER TABLE evidence ADD COLUMN life bytea NOT NULL DEFAULT ''",
    "ALTER TABLE lost ADD COLUMN life bytea NOT NULL DEFAULT ''",
    "DROP INDEX lost_unit",
    "CREATE INDEX lost_unit ON lost (unit, life, first)",
    "ALTER TABLE seen ADD COLUMN life bytea NOT NULL DEFAULT ''",
    "ALTER TABLE seen DROP CONSTRAINT seen_pkey",
    "ALTER TABLE seen ADD PRIMARY KEY (unit, life, first)",
    """CREATE TABLE lives (
        unit text COLLATE "C" NOT NULL,
        life bytea NOT NULL,
        first_us bigint NOT NULL,
        seq_high bigint NOT NULL DEFAULT 0,
        n_overlaps bigint NOT NULL DEFAULT 0,
        overlap_us bigint,
        n_forks bigint NOT NULL DEFAULT 0,
        head bytea,
        head_us bigint,
        PRIMARY KEY (unit, life)
    )""",
    """CREATE TABLE usage (
        unit text COLLATE "C" NOT NULL,
        day bigint NOT NULL,
        slot integer NOT NULL,
        records bigint NOT NULL DEFAULT 0,
        bytes bigint NOT NULL DEFAULT 0,
        loose bigint NOT NULL DEFAULT 0,
        refused bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (unit, day, slot)
    )""",
)
_SQLITE = (
    "ALTER TABLE records ADD COLUMN life BLOB NOT NULL DEFAULT x''",
    "CREATE INDEX records_series ON records (unit, life, seq)",
    "ALTER TABLE evidence ADD COLUMN life BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE lost ADD COLUMN life BLOB NOT NULL DEFAULT x''",
    "DROP INDEX lost_unit",
    "CREATE INDEX lost_unit ON lost (unit, life, first)",
    # SQLite cannot change a primary key.
    "ALTER TABLE seen RENAME TO old_seen",
    (
        "CREATE TABLE seen (unit TEXT NOT NULL, life BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
        " PRIMARY KEY (unit, life, first)) WITHOUT ROWID"
    ),
    "INSERT INTO seen (unit, life, first, last) SELECT unit, x'', first, last FROM old_seen",
    "DROP TABLE old_seen",
    (
        "CREATE TABLE lives (unit TEXT NOT NULL, life BLOB NOT NULL, first_us INTEGER NOT NULL,"
        " seq_high INTEGER DEFAULT 0 NOT NULL, n_overlaps INTEGER DEFAULT 0 NOT NULL, overlap_us INTEGER,"
        " n_forks INTEGER DEFAULT 0 NOT NULL, head BLOB, head_us INTEGER, PRIMARY KEY (unit, life)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE usage (unit TEXT NOT NULL, day INTEGER NOT NULL, slot INTEGER NOT NULL,"
        " records INTEGER DEFAULT 0 NOT NULL, bytes INTEGER DEFAULT 0 NOT NULL, loose INTEGER DEFAULT 0 NOT NULL,"
        " refused INTEGER DEFAULT 0 NOT NULL, PRIMARY KEY (unit, day, slot)) WITHOUT ROWID"
    ),
)


def upgrade() -> None:
    """Add the columns and tables; each unit's announced numbers move to its first life."""
    bind = op.get_bind()
    for statement in _POSTGRES if bind.dialect.name == "postgresql" else _SQLITE:
        bind.exec_driver_sql(statement)
    empty = sa.literal(b"", sa.LargeBinary)
    units = sa.table("units", sa.column("unit"), sa.column("seq_high"))
    lives = sa.table("lives", sa.column("unit"), sa.column("life"), sa.column("first_us"), sa.column("seq_high"))
    bind.execute(
        sa.insert(lives).from_select(
            ["unit", "life", "first_us", "seq_high"],
            sa.select(units.c.unit, empty, sa.literal(0), units.c.seq_high),
        )
    )

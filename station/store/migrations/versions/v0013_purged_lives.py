"""Lives in the sequence numbers of purges: two lives of a unit have the same numbers.

Revision 0013.  Numbers of earlier purges are of any life.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

_POSTGRES = (
    "ALTER TABLE purged ADD COLUMN life bytea NOT NULL DEFAULT '*'",
    "ALTER TABLE purged ALTER COLUMN life DROP DEFAULT",
    "ALTER TABLE purged DROP CONSTRAINT purged_pkey",
    "ALTER TABLE purged ADD PRIMARY KEY (unit, life, first, purge)",
)
_SQLITE = (
    # SQLite cannot change a primary key.
    "DROP INDEX purged_purge",
    "ALTER TABLE purged RENAME TO old_purged",
    (
        "CREATE TABLE purged (unit TEXT NOT NULL, life BLOB NOT NULL, first INTEGER NOT NULL, purge INTEGER NOT NULL,"
        " last INTEGER NOT NULL, PRIMARY KEY (unit, life, first, purge)) WITHOUT ROWID"
    ),
    "INSERT INTO purged (unit, life, first, purge, last) SELECT unit, x'2a', first, purge, last FROM old_purged",
    "DROP TABLE old_purged",
    "CREATE INDEX purged_purge ON purged (purge)",
)


def upgrade() -> None:
    """Add the column to the table and its key."""
    bind = op.get_bind()
    for statement in _POSTGRES if bind.dialect.name == "postgresql" else _SQLITE:
        bind.exec_driver_sql(statement)

"""The scope of an export must be said: one without it would be an export of everything.

Revision 0016.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

_POSTGRES = (
    "UPDATE exports SET agencies = coalesce(agencies, 'null'), units = coalesce(units, 'null')",
    "ALTER TABLE exports ALTER COLUMN agencies SET NOT NULL, ALTER COLUMN units SET NOT NULL",
)
_SQLITE = (
    # SQLite cannot forbid NULL in a column that is there.
    "DROP INDEX exports_requested",
    "ALTER TABLE exports RENAME TO old_exports",
    (
        "CREATE TABLE exports (export_id TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,"
        " purpose TEXT NOT NULL, case_number TEXT NOT NULL, requested_us INTEGER NOT NULL, state TEXT NOT NULL,"
        " decided_by TEXT DEFAULT '' NOT NULL, decided_us INTEGER DEFAULT 0 NOT NULL, note TEXT DEFAULT '' NOT NULL,"
        " until_us INTEGER DEFAULT 0 NOT NULL, done INTEGER DEFAULT 0 NOT NULL, size INTEGER DEFAULT 0 NOT NULL,"
        " agencies TEXT NOT NULL, units TEXT NOT NULL, PRIMARY KEY (export_id))"
    ),
    (
        "INSERT INTO exports SELECT export_id, account, kind, body, purpose, case_number, requested_us, state,"
        " decided_by, decided_us, note, until_us, done, size, coalesce(agencies, 'null'), coalesce(units, 'null')"
        " FROM old_exports"
    ),
    "DROP TABLE old_exports",
    "CREATE INDEX exports_requested ON exports (requested_us)",
)


def upgrade() -> None:
    """Write down what NULL meant, and forbid it."""
    bind = op.get_bind()
    for statement in _POSTGRES if bind.dialect.name == "postgresql" else _SQLITE:
        bind.exec_driver_sql(statement)

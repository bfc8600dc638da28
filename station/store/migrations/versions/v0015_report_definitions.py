"""Definitions of reports that people made.

Revision 0015.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "report_definitions",
        sa.Column("id", _TEXT, primary_key=True, nullable=False),
        sa.Column("text", _TEXT, nullable=False),
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("changed_us", _INT64, nullable=False),
        sqlite_with_rowid=False,
    )

"""Which reads each person saw in the last day, and settings of the station.

Revision 0017.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Both tables are new."""
    op.create_table(
        "seen_reads",
        sa.Column("account", _TEXT, primary_key=True, nullable=False),
        sa.Column("unit", _TEXT, primary_key=True, nullable=False),
        sa.Column("record_id", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("seen_us", _INT64, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("seen_reads_time", "seen_reads", ["seen_us"])
    op.create_table(
        "settings",
        sa.Column("name", _TEXT, primary_key=True, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

"""Up to which numbers holds on units have been looked for.

Revision 0014.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table; without rows, the next refresh looks at everything."""
    op.create_table(
        "hold_seen",
        sa.Column("hold", _INT64, primary_key=True, nullable=False, autoincrement=False),
        sa.Column("life", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("first", _INT64, primary_key=True, nullable=False, autoincrement=False),
        sa.Column("last", _INT64, nullable=False),
        sa.Column("forks", _INT64, nullable=False),
        sqlite_with_rowid=False,
    )

"""Offers by unit and kind of file; those made before are updates.

Revision 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table again: SQLite cannot change a primary key."""
    op.rename_table("offers", "old_offers")
    op.create_table(
        "offers",
        sa.Column("unit", sa.Text, primary_key=True, nullable=False),
        sa.Column("kind", sa.Text, primary_key=True, nullable=False),
        sa.Column("release", _INT64, nullable=False),
        sa.Column("sha", sa.LargeBinary, nullable=False),
        sa.Column("size", _INT64, nullable=False),
        sa.Column("attempt", _INT64, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("offered_us", _INT64, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO offers (unit, kind, release, sha, size, attempt, parts, offered_us)"
        " SELECT unit, 'update', release, sha, size, attempt, parts, offered_us FROM old_offers"
    )
    op.drop_table("old_offers")

"""What the person who requested an export might see then; of open requests, what they may see now.

Revision 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns, and fill them."""
    for name in ("agencies", "units"):
        op.add_column("exports", sa.Column(name, _TEXT))
        op.execute(
            f"UPDATE exports SET {name} = (SELECT a.{name} FROM accounts a WHERE a.name = exports.account)"  # noqa: S608 - two names of our own
        )

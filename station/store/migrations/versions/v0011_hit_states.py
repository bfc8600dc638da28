"""What became of each hit; filled when the station opens the database, because the index of hits has changed, too.

Revision 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TEXTS = ("list_id", "list_name", "list_owner")
_INDEXES = {
    "made": ("made_us", "unit", "hit_id"),
    "unit": ("unit", "made_us"),
    "list": ("list_id", "made_us"),
    "owner": ("list_owner", "made_us"),
    "state": ("state", "made_us"),
    "outcome": ("outcome", "made_us"),
}


def upgrade() -> None:
    """Create the table with its indexes."""
    op.create_table(
        "hit_states",
        sa.Column("unit", _TEXT, primary_key=True, nullable=False),
        sa.Column("hit_id", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("agency", _TEXT, nullable=False),
        sa.Column("record_id", sa.LargeBinary, nullable=False),
        sa.Column("received_us", _INT64, nullable=False),
        sa.Column("boot", sa.LargeBinary),
        sa.Column("made_us", _INT64, nullable=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in _TEXTS),
        sa.Column("list_version", _INT64, nullable=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("priority", "state", "reason", "outcome")),
        *(sa.Column(name, _INT64) for name in ("lat_e7", "lon_e7", "error_cm")),
    )
    for name, columns in _INDEXES.items():
        op.create_index(f"hit_states_{name}", "hit_states", list(columns))

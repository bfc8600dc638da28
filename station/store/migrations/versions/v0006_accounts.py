"""Purpose and case number in the audit trail.

Revision 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Entries made before have neither."""
    for name in ("purpose", "case_number"):
        op.add_column("audit", sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''")))

"""People, zones, plans, and the sums that are taken over from shifts, coverage and incidents.

On PostgreSQL they have a schema of their own, so that a database account can be allowed to read them, or not.

Revision 0009.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_SCHEMA = "deployment"
_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KINDS: dict[str, Any] = {"t": sa.Text, "n": _INT64, "i": sa.Integer, "b": sa.LargeBinary}
_TABLES: dict[str, str] = {
    # Name and kind of each column; * is part of the primary key, ? may be NULL.
    "people": "badge:t* name:t rights:t training_until:t? overtime_class:t pin:t? active:i",
    "zones": "id:t* name:t corners:t",
    "checkpoints": "id:t* name:t lat_e7:n lon_e7:n",
    "assets": "kind:t* id:t* name:t unit:t out_of_service:t",
    "shifts": (
        "id:t* badge:t starts_us:n ends_us:n overtime_class:t hours:t assignments:t note:t cancelled:i version:n"
    ),
    "worked": (
        "shift_id:b* unit:t revision:n stage:t badge:t started_us:n? told_us:n when_us:n worked_s:n plan_id:t"
        " overtime_class:t overtime_s:n? vehicle:t zone:t checkpoint:t task:t equipment:t hours:t unmeasured:n"
        " end_reason:t incidents:n unanswered:n training:t"
    ),
    "periods": "unit:t* period_id:b* ends_us:n",
    "coverage": ("hour:n* unit:t* zone:t* distance_m:n located_ms:n reads:n unlocated_ms:n periods:n jumps:n"),
    "incidents": (
        "incident_id:b* unit:t record_id:b revision:n stage:t shift_id:b when_us:n lat_e7:n? lon_e7:n? place:t"
        " category:t case_number:t contribution:t outcome:t reads:t hits:t"
    ),
    "cursors": "schema:t* received_us:n",
    "settings": "name:t* value:t",
}
_INDEXES = (("shifts", "starts_us"), ("worked", "when_us"), ("periods", "ends_us"), ("incidents", "when_us"))


def upgrade() -> None:
    """All tables are new."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    schema, prefix = (None, f"{_SCHEMA}_") if is_sqlite else (_SCHEMA, "")
    if not is_sqlite:
        op.execute(sa.schema.CreateSchema(_SCHEMA))
    for name, columns in _TABLES.items():
        op.create_table(f"{prefix}{name}", *(_column(told) for told in columns.split()), schema=schema)
    for table, column in _INDEXES:
        op.create_index(f"{_SCHEMA}_{table}_{column}", f"{prefix}{table}", [column], schema=schema)


def _column(told: str) -> sa.Column[Any]:
    name, _, kind = told.partition(":")
    return sa.Column(name, _KINDS[kind[0]], primary_key="*" in kind, nullable="?" in kind, autoincrement=False)

"""Accounts, sessions, tokens, searches and exports; purpose and case number in the audit trail; agencies of units.

Revision 0006.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Entries made before have neither purpose nor case number; the station finds the agencies when it starts."""
    for name in ("purpose", "case_number"):
        op.add_column("audit", sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_index("audit_who", "audit", ["who", "number"])
    op.create_index("audit_case", "audit", ["case_number", "number"])
    op.create_index("audit_filter", "audit", ["filter"], postgresql_using="hash")
    op.add_column("units", sa.Column("agency", sa.Text))
    op.create_index("units_agency", "units", ["agency"])
    _accounts()
    _work()


def _key(name: str, kind: Any = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def _must(name: str, kind: Any = sa.Text, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=None if default is None else sa.text(default))


def _accounts() -> None:
    op.create_table(
        "accounts",
        _key("name"),
        _must("full_name"),
        _must("role"),
        sa.Column("agencies", sa.Text),
        sa.Column("units", sa.Text),
        sa.Column("password", sa.Text),
        sa.Column("totp", sa.Text),
        _must("totp_step", _INT64, "0"),
        sa.Column("setup", sa.LargeBinary),
        sa.Column("setup_until_us", _INT64),
        sa.Column("subject", sa.Text),
        _must("disabled", sa.Integer, "0"),
        _must("failures", sa.Integer, "0"),
        _must("blocked_until_us", _INT64, "0"),
        _must("created_us", _INT64),
        _must("password_us", _INT64, "0"),
    )
    op.create_index("accounts_subject", "accounts", ["subject"], unique=True)
    op.create_table(
        "sessions",
        _key("id", sa.LargeBinary),
        _must("account"),
        _must("csrf"),
        _must("created_us", _INT64),
        _must("used_us", _INT64),
        _must("purpose", default="''"),
        _must("case_number", default="''"),
        _must("purpose_us", _INT64, "0"),
    )
    op.create_index("sessions_account", "sessions", ["account"])
    op.create_table(
        "tokens",
        _key("token_id"),
        _must("hash", sa.LargeBinary),
        _must("account"),
        _must("label"),
        _must("created_us", _INT64),
        _must("expires_us", _INT64),
    )
    op.create_index("tokens_hash", "tokens", ["hash"], unique=True)


def _work() -> None:
    op.create_table(
        "searches", _key("search_id"), _must("account"), _must("kind"), _must("body"), _must("made_us", _INT64)
    )
    op.create_index("searches_made", "searches", ["made_us"])
    op.create_table(
        "exports",
        _key("export_id"),
        _must("account"),
        _must("kind"),
        _must("body"),
        _must("purpose"),
        _must("case_number"),
        _must("requested_us", _INT64),
        _must("state"),
        _must("decided_by", default="''"),
        _must("decided_us", _INT64, "0"),
        _must("note", default="''"),
        _must("until_us", _INT64, "0"),
        _must("done", _INT64, "0"),
        _must("size", _INT64, "0"),
    )
    op.create_index("exports_requested", "exports", ["requested_us"])
    op.create_table("export_parts", _key("export_id"), _key("number", _INT64), _must("data", sa.LargeBinary))

"""Tables of the station's people: accounts, sessions, tokens, their searches, exports and what they saw; settings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, text

from station.store.tables import INT64, METADATA


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def _must(name: str, kind: Any, default: str | None = None) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=None if default is None else text(default))


ACCOUNTS = Table(
    "accounts",
    METADATA,
    _key("name", Text),
    _must("full_name", Text),
    _must("role", Text),
    Column("agencies", Text),  # JSON list; NULL: all
    Column("units", Text),  # JSON list; NULL: all
    Column("password", Text),  # argon2id in PHC form; NULL: not set yet
    Column("totp", Text),  # base32; NULL: not enrolled
    _must("totp_step", INT64, "0"),  # the last one that was used
    Column("setup", LargeBinary),  # hash of the one-time link
    Column("setup_until_us", INT64),
    Column("subject", Text),  # of the agency's own log-in service
    _must("disabled", Integer, "0"),
    _must("failures", Integer, "0"),
    _must("blocked_until_us", INT64, "0"),
    _must("created_us", INT64),
    _must("password_us", INT64, "0"),
)
Index("accounts_subject", ACCOUNTS.c.subject, unique=True)

SESSIONS = Table(
    "sessions",
    METADATA,
    _key("id", LargeBinary),  # SHA-256 of what the browser has
    _must("account", Text),
    _must("csrf", Text),
    _must("created_us", INT64),
    _must("used_us", INT64),
    _must("purpose", Text, "''"),
    _must("case_number", Text, "''"),
    _must("purpose_us", INT64, "0"),
)
Index("sessions_account", SESSIONS.c.account)

TOKENS = Table(
    "tokens",
    METADATA,
    _key("token_id", Text),
    _must("hash", LargeBinary),
    _must("account", Text),
    _must("label", Text),
    _must("created_us", INT64),
    _must("expires_us", INT64),
)
Index("tokens_hash", TOKENS.c.hash, unique=True)

SEARCHES = Table(
    "searches",
    METADATA,
    _key("search_id", Text),
    _must("account", Text),
    _must("kind", Text),
    _must("body", Text),  # JSON
    _must("made_us", INT64),
)
Index("searches_made", SEARCHES.c.made_us)

EXPORTS = Table(
    "exports",
    METADATA,
    _key("export_id", Text),
    _must("account", Text),
    _must("kind", Text),
    _must("body", Text),  # JSON
    _must("purpose", Text),
    _must("case_number", Text),
    _must("requested_us", INT64),
    _must("state", Text),
    _must("decided_by", Text, "''"),
    _must("decided_us", INT64, "0"),
    _must("note", Text, "''"),
    _must("until_us", INT64, "0"),
    _must("done", INT64, "0"),
    _must("size", INT64, "0"),
    _must("agencies", Text),  # as of the account when it was requested: JSON list, or null for all
    _must("units", Text),
)
Index("exports_requested", EXPORTS.c.requested_us)

EXPORT_PARTS = Table(
    "export_parts",
    METADATA,
    _key("export_id", Text),
    _key("number", INT64),
    _must("data", LargeBinary),
)

SEEN_READS = Table(
    "seen_reads",
    METADATA,
    _key("account", Text),
    _key("unit", Text),
    _key("record_id", LargeBinary),
    _must("seen_us", INT64),  # for the first time
    sqlite_with_rowid=False,
)
"""Which reads each person saw in the last day."""
Index("seen_reads_time", SEEN_READS.c.seen_us)

SETTINGS = Table("settings", METADATA, _key("name", Text), _must("value", Text), sqlite_with_rowid=False)
"""What an administrator has set."""

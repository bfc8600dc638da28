"""Accounts, sessions and tokens in the database; part of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, or_, select, update

from station.store.rows_accounts import AccountRow, SessionRow, TokenRow
from station.store.scope import scope_columns, scope_of
from station.store.tables_accounts import ACCOUNTS, SESSIONS, TOKENS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from station.store.database import Database

_ACCOUNT = (
    ACCOUNTS.c.name, ACCOUNTS.c.full_name, ACCOUNTS.c.role, ACCOUNTS.c.agencies, ACCOUNTS.c.units,
    ACCOUNTS.c.created_us, ACCOUNTS.c.password, ACCOUNTS.c.totp, ACCOUNTS.c.totp_step, ACCOUNTS.c.setup,
    ACCOUNTS.c.setup_until_us, ACCOUNTS.c.subject, ACCOUNTS.c.disabled, ACCOUNTS.c.failures,
    ACCOUNTS.c.blocked_until_us, ACCOUNTS.c.password_us,
)  # fmt: skip
_SESSION = (
    SESSIONS.c.id, SESSIONS.c.account, SESSIONS.c.csrf, SESSIONS.c.created_us, SESSIONS.c.used_us,
    SESSIONS.c.purpose, SESSIONS.c.case_number, SESSIONS.c.purpose_us,
)  # fmt: skip
_TOKEN = (
    TOKENS.c.token_id, TOKENS.c.hash, TOKENS.c.account, TOKENS.c.label, TOKENS.c.created_us, TOKENS.c.expires_us,
)  # fmt: skip


class AccountTables:
    """Writes are inside a transaction of the store.  Every method raises StoreError if the database fails."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[AccountRow]:
        """Every account, sorted by name."""
        return [_account(row) for row in self._db.all(select(*_ACCOUNT).order_by(ACCOUNTS.c.name))]

    def get(self, name: str) -> AccountRow | None:
        """Return an account; None if there is none."""
        return self._one(ACCOUNTS.c.name == name)

    def of_subject(self, subject: str) -> AccountRow | None:
        """Return the account of a person of the agency's log-in service."""
        return self._one(ACCOUNTS.c.subject == subject)

    def of_setup(self, setup: bytes) -> AccountRow | None:
        """Return the account whose one-time link has this hash."""
        return self._one(ACCOUNTS.c.setup == setup)

    def _one(self, condition: ColumnElement[bool]) -> AccountRow | None:
        row = self._db.first(select(*_ACCOUNT).where(condition))
        return None if row is None else _account(row)

    def lock(self, name: str) -> AccountRow | None:
        """Return an account that no other process changes until the transaction ends."""
        row = self._db.run(select(*_ACCOUNT).where(ACCOUNTS.c.name == name).with_for_update()).first()
        return None if row is None else _account(row)

    def put(self, account: AccountRow) -> None:
        """Store an account, new or changed."""
        values = {
            "name": account.name, "full_name": account.full_name, "role": account.role,
            **scope_columns(account.scope),
            "created_us": account.created_us, "password": account.password, "totp": account.totp,
            "totp_step": account.totp_step, "setup": account.setup, "setup_until_us": account.setup_until_us,
            "subject": account.subject, "disabled": int(account.disabled), "failures": account.failures,
            "blocked_until_us": account.blocked_until_us, "password_us": account.password_us,
        }  # fmt: skip
        statement = self._db.insert(ACCOUNTS)
        changed = {name: statement.excluded[name] for name in values if name != "name"}
        self._db.run(statement.on_conflict_do_update(index_elements=["name"], set_=changed), values)

    def add_session(self, session: SessionRow) -> None:
        """Store a new session."""
        values = dict(zip((column.name for column in _SESSION), _values(session), strict=True))
        self._db.run(self._db.insert(SESSIONS), values)

    def session(self, id_hash: bytes) -> SessionRow | None:
        """Return a session; None if there is none."""
        row = self._db.first(select(*_SESSION).where(SESSIONS.c.id == id_hash))
        return None if row is None else SessionRow(*row)

    def touch_session(self, id_hash: bytes, used_us: int) -> None:
        """Note that a session is used."""
        self._db.run(update(SESSIONS).where(SESSIONS.c.id == id_hash).values(used_us=used_us))

    def set_purpose(self, id_hash: bytes, purpose: str, case_number: str, now_us: int) -> None:
        """Store why the person of a session looks."""
        values = {"purpose": purpose, "case_number": case_number, "purpose_us": now_us}
        self._db.run(update(SESSIONS).where(SESSIONS.c.id == id_hash).values(values))

    def end_session(self, id_hash: bytes) -> None:
        """Delete a session."""
        self._db.run(delete(SESSIONS).where(SESSIONS.c.id == id_hash))

    def end_sessions(self, account: str, *, tokens: bool) -> int:
        """Delete all sessions of an account, and its tokens if asked; return how many sessions there were."""
        if tokens:
            self._db.run(delete(TOKENS).where(TOKENS.c.account == account))
        return int(self._db.run(delete(SESSIONS).where(SESSIONS.c.account == account)).rowcount)

    def drop_sessions(self, *, used_before_us: int, created_before_us: int, after_us: int) -> None:
        """Delete sessions that have expired, or were used after a time, which has not come yet."""
        old = or_(SESSIONS.c.used_us < used_before_us, SESSIONS.c.created_us < created_before_us)
        self._db.run(delete(SESSIONS).where(or_(old, SESSIONS.c.used_us > after_us)))

    def count_sessions(self) -> dict[str, int]:
        """Return the number of sessions of each account that has some."""
        statement = select(SESSIONS.c.account, func.count()).group_by(SESSIONS.c.account)
        return {account: count for account, count in self._db.all(statement)}  # noqa: C416 - a row is no pair to mypy

    def add_token(self, token: TokenRow) -> None:
        """Store a new token."""
        values = (
            token.token_id,
            token.token_hash,
            token.account,
            token.label,
            token.created_us,
            token.expires_us,
        )
        named = dict(zip((column.name for column in _TOKEN), values, strict=True))
        self._db.run(self._db.insert(TOKENS), named)

    def token(self, token_hash: bytes) -> TokenRow | None:
        """Return a token; None if there is none."""
        row = self._db.first(select(*_TOKEN).where(TOKENS.c.hash == token_hash))
        return None if row is None else TokenRow(*row)

    def tokens(self, account: str) -> list[TokenRow]:
        """Return the tokens of an account, the newest first."""
        statement = select(*_TOKEN).where(TOKENS.c.account == account)
        return [
            TokenRow(*row)
            for row in self._db.all(statement.order_by(TOKENS.c.created_us.desc(), TOKENS.c.token_id))
        ]

    def drop_token(self, account: str, token_id: str) -> bool:
        """Delete a token of an account; False if there is none."""
        own = and_(TOKENS.c.account == account, TOKENS.c.token_id == token_id)
        return bool(self._db.run(delete(TOKENS).where(own)).rowcount)


def _account(row: Any) -> AccountRow:
    name, full_name, role, agencies, units, created_us, *rest = row
    scope = scope_of(agencies, units)
    password, totp, totp_step, setup, setup_until_us, subject, disabled, *last = rest
    return AccountRow(
        name,
        full_name,
        role,
        scope,
        created_us,
        password,
        totp,
        totp_step,
        setup,
        setup_until_us,
        subject,
        bool(disabled),
        *last,
    )


def _values(session: SessionRow) -> tuple[Any, ...]:
    return (
        session.id_hash,
        session.account,
        session.csrf,
        session.created_us,
        session.used_us,
        session.purpose,
        session.case_number,
        session.purpose_us,
    )

"""Log-ins, sessions of browsers and tokens of programs."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from station.accounts import second_factor
from station.accounts.accounts import Person, hash_of
from station.accounts.attempts import blocked_until_us, is_blocked
from station.errors import AccountError
from station.noted import AHEAD_US, has_ended, is_over
from station.store import AuditRow, SessionRow, TokenRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.accounts.passwords import Passwords
    from station.store import AccountRow, Store

_US_PER_S = 1_000_000
IDLE_US = 30 * 60 * _US_PER_S
LONGEST_US = 12 * 3600 * _US_PER_S
"""A shift and its overlap."""
PURPOSE_US = 3600 * _US_PER_S
"""How long purpose and case number hold."""
_TOUCH_US = 60 * _US_PER_S
"""A session's use is written once a minute, not at each request."""
_DAY_US = 86_400 * _US_PER_S
MAX_TOKEN_DAYS = 31
MAX_PROVED_DAYS = 366
"""Of a token that was made with the second factor."""
FRESH_US = 5 * 60 * _US_PER_S
"""How long after a log-in at the agency's own service somebody without a password can make tokens."""
_MAX_LABEL = 60
_REFUSED = (
    "name, password or code is wrong, or the account is blocked: after three failed attempts it is blocked for some "
    "seconds, later for up to an hour"
)
"""One answer for all: it does not tell which accounts exist."""


class LogIn:
    """Every method raises StoreError if the database fails; then nobody is logged in."""

    def __init__(
        self, store: Store, clock_us: Callable[[], int], passwords: Passwords, *, second_factor: bool
    ) -> None:
        self._store = store
        self._clock_us = clock_us
        self._passwords = passwords
        self._needs_second_factor = second_factor

    def log_in(self, name: str, password: str, code: str) -> tuple[str, Person]:
        """Return the secret of a new session, for the cookie, and the person.  Raises AccountError.

        Raises BusyError if too many log in at this moment; then no attempt is counted.
        """
        account, step = self._proved(name.strip().lower(), password, code, "log in attempt")
        return self._open(account, step, "log in")

    def _proved(self, name: str, password: str, code: str, what: str) -> tuple[AccountRow, int | None]:
        """Return the account whose password and code these are, and the step of the code."""
        with self._passwords.places.take():
            account = self._begin_attempt(name, what)
            is_right = self._passwords.is_right(None if account is None else account.password, password)
        if account is None or not is_right:
            raise AccountError(_REFUSED)
        step: int | None = None
        if account.totp is not None:
            step = second_factor.used_step(account.totp, code, self._clock_us(), account.totp_step)
        if step is None and (account.totp is not None or self._needs_second_factor):
            raise AccountError(_REFUSED)
        return account, step

    def log_in_subject(self, subject: str) -> tuple[str, Person]:
        """As :meth:`log_in`, of a person whom the agency's own service has identified.  Raises AccountError."""
        account = self._store.accounts.of_subject(subject)
        if account is None or account.disabled:
            self._note("?", "log in refused", "by=oidc")
            raise AccountError("there is no account for this person at the station: ask an administrator")
        return self._open(account, None, "log in by oidc")

    def _begin_attempt(self, name: str, what: str) -> AccountRow | None:
        """Count the attempt before it is looked at: a crash, or a hundred at once, forgive nothing."""
        now_us = self._clock_us()
        with self._store.transaction():
            account = self._store.accounts.lock(name)
            if account is None:
                # A password typed as a name must not be stored.
                self._store.audit(AuditRow(now_us, "?", "log in refused", "", 0))
                return None
            if account.disabled or is_blocked(account.blocked_until_us, now_us):
                self._store.audit(AuditRow(now_us, name, "log in refused", "blocked=yes", 0))
                return None
            failures = account.failures + 1
            counted = replace(account, failures=failures, blocked_until_us=blocked_until_us(failures, now_us))
            self._store.accounts.put(counted)
            self._store.audit(AuditRow(now_us, name, what, f"failures_before={account.failures}", 0))
        return counted

    def _open(self, account: AccountRow, step: int | None, what: str) -> tuple[str, Person]:
        now_us = self._clock_us()
        secret = secrets.token_urlsafe(32)
        session = SessionRow(hash_of(secret), account.name, secrets.token_urlsafe(32), now_us, now_us)
        with self._store.transaction():
            opened = self._accept(account, step)
            self._store.accounts.drop_sessions(
                used_before_us=now_us - IDLE_US,
                created_before_us=now_us - LONGEST_US,
                after_us=now_us + AHEAD_US,
            )
            self._store.accounts.add_session(session)
            self._store.audit(AuditRow(now_us, account.name, what, "", 1))
        return secret, Person(opened, session)

    def _accept(self, account: AccountRow, step: int | None) -> AccountRow:
        """Forgive the attempts before, and use up the code.  Inside a transaction.  Raises AccountError."""
        now = self._store.accounts.lock(account.name)
        # What was compared must still be in force: an administrator may have reset the account meanwhile.
        if now is None or now.disabled or (now.password, now.totp) != (account.password, account.totp):
            raise AccountError(_REFUSED)
        if step is not None and step <= now.totp_step:
            raise AccountError(_REFUSED)
        accepted = replace(now, failures=0, blocked_until_us=0, totp_step=now.totp_step if step is None else step)
        self._store.accounts.put(accepted)
        return accepted

    def person(self, secret: str, *, used: bool = True) -> Person | None:
        """Return who has a session; None if there is none, or it has ended.

        ``used`` is False for what a page does by itself: it does not keep the session.
        """
        now_us = self._clock_us()
        session = self._store.accounts.session(hash_of(secret))
        if session is None or is_over(session.used_us, now_us, IDLE_US):
            return None
        if is_over(session.created_us, now_us, LONGEST_US):
            return None
        account = self._store.accounts.get(session.account)
        if account is None or account.disabled:
            return None
        if used and now_us - session.used_us > _TOUCH_US:
            with self._store.transaction():
                self._store.accounts.touch_session(session.id_hash, now_us)
        if is_over(session.purpose_us, now_us, PURPOSE_US):
            session = replace(session, purpose="", case_number="")
        return Person(account, session)

    def set_purpose(self, session: SessionRow, purpose: str, case_number: str) -> None:
        """Keep why the person of a session looks."""
        with self._store.transaction():
            self._store.accounts.set_purpose(session.id_hash, purpose, case_number, self._clock_us())

    def log_out(self, person: Person) -> None:
        """End the session."""
        if person.session is not None:
            with self._store.transaction():
                self._store.accounts.end_session(person.session.id_hash)
                self._store.audit(AuditRow(self._clock_us(), person.account.name, "log out", "", 0))

    def add_token(self, person: Person, label: str, days: int, *, password: str = "", code: str = "") -> str:
        """Return a token with which a program acts for a person, who proves again who they are.

        A token lives longer than the session: whoever finds a browser must not be able to make one.  Attempts count as
        those to log in.  Raises AccountError; BusyError as :meth:`log_in`.
        """
        if not 0 < len(label) <= _MAX_LABEL or not label.isprintable():
            raise AccountError(f"say in 1 to {_MAX_LABEL} characters which program has the token")
        longest = max_token_days(person.account)
        if not 1 <= days <= longest:
            more = "" if longest == MAX_PROVED_DAYS else f"; with a second factor here, up to {MAX_PROVED_DAYS}"
            raise AccountError(f"a token is valid for 1 to {longest} days{more}")
        account, step = self._proved_again(person, password, code)
        secret, now_us = f"lpr_{secrets.token_urlsafe(32)}", self._clock_us()
        name = account.name
        row = TokenRow(secrets.token_hex(8), hash_of(secret), name, label, now_us, now_us + days * _DAY_US)
        asked = f"token={row.token_id} days={days} second_factor={step is not None}"
        with self._store.transaction():
            self._accept(account, step)
            self._store.accounts.add_token(row)
            self._store.audit(AuditRow(now_us, name, "token add", asked, 1))
        return secret

    def _proved_again(self, person: Person, password: str, code: str) -> tuple[AccountRow, int | None]:
        if person.account.password is not None:
            return self._proved(person.account.name, password, code, "token attempt")
        session = person.session
        if session is None or is_over(session.created_us, self._clock_us(), FRESH_US):
            minutes = FRESH_US // 60_000_000
            raise AccountError(
                f"this account has no password: log in again, and make the token within {minutes} minutes"
            )
        return person.account, None

    def tokens(self, person: Person) -> list[TokenRow]:
        """Return a person's tokens."""
        return self._store.accounts.tokens(person.account.name)

    def drop_token(self, person: Person, token_id: str) -> bool:
        """End a person's token; False if there is none."""
        with self._store.transaction():
            dropped = self._store.accounts.drop_token(person.account.name, token_id)
            asked = f"token={token_id}" if dropped else "token=?"
            self._store.audit(AuditRow(self._clock_us(), person.account.name, "token drop", asked, int(dropped)))
        return dropped

    def program(self, secret: str) -> Person | None:
        """Return for whom a program with a token acts; None if it is unknown or has expired."""
        token = self._store.accounts.token(hash_of(secret))
        if token is None or has_ended(token.expires_us, self._clock_us(), MAX_PROVED_DAYS * _DAY_US):
            return None
        if is_over(token.created_us, self._clock_us(), MAX_PROVED_DAYS * _DAY_US):
            return None
        account = self._store.accounts.get(token.account)
        return None if account is None or account.disabled else Person(account, None)

    def _note(self, who: str, what: str, asked: str) -> None:
        with self._store.transaction():
            self._store.audit(AuditRow(self._clock_us(), who, what, asked, 0))


def max_token_days(account: AccountRow) -> int:
    """Return how long a token of an account may be valid."""
    return MAX_PROVED_DAYS if account.password is not None and account.totp is not None else MAX_TOKEN_DAYS

"""Makes and changes accounts; each change is in the audit trail, in its transaction."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from station.accounts import second_factor
from station.accounts.attempts import blocked_until_us, is_blocked
from station.accounts.passwords import check_new
from station.accounts.rights import RIGHTS, Right, Role, rights_of
from station.errors import AccountError
from station.noted import has_ended
from station.store import AccountRow, AuditRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.accounts.passwords import Passwords
    from station.asker import Asker, Scope
    from station.store import SessionRow, Store

SETUP_US = 24 * 3_600_000_000
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")
_MAX_FULL_NAME = 80


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    account: AccountRow
    session: SessionRow | None
    """None for a program with a token."""

    @property
    def rights(self) -> frozenset[Right]:
        """What they may do."""
        return rights_of(self.account.role)


class Accounts:
    """The accounts of a station.  Every method raises StoreError, and then nothing was changed."""

    def __init__(
        self, store: Store, clock_us: Callable[[], int], passwords: Passwords, *, second_factor: bool
    ) -> None:
        """Without ``second_factor`` an account may go without one: for a station that only its machine can reach."""
        self._store = store
        self._clock_us = clock_us
        self._passwords = passwords
        self.needs_second_factor = second_factor

    def all(self) -> list[AccountRow]:
        """Every account, sorted by name."""
        return self._store.accounts.all()

    def get(self, name: str) -> AccountRow:
        """Return an account.  Raises AccountError if there is none."""
        found = self._store.accounts.get(name)
        if found is None:
            raise AccountError(f"there is no account {name!r}: see `patrol-lpr station account list`")
        return found

    def add(
        self, by: Asker, name: str, *, full_name: str, role: str, scope: Scope, subject: str | None = None
    ) -> str:
        """Make an account; return the secret of the link with which its person sets a password.

        Raises AccountError for a name that is taken or cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise AccountError(f"{name!r} cannot be a name: use 2 to 32 of a-z 0-9 . _ -, a letter first")
        now_us = self._clock_us()
        account = AccountRow(name, _checked(full_name), _role(role), scope, now_us, subject=_subject(subject))
        account, link = _with_link(account, now_us)
        with self._store.transaction():
            if self._store.accounts.lock(name) is not None:
                raise AccountError(f"there is an account {name!r} already")
            self._check_subject(account)
            self._check_zones(scope)
            self._store.accounts.put(account)
            self._note(by, "account add", f"account={name} role={account.role}{_limits(scope)}", now_us)
        return link

    def change(
        self,
        by: Asker,
        name: str,
        *,
        full_name: str,
        role: str,
        scope: Scope,
        subject: str | None,
        seen: str | None = None,
    ) -> None:
        """Change who somebody is.  Raises AccountError.

        ``seen`` is :func:`seen_of` the account that is to be changed: what somebody else has taken away meanwhile is
        not given back.
        """
        now_us = self._clock_us()
        with self._store.transaction():
            account = self._locked(name)
            if seen is not None and seen != seen_of(account):
                raise AccountError("somebody else changed this account meanwhile: look at it again, below")
            changed = replace(
                account, full_name=_checked(full_name), role=_role(role), scope=scope, subject=_subject(subject)
            )
            self._check_subject(changed)
            self._check_zones(scope)
            self._keep_an_administrator(account, changed)
            self._store.accounts.put(changed)
            # Whoever has fewer rights now keeps no page of before.
            self._store.accounts.end_sessions(name, tokens=changed.role != account.role)
            self._note(by, "account change", f"account={name} role={changed.role}{_limits(scope)}", now_us)

    def _check_zones(self, scope: Scope) -> None:
        """A zone that was misspelt would hide everything."""
        there = {zone.id for zone in self._store.deployment.resources().zones} if scope.zones else set()
        for zone in sorted((scope.zones or set()) - there):
            raise AccountError(
                f"there is no zone {zone!r}: see the page Zones, or `patrol-lpr deployment zones show`"
            )

    def disable(self, by: Asker, name: str, *, disabled: bool = True) -> None:
        """Disable an account, which ends its sessions and tokens, or enable it.  Raises AccountError."""
        with self._store.transaction():
            account = self._locked(name)
            changed = replace(account, disabled=disabled)
            self._keep_an_administrator(account, changed)
            self._store.accounts.put(changed)
            if disabled:
                self._store.accounts.end_sessions(name, tokens=True)
            self._note(
                by, "account disable" if disabled else "account enable", f"account={name}", self._clock_us()
            )

    def reset(self, by: Asker, name: str) -> str:
        """Take password and second factor away and lift a block; return the secret of a new link."""
        now_us = self._clock_us()
        with self._store.transaction():
            account = replace(self._locked(name), password=None, totp=None, failures=0, blocked_until_us=0)
            account, link = _with_link(account, now_us)
            self._store.accounts.put(account)
            self._store.accounts.end_sessions(name, tokens=True)
            self._note(by, "account reset", f"account={name}", now_us)
        return link

    def of_link(self, link: str) -> AccountRow | None:
        """Return the account that a link is for; None if it is wrong, used or too old."""
        account = self._store.accounts.of_setup(hash_of(link))
        if (
            account is None
            or account.disabled
            or has_ended(account.setup_until_us or 0, self._clock_us(), SETUP_US)
        ):
            return None
        return account

    def set_up(self, link: str, password: str, code: str) -> AccountRow:
        """Set the password, and confirm the second factor; the link ends.  Raises AccountError."""
        now_us = self._clock_us()
        account = self.of_link(link)
        if account is None:
            raise AccountError("this link is not valid any more: ask an administrator for a new one")
        check_new(password, account.name)
        step = second_factor.used_step(account.totp or "", code, now_us, account.totp_step) if code else None
        if code and step is None:
            raise AccountError("the code is wrong: check the clock of the telephone, and type the newest code")
        if step is None and self.needs_second_factor:
            raise AccountError("type the code that the authenticator shows")
        hashed = self._passwords.hash(password)
        with self._store.transaction():
            now = self._locked(account.name)
            if now.setup != account.setup:
                raise AccountError("this link is not valid any more: ask an administrator for a new one")
            changed = replace(
                now, password=hashed, password_us=now_us, setup=None, setup_until_us=None, failures=0,
                blocked_until_us=0, totp=None if step is None else now.totp, totp_step=step or now.totp_step,
            )  # fmt: skip
            self._store.accounts.put(changed)
            self._store.accounts.end_sessions(account.name, tokens=True)
            entry = AuditRow(now_us, account.name, "account set up", f"second_factor={step is not None}", 0)
            self._store.audit(entry)
        return changed

    def change_password(self, person: Person, old: str, new: str) -> None:
        """Change one's own password, which ends all sessions.  Raises AccountError.

        Attempts count as those to log in: whoever finds a session must not find the password, too.
        """
        check_new(new, person.account.name)
        account = self._begin_attempt(person.account.name)
        if not self._passwords.is_right(account.password, old):
            raise AccountError("the old password is wrong")
        hashed, now_us = self._passwords.hash(new), self._clock_us()
        with self._store.transaction():
            now = self._locked(account.name)
            # Hashing takes long enough for an administrator to reset the account.
            if now.disabled or now.password != account.password:
                raise AccountError("the account was changed meanwhile: log in again")
            changed = replace(now, password=hashed, password_us=now_us, failures=0, blocked_until_us=0)
            self._store.accounts.put(changed)
            self._store.accounts.end_sessions(account.name, tokens=True)
            self._store.audit(AuditRow(now_us, account.name, "password change", "", 0))

    def _begin_attempt(self, name: str) -> AccountRow:
        now_us = self._clock_us()
        with self._store.transaction():
            account = self._locked(name)
            if is_blocked(account.blocked_until_us, now_us):
                raise AccountError(
                    "after failed attempts the account is blocked for some seconds to an hour: wait"
                )
            failures = account.failures + 1
            counted = replace(account, failures=failures, blocked_until_us=blocked_until_us(failures, now_us))
            self._store.accounts.put(counted)
            asked = f"failures_before={account.failures}"
            self._store.audit(AuditRow(now_us, name, "password change attempt", asked, 0))
        return counted

    def _locked(self, name: str) -> AccountRow:
        account = self._store.accounts.lock(name)
        if account is None:
            raise AccountError(f"there is no account {name!r}: see `patrol-lpr station account list`")
        return account

    def _keep_an_administrator(self, before: AccountRow, after: AccountRow) -> None:
        """Somebody must be able to make accounts."""
        if not _administers(before) or _administers(after):
            return
        if not any(_administers(other) for other in self._store.accounts.all() if other.name != before.name):
            raise AccountError("this is the last administrator: make another one first")

    def _check_subject(self, account: AccountRow) -> None:
        other = None if account.subject is None else self._store.accounts.of_subject(account.subject)
        if other is not None and other.name != account.name:
            raise AccountError(f"account {other.name!r} has this subject already")

    def _note(self, by: Asker, what: str, asked: str, now_us: int) -> None:
        self._store.audit(AuditRow(now_us, by.who, what, asked, 1, by.purpose, by.case_number))


def seen_of(account: AccountRow) -> str:
    """What stands for an account, as it is shown, in a form."""
    shown = (account.full_name, account.role, _limits(account.scope), account.subject)
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def hash_of(secret: str) -> bytes:
    """Secrets of 256 bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def _with_link(account: AccountRow, now_us: int) -> tuple[AccountRow, str]:
    link = secrets.token_urlsafe(32)
    changed = replace(
        account, setup=hash_of(link), setup_until_us=now_us + SETUP_US, totp=second_factor.new_secret()
    )
    return changed, link


def _administers(account: AccountRow) -> bool:
    return account.role == Role.ADMINISTRATOR and not account.disabled


def _role(role: str) -> str:
    if role not in set(RIGHTS):
        raise AccountError(f"{role!r} is no role: use {', '.join(RIGHTS)}")
    return role


def _checked(full_name: str) -> str:
    name = full_name.strip()
    if not 0 < len(name) <= _MAX_FULL_NAME or not name.isprintable():
        raise AccountError(f"a person's name has 1 to {_MAX_FULL_NAME} printed characters")
    return name


def _subject(subject: str | None) -> str | None:
    return subject.strip() or None if subject else None


def _limits(scope: Scope) -> str:
    agencies = "" if scope.agencies is None else f" agencies={','.join(sorted(scope.agencies))}"
    units = "" if scope.units is None else f" units={','.join(sorted(scope.units))}"
    zones = "" if scope.zones is None else f" zones={','.join(sorted(scope.zones))}"
    return agencies + units + zones

"""Data types of accounts, sessions, tokens, searches and exports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from station.asker import Scope


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One person's account."""

    name: str
    full_name: str
    role: str
    scope: Scope
    created_us: int
    password: str | None = None
    """argon2id in PHC form; None: not set yet."""
    totp: str | None = None
    """Secret of the second factor, base32; None: not enrolled."""
    totp_step: int = 0
    """The last time step that was used: none is accepted twice."""
    setup: bytes | None = None
    """SHA-256 of the one-time link with which a password is set."""
    setup_until_us: int | None = None
    subject: str | None = None
    """Who they are at the agency's own log-in service."""
    disabled: bool = False
    failures: int = 0
    """Failed attempts since the last log in."""
    blocked_until_us: int = 0
    password_us: int = 0
    """When the password was set."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One browser that is logged in."""

    id_hash: bytes
    """SHA-256 of the cookie."""
    account: str
    csrf: str
    created_us: int
    used_us: int
    purpose: str = ""
    case_number: str = ""
    purpose_us: int = 0
    """When purpose and case number were given."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Access of a program, for an account."""

    token_id: str
    token_hash: bytes
    account: str
    label: str
    created_us: int
    expires_us: int


@dataclass(frozen=True, slots=True)
class SearchRow:
    """What a person searched for: it is named by its id, so that no plate stands in an address."""

    search_id: str
    account: str
    kind: str
    body: str
    made_us: int


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A request for an export."""

    export_id: str
    account: str
    kind: str
    """``csv``, ``geojson``, ``kml`` or ``gpx``."""
    body: str
    """The search, as JSON."""
    purpose: str
    case_number: str
    requested_us: int
    state: str
    decided_by: str = ""
    decided_us: int = 0
    note: str = ""
    """Why it was refused, or failed."""
    until_us: int = 0
    """Until when it can be downloaded."""
    done: int = 0
    """Records written."""
    size: int = 0
    """Bytes written."""
    scope: Scope = field(kw_only=True)
    """What the person might see when they asked: it was that which was approved."""

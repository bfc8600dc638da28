"""A roster in a signed file (:mod:`protocol.signed_file`): whom it is for, its version and expiry are in the header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from protocol.errors import RosterError
from protocol.roster.roster import MAX_ROSTER_BYTES, Roster, parse_roster
from protocol.signed_file import MAX_HEADER_BYTES, SignedHeader, read_contents, read_header, sign_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal.keys import SigningKey, VerifyKey

KIND = "roster"
MAX_FILE_BYTES = MAX_ROSTER_BYTES + MAX_HEADER_BYTES + 128


@dataclass(frozen=True, slots=True)
class SignedRoster:
    """A verified roster."""

    header: SignedHeader
    roster: Roster

    @property
    def version(self) -> int:
        """Its version; a unit never takes a lower one."""
        return self.header.version

    def has_expired(self, now_s: float | None) -> bool:
        """True from its expiry on; False while the time is unknown."""
        return now_s is not None and self.header.expires_s is not None and now_s >= self.header.expires_s


def roster_header(
    roster: Roster,
    *,
    id: str,  # noqa: A002 - the header's word
    version: int,
    as_of_s: int,
    owner: str = "",
    units: tuple[str, ...] = ("*",),
    expires_s: int | None = None,
) -> SignedHeader:
    """Return the header of a roster.  Raises RosterError if the roster is too large."""
    data = roster.canonical()
    if len(data) > MAX_ROSTER_BYTES:
        raise RosterError(
            f"the roster has {len(data)} bytes, at most {MAX_ROSTER_BYTES} are allowed: plan fewer shifts ahead"
        )
    return SignedHeader(
        kind=KIND,
        id=id,
        version=version,
        owner=owner,
        units=units,
        as_of_s=as_of_s,
        expires_s=expires_s,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def sign_roster(roster: Roster, header: SignedHeader, key: SigningKey) -> bytes:
    """Return the file.  Raises SignedFileError if the header is not of this roster."""
    return sign_bytes(header, key, roster.canonical())


def verify_roster(file: IO[bytes], keys: Iterable[VerifyKey]) -> SignedRoster:
    """Verify the signature and the hash, then parse.  Raises SignedFileError and RosterError."""
    header = read_header(file, keys, KIND)
    return SignedRoster(header, parse_roster(read_contents(file, header, max_bytes=MAX_ROSTER_BYTES)))

"""A policy pack in a signed file (:mod:`protocol.signed_file`); the signer is the agency's policy key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from protocol.errors import PolicyError
from protocol.policy.pack import MAX_PACK_BYTES, PolicyPack, parse_pack
from protocol.signed_file import MAX_HEADER_BYTES, SignedHeader, read_contents, read_header, sign_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal.keys import SigningKey, VerifyKey

KIND = "policy"
MAX_FILE_BYTES = MAX_PACK_BYTES + MAX_HEADER_BYTES + 128


@dataclass(frozen=True, slots=True)
class SignedPack:
    """A verified policy."""

    header: SignedHeader
    pack: PolicyPack


def sign_pack(
    pack: PolicyPack,
    key: SigningKey,
    *,
    as_of_s: int,
    owner: str = "",
    units: tuple[str, ...] = ("*",),
    expires_s: int | None = None,
    note: str = "",
) -> bytes:
    """Return a signed file.  Raises PolicyError if the policy is too large."""
    data = pack.canonical()
    if len(data) > MAX_PACK_BYTES:
        raise PolicyError(f"the policy has {len(data)} bytes, at most {MAX_PACK_BYTES} are allowed")
    header = SignedHeader(
        kind=KIND,
        id=pack.id,
        version=pack.version,
        owner=owner,
        units=units,
        as_of_s=as_of_s,
        expires_s=expires_s,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        note=note,
    )
    return sign_bytes(header, key, data)


def open_pack(file: IO[bytes], keys: Iterable[VerifyKey]) -> SignedPack:
    """Verify and read a signed policy.  Raises SignedFileError, and PolicyError for contents that are no policy."""
    header = read_header(file, keys, KIND)
    pack = parse_pack(read_contents(file, header, max_bytes=MAX_PACK_BYTES))
    if (header.id, header.version) != (pack.id, pack.version):
        raise PolicyError(f"the header says {header.id}/{header.version}, the policy {pack.name}")
    return SignedPack(header, pack)

"""A signed file: header, signature, then the contents, whose size and hash are in the header.

For policies, hot lists and rosters: ``kind`` keeps one from being taken for another.  The header is not parsed before
its signature is verified, and nothing of the contents may be used before :func:`checked_blocks` has ended without
SignedFileError.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from fnmatch import fnmatchcase
from io import BytesIO
from typing import IO, TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from protocol.errors import SignedFileError
from protocol.seal.keys import KEY_ID_BYTES, SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from protocol.seal.keys import SigningKey, VerifyKey

MAGIC = b"LPRSIG1\n"
FORMAT = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_CONTENT_BYTES = 2**30
MAX_VERSION = 2**31 - 1
_PREFIX = struct.Struct(f">8s{KEY_ID_BYTES}s{SIGNATURE_BYTES}sI")
_CONTEXT = b"patrol-lpr signed/1\0"
_BLOCK_BYTES = 2**18
_PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
_UNIT = re.compile(r"[A-Za-z0-9_*?-]{1,36}")
_MAX_ERRORS = 5

Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9-]{0,35}$")]
Line = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=_PRINTABLE)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=2**40)]


class SignedHeader(BaseModel):
    """What is signed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[int, Field(strict=True, ge=1)] = FORMAT
    kind: Name
    """Such as ``policy``, ``hotlist``, ``roster``."""
    id: Name
    """Versions are compared among files of one id."""
    version: Annotated[int, Field(strict=True, ge=1, le=MAX_VERSION)]
    owner: Line = ""
    """The agency that is responsible for the contents."""
    units: Annotated[tuple[Line, ...], Field(min_length=1, max_length=64)] = ("*",)
    """Ids, or patterns with ``*`` and ``?``, of the units it is for."""
    as_of_s: Seconds
    """Seconds UTC: when the contents were true."""
    expires_s: Seconds | None = None
    """Seconds UTC from which on it is refused; what that means for a file in force is decided by its kind."""
    size_bytes: Annotated[int, Field(strict=True, ge=0, le=MAX_CONTENT_BYTES)]
    sha256: Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]
    note: Line = ""
    more: Annotated[dict[Name, Line | Annotated[int, Field(strict=True)] | None], Field(max_length=32)] = {}
    """What one kind needs beyond that, such as the version on which a delta is based."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if wrong := [unit for unit in self.units if not _UNIT.fullmatch(unit)]:
            raise ValueError(f"{wrong[0]!r} is not the id of a unit or a pattern of ids")
        if self.expires_s is not None and self.expires_s <= self.as_of_s:
            raise ValueError("it expires before the time as of which it is true")
        return self

    def canonical(self) -> bytes:
        """The bytes that are signed: the same header is the same bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode("ascii")

    def is_for(self, unit: str) -> bool:
        """True if a unit may use it."""
        return any(fnmatchcase(unit, pattern) for pattern in self.units)


def write_signed(out: IO[bytes], header: SignedHeader, key: SigningKey, contents: IO[bytes]) -> None:
    """Write header, signature and contents.  Raises SignedFileError if the contents do not match the header."""
    data = header.canonical()
    if len(data) > MAX_HEADER_BYTES:
        raise SignedFileError(f"the header has {len(data)} bytes, at most {MAX_HEADER_BYTES} are allowed")
    out.write(_PREFIX.pack(MAGIC, key.id, key.sign(_CONTEXT + data), len(data)))
    out.write(data)
    for block in checked_blocks(contents, header):
        out.write(block)


def sign_bytes(header: SignedHeader, key: SigningKey, contents: bytes) -> bytes:
    """Return a whole file of small contents."""
    out = BytesIO()
    write_signed(out, header, key, BytesIO(contents))
    return out.getvalue()


def read_header(file: IO[bytes], keys: Iterable[VerifyKey], kind: str) -> SignedHeader:
    """Read and verify the header; the position is then at the contents.

    Raises SignedFileError for anything but a file of this kind that one of the keys has signed.
    """
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size or not prefix.startswith(MAGIC):
        raise SignedFileError(f"this is not a signed {kind}, or its beginning is damaged")
    _, key_id, signature, length = _PREFIX.unpack(prefix)
    known = {key.id: key for key in keys}
    if key_id not in known:
        accepted = ", ".join(sorted(found.hex() for found in known)) or "none"
        raise SignedFileError(
            f"the {kind} is signed by key {key_id.hex()}; accepted here: {accepted}. Is it of another agency?"
        )
    if length > MAX_HEADER_BYTES:
        raise SignedFileError(f"the header has {length} bytes, at most {MAX_HEADER_BYTES} are read")
    data = file.read(length)
    if len(data) < length:
        raise SignedFileError(f"the {kind} is truncated: fetch it again")
    if not known[key_id].is_signed(signature, _CONTEXT + data):
        raise SignedFileError(f"the signature is invalid: the {kind} was altered, or is of another agency")
    header = _parse(data)
    if header.kind != kind:
        raise SignedFileError(f"this is a signed {header.kind}, not a {kind}")
    return header


def checked_blocks(file: IO[bytes], header: SignedHeader) -> Iterator[bytes]:
    """Yield the contents in blocks, then compare hash and end with the header; raises SignedFileError."""
    digest, left = hashlib.sha256(), header.size_bytes
    while left:
        block = file.read(min(left, _BLOCK_BYTES))
        if not block:
            raise SignedFileError(f"the {header.kind} is truncated, {left} bytes are missing: fetch it again")
        left -= len(block)
        digest.update(block)
        yield block
    if file.read(1):
        raise SignedFileError(f"there are bytes after the end of the {header.kind}: fetch it again")
    if digest.hexdigest() != header.sha256:
        raise SignedFileError(f"the {header.kind} was altered: its hash does not match the signed one")


def read_contents(file: IO[bytes], header: SignedHeader, *, max_bytes: int) -> bytes:
    """Return small contents, verified.  Raises SignedFileError, also for more than ``max_bytes``."""
    if header.size_bytes > max_bytes:
        raise SignedFileError(f"the {header.kind} has {header.size_bytes} bytes, at most {max_bytes} are read")
    return b"".join(checked_blocks(file, header))


def refuse_unless_newer(header: SignedHeader, *, unit: str, in_force: int, now_s: float | None) -> None:
    """Raise SignedFileError unless this unit may put the file in force now.

    ``in_force`` is the highest version of this id that ever was in force here, 0 for none; ``now_s`` is None while the
    time is unknown: the expiry is then checked when it is known.
    """
    if not header.is_for(unit):
        raise SignedFileError(f"the {header.kind} is for {', '.join(header.units)}, this unit is {unit}")
    if header.version <= in_force:
        raise SignedFileError(
            f"version {header.version} of {header.kind} {header.id} is not above {in_force}, which was in force here: "
            "sign a higher version"
        )
    if now_s is not None and header.expires_s is not None and now_s >= header.expires_s:
        raise SignedFileError(f"version {header.version} of {header.kind} {header.id} has expired: sign a new one")


def _parse(data: bytes) -> SignedHeader:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SignedFileError(f"the header is not JSON: {error!s:.120}") from error
    found = told.get("format") if isinstance(told, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise SignedFileError(f"the header is of format {found}, this version reads {FORMAT}: update first")
    try:
        header = SignedHeader.model_validate_json(data)
    except ValidationError as error:
        raise SignedFileError(f"the header is invalid: {_explain(error)}") from None
    if header.canonical() != data:
        raise SignedFileError("the header is not in its canonical form")
    return header


def _explain(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'header'}: {item['msg']}" for item in found)

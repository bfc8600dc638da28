"""A hot list as one file: header, signed manifest, then its sections without gaps.

Built like an update (:mod:`protocol.update.envelope`): no archive format, and nothing is parsed before the signature
is verified.  The key is the list authority's, which signs nothing else.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from protocol.errors import HotlistError
from protocol.hotlist.manifest import MAX_MANIFEST_BYTES, Manifest, Section, parse_manifest
from protocol.seal.keys import KEY_ID_BYTES, SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Protocol

    from protocol.seal.keys import SigningKey, VerifyKey

    class Reader(Protocol):
        """What is read from the front: a file, or a sealed one that is opened."""

        def read(self, size: int, /) -> bytes:
            """Return at most ``size`` bytes, fewer only at the end."""


MAGIC = b"LPRHOT1\n"
_HEADER = struct.Struct(f">8s{KEY_ID_BYTES}s{SIGNATURE_BYTES}sI")
_CONTEXT = b"patrol-lpr hotlist/1\0"
BLOCK_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Head:
    """A verified manifest and where the sections begin."""

    manifest: Manifest
    payload_at: int
    raw: bytes
    """Header and manifest as they were read."""


def write_package(
    out: IO[bytes], manifest: Manifest, key: SigningKey, sections: Mapping[str, Iterable[bytes]]
) -> None:
    """Sign the manifest and write the package; raises HotlistError if a section does not match the manifest."""
    data = manifest.canonical()
    if len(data) > MAX_MANIFEST_BYTES:
        raise HotlistError(f"the manifest has {len(data)} bytes, at most {MAX_MANIFEST_BYTES} are allowed")
    out.write(_HEADER.pack(MAGIC, key.id, key.sign(_CONTEXT + data), len(data)))
    out.write(data)
    for section in manifest.sections:
        for block in _checked(sections[section.name], section):
            out.write(block)


def read_head(file: Reader, keys: Iterable[VerifyKey]) -> Head:
    """Read and verify the manifest; the position is then at the first section.  Raises HotlistError."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        raise HotlistError("this is not a signed hot list of patrol-lpr, or its beginning is damaged")
    _, key_id, signature, length = _HEADER.unpack(header)
    key = next((key for key in keys if key.id == key_id), None)
    if key is None:
        raise HotlistError(
            f"the list is signed by key {key_id.hex()}, which is not one of the trusted list authorities"
        )
    if length > MAX_MANIFEST_BYTES:
        raise HotlistError(f"the manifest of the list has {length} bytes, at most {MAX_MANIFEST_BYTES} are read")
    data = file.read(length)
    if len(data) < length:
        raise HotlistError("the list is truncated: fetch it again")
    if not key.is_signed(signature, _CONTEXT + data):
        raise HotlistError("the signature of the list is invalid: it was altered")
    return Head(parse_manifest(data), _HEADER.size + length, header + data)


def each_block(file: Reader, manifest: Manifest) -> Iterator[bytes]:
    """Yield the bytes of all sections.

    They are not verified yet: they match the manifest only if the iterator ends without HotlistError.
    """
    for section in manifest.sections:
        yield from _checked(_blocks(file, section), section)
    if file.read(1):
        raise HotlistError("there are bytes after the end of the list: fetch it again")


def verify_package(file: Reader, keys: Iterable[VerifyKey]) -> Manifest:
    """Read everything once; raises HotlistError unless all bytes match what was signed."""
    head = read_head(file, keys)
    for _ in each_block(file, head.manifest):
        pass
    return head.manifest


def measured(name: str, blocks: Iterable[bytes]) -> Section:
    """Return the section of these bytes."""
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return Section(name=name, size=size, sha256=digest.hexdigest())


def _blocks(file: Reader, section: Section) -> Iterator[bytes]:
    left = section.size
    while left:
        block = file.read(min(left, BLOCK_BYTES))
        if not block:
            raise HotlistError(f"{section.name}: truncated, {left} bytes are missing: fetch the list again")
        left -= len(block)
        yield block


def _checked(blocks: Iterable[bytes], section: Section) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
        yield block
    if size != section.size or digest.hexdigest() != section.sha256:
        raise HotlistError(f"{section.name}: altered, its hash does not match the signed one")

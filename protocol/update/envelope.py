"""An update as one file: header, signed manifest, then the bytes of its files without gaps.

There is no archive format, and so no paths, links, compression or padding that could be exploited: the manifest has
size and hash of each file, and is not parsed before its signature is verified.
"""

from __future__ import annotations

import hashlib
import struct
from typing import IO, TYPE_CHECKING

from protocol.errors import UpdateError
from protocol.seal.keys import KEY_ID_BYTES, SIGNATURE_BYTES
from protocol.update.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from protocol.seal.keys import SigningKey, VerifyKey
    from protocol.update.manifest import FileEntry

MAGIC = b"LPRUPD1\n"
_HEADER = struct.Struct(f">8s{KEY_ID_BYTES}s{SIGNATURE_BYTES}sI")
_CONTEXT = b"patrol-lpr update/1\0"
_BLOCK_BYTES = 2**18


def write_update(
    out: IO[bytes], manifest: Manifest, key: SigningKey, opened: Callable[[FileEntry], IO[bytes]]
) -> None:
    """Write header, manifest and files; ``opened`` opens the source of an entry.

    Raises UpdateError if a source does not match the manifest.
    """
    data = manifest.canonical()
    if len(data) > MAX_MANIFEST_BYTES:
        raise UpdateError(
            f"the manifest has {len(data)} bytes, at most {MAX_MANIFEST_BYTES} are allowed: use fewer files"
        )
    out.write(_HEADER.pack(MAGIC, key.id, key.sign(_CONTEXT + data), len(data)))
    out.write(data)
    for entry in manifest.carried:
        with opened(entry) as source:
            for block in checked_blocks(source, entry):
                out.write(block)


def read_manifest(file: IO[bytes], key: VerifyKey) -> Manifest:
    """Read and verify the manifest; the position is then at the first file's bytes.  Raises UpdateError."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        raise UpdateError("this is not an update of patrol-lpr, or its beginning is damaged")
    _, key_id, signature, length = _HEADER.unpack(header)
    if key_id != key.id:
        raise UpdateError(
            f"the update is signed by key {key_id.hex()}, this unit accepts {key.id.hex()}: is it for another fleet?"
        )
    if length > MAX_MANIFEST_BYTES:
        raise UpdateError(f"the manifest has {length} bytes, at most {MAX_MANIFEST_BYTES} are read")
    data = file.read(length)
    if len(data) < length:
        raise UpdateError("the update is truncated: fetch it again")
    if not key.is_signed(signature, _CONTEXT + data):
        raise UpdateError("the signature is invalid: the update was altered, or is for another fleet")
    return parse_manifest(data)


def size_bytes(manifest: Manifest) -> int:
    """Return the size of the whole file."""
    return _HEADER.size + len(manifest.canonical()) + manifest.carried_bytes


def each_file(file: IO[bytes], manifest: Manifest) -> Iterator[tuple[FileEntry, Iterator[bytes]]]:
    """Yield each included file with its blocks, which must be consumed before the next.

    A block is not verified yet: the file matches the manifest only if its blocks end without UpdateError.
    """
    for entry in manifest.carried:
        yield entry, checked_blocks(file, entry)
    if file.read(1):
        raise UpdateError("there are bytes after the end of the update: fetch it again")


def verify_update(file: IO[bytes], key: VerifyKey) -> Manifest:
    """Read everything once; raises UpdateError unless all bytes match what was signed."""
    manifest = read_manifest(file, key)
    for _, blocks in each_file(file, manifest):
        for _ in blocks:
            pass
    return manifest


def checked_blocks(source: IO[bytes], entry: FileEntry) -> Iterator[bytes]:
    """Yield the blocks of one file, then compare size and hash with the manifest; raises UpdateError."""
    digest, left = hashlib.sha256(), entry.size
    while left:
        block = source.read(min(left, _BLOCK_BYTES))
        if not block:
            raise UpdateError(f"{entry.name}: truncated, {left} bytes are missing: fetch the update again")
        left -= len(block)
        digest.update(block)
        yield block
    if digest.hexdigest() != entry.sha256:
        raise UpdateError(f"{entry.name}: altered, its hash does not match the signed one")

"""An update as one file: header, signed manifest, then the bytes of its files back to back.

There is no archive inside, hence no paths, links, compression or padding to be tricked by: the manifest says how many
bytes each file has and what they hash to, and nothing of it is looked at before its signature is right.
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

    Raises UpdateError when a source is not what the manifest says.
    """
    data = manifest.canonical()
    if len(data) > MAX_MANIFEST_BYTES:
        raise UpdateError(f"the manifest has {len(data)} bytes, at most {MAX_MANIFEST_BYTES}: fewer files")
    out.write(_HEADER.pack(MAGIC, key.id, key.sign(_CONTEXT + data), len(data)))
    out.write(data)
    for entry in manifest.carried:
        with opened(entry) as source:
            for block in checked_blocks(source, entry):
                out.write(block)


def read_manifest(file: IO[bytes], key: VerifyKey) -> Manifest:
    """Read and verify the manifest; the file then stands at the first file's bytes.  Raises UpdateError."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        raise UpdateError("this is no update of patrol-lpr, or its beginning is damaged")
    _, key_id, signature, length = _HEADER.unpack(header)
    if key_id != key.id:
        raise UpdateError(
            f"the update is signed by key {key_id.hex()}, this unit believes {key.id.hex()}: is it the right fleet's?"
        )
    if length > MAX_MANIFEST_BYTES:
        raise UpdateError(f"the manifest has {length} bytes, at most {MAX_MANIFEST_BYTES} are read")
    data = file.read(length)
    if len(data) < length:
        raise UpdateError("the update is cut short: fetch it again")
    if not key.is_signed(signature, _CONTEXT + data):
        raise UpdateError("the signature is wrong: the update was altered, or is another's")
    return parse_manifest(data)


def size_bytes(manifest: Manifest) -> int:
    """How long the whole file is."""
    return _HEADER.size + len(manifest.canonical()) + manifest.carried_bytes


def each_file(file: IO[bytes], manifest: Manifest) -> Iterator[tuple[FileEntry, Iterator[bytes]]]:
    """Yield each carried file with its blocks, which must be used up before the next.

    A block is not yet proven: only when the blocks end without UpdateError was the file what the manifest says.
    """
    for entry in manifest.carried:
        yield entry, checked_blocks(file, entry)
    if file.read(1):
        raise UpdateError("there is something behind the end of the update: fetch it again")


def verify_update(file: IO[bytes], key: VerifyKey) -> Manifest:
    """Read everything once; raises UpdateError unless every byte is what was signed."""
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
            raise UpdateError(f"{entry.name}: cut short, {left} bytes are missing: fetch the update again")
        left -= len(block)
        digest.update(block)
        yield block
    if digest.hexdigest() != entry.sha256:
        raise UpdateError(f"{entry.name}: altered, its hash is not the one that was signed")

"""A file that is sealed to some keys and read in parts: a random content key, sealed to each recipient with HPKE.

The contents are divided into chunks of 16 KiB, each sealed with ChaCha20-Poly1305.  A chunk's number is its nonce, and
the header with the total size is authenticated with every chunk, so that chunks cannot be exchanged or cut off.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from typing import IO, TYPE_CHECKING, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.errors import SealError
from protocol.seal.keys import KEY_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protocol.seal.keys import StationKey

MAGIC = b"LPRBOX1\n"
CHUNK_BYTES = 2**14
_TAG_BYTES = 16
_KEY_BYTES = 32
_WRAPPED_BYTES = 32 + _KEY_BYTES + 16
_MAX_RECIPIENTS = 8192
_HEAD = struct.Struct(">8sHQ")
_INFO = b"patrol-lpr container/1\0"
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


class SealedWriter:
    """Seals ``size`` bytes to the recipients while they are written."""

    def __init__(self, out: IO[bytes], recipients: Sequence[StationKey], size: int) -> None:
        if not 0 < len(recipients) <= _MAX_RECIPIENTS:
            raise SealError(f"a container is sealed to 1 to {_MAX_RECIPIENTS} keys, not to {len(recipients)}")
        content_key = secrets.token_bytes(_KEY_BYTES)
        header = _HEAD.pack(MAGIC, len(recipients), size)
        for key in recipients:
            header += key.id + _SUITE.encrypt(content_key, key.public, info=_INFO + key.id)
        self._out = out
        self._cipher = ChaCha20Poly1305(content_key)
        self._bound = hashlib.sha256(header).digest()
        self._number = 0
        self._pending = bytearray()
        self._left = size
        out.write(header)

    def write(self, data: bytes) -> None:
        """Seal more bytes; raises SealError for more than were announced."""
        if len(data) > self._left:
            raise SealError("more bytes than the container was announced to hold")
        self._left -= len(data)
        self._pending += data
        whole = len(self._pending) - len(self._pending) % CHUNK_BYTES
        for at in range(0, whole, CHUNK_BYTES):
            self._put(bytes(self._pending[at : at + CHUNK_BYTES]))
        del self._pending[:whole]

    def close(self) -> None:
        """Write the last chunk; raises SealError if bytes are missing.  The file stays open."""
        if self._left:
            raise SealError(f"{self._left} bytes are missing in the container")
        if self._pending:
            self._put(bytes(self._pending))
            self._pending.clear()

    def _put(self, chunk: bytes) -> None:
        self._out.write(self._cipher.encrypt(_nonce(self._number), chunk, self._bound))
        self._number += 1


class SealedFile:
    """Reads the contents of a container.  ``read_at`` may be called by several threads."""

    def __init__(self, path: Path, key: StationKey) -> None:
        """Raises SealError for anything that was not sealed to this key, OSError if it cannot be read."""
        self.name = path.name.removesuffix(".part")
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._open(key)
        except BaseException:
            self.close()
            raise
        self._at = 0

    def _open(self, key: StationKey) -> None:
        if key.private is None:
            raise SealError("this key can only seal")
        head = os.pread(self._file, _HEAD.size, 0)
        if len(head) < _HEAD.size or not head.startswith(MAGIC):
            raise SealError(f"{self.name}: not a sealed container, or its beginning is damaged")
        _, count, self.size = _HEAD.unpack(head)
        if not 0 < count <= _MAX_RECIPIENTS:
            raise SealError(f"{self.name}: damaged header")
        wraps = os.pread(self._file, count * (KEY_ID_BYTES + _WRAPPED_BYTES), _HEAD.size)
        header = head + wraps
        step = KEY_ID_BYTES + _WRAPPED_BYTES
        for at in range(0, len(wraps) - step + 1, step):
            if wraps[at : at + KEY_ID_BYTES] == key.id:
                wrapped = wraps[at + KEY_ID_BYTES : at + step]
                break
        else:
            raise SealError(f"{self.name}: not sealed to key {key.id.hex()}")
        try:
            content_key = _SUITE.decrypt(wrapped, key.private, info=_INFO + key.id)
        except (InvalidTag, ValueError) as error:
            raise SealError(f"{self.name}: the key of the contents was altered") from error
        self._cipher = ChaCha20Poly1305(content_key)
        self._bound = hashlib.sha256(header).digest()
        self._chunks_at = len(header)
        chunks = -(-self.size // CHUNK_BYTES)
        if os.fstat(self._file).st_size != self._chunks_at + self.size + chunks * _TAG_BYTES:
            raise SealError(f"{self.name}: truncated, or longer than it was written")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:  # opening may have failed
            self.close()

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer only at the end; raises SealError."""
        data = self.read_at(self._at, min(size, self.size - self._at))
        self._at += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes of the contents; raises SealError outside of them or if they were altered."""
        if size == 0:
            return b""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise SealError(f"{self.name}: {size} bytes at {offset} are outside of its {self.size}")
        first, last = offset // CHUNK_BYTES, (offset + size - 1) // CHUNK_BYTES
        plain = b"".join(self._chunk(number) for number in range(first, last + 1))
        start = offset - first * CHUNK_BYTES
        return plain[start : start + size]

    def _chunk(self, number: int) -> bytes:
        length = min(CHUNK_BYTES, self.size - number * CHUNK_BYTES) + _TAG_BYTES
        data = os.pread(self._file, length, self._chunks_at + number * (CHUNK_BYTES + _TAG_BYTES))
        try:
            return self._cipher.decrypt(_nonce(number), data, self._bound)
        except InvalidTag as error:
            raise SealError(f"{self.name}: altered or damaged") from error


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")

"""Key files and key ids: the unit signs with Ed25519 (RFC 8032), the station opens with X25519 (RFC 7748).

A key id is the first eight bytes of the SHA-256 of the raw public key: short enough for every record, long enough to
distinguish the keys of an agency.  It identifies a key, it does not authenticate one.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import KeyFileError
from protocol.written import WrittenFileError, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID_BYTES = 8
SIGNATURE_BYTES = 64
RECEIPT_KEY, RECEIPT_PUBLIC = "receipt.key", "receipt.pub"
"""Files of the key pair with which a station signs receipts and nacks."""
LOG_KEY, LOG_PUBLIC = "log.key", "log.pub"
"""Files of the key pair with which a station signs checkpoints of its audit log."""
_PEM_END = b"-----END PUBLIC KEY-----"
UNIT_PUBLIC = re.compile(r"unit-([A-Za-z0-9_-]{1,36})(?:\.\d+)?\.pub")
"""``unit-ID.pub``; ``unit-ID.2.pub`` is its second key."""
_OWN_BITS = 0o077
_MAX_KEY_BYTES = 2**20
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""Points of order 1, 2, 4 and 8 without their sign bit, as libsodium's ge25519_has_small_order lists them."""


def key_id(raw_public: bytes) -> bytes:
    """Return the id of a public key."""
    return hashlib.sha256(raw_public).digest()[:KEY_ID_BYTES]


def fingerprint(raw_public: bytes) -> str:
    """The SHA-256 in groups of four characters, to be compared by people."""
    digest = hashlib.sha256(raw_public).hexdigest()
    return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))


class VerifyKey:
    """A public signing key: a unit's for records, a station's for receipts and nacks."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.raw = key.public_bytes_raw()
        if bytes((*self.raw[:-1], self.raw[-1] & 0x7F)) in _SMALL_ORDER:
            raise KeyFileError(
                "an Ed25519 public key of small order, which accepts anybody's signatures: use another"
            )
        self.id = key_id(self.raw)

    @classmethod
    def from_raw(cls, raw: bytes) -> VerifyKey:
        """Raises KeyFileError for anything but 32 bytes."""
        try:
            return cls(Ed25519PublicKey.from_public_bytes(raw))
        except ValueError as error:
            raise KeyFileError(f"not an Ed25519 public key: {error}") from error

    @classmethod
    def load(cls, path: Path) -> VerifyKey:
        """Read a PEM file; raises KeyFileError."""
        key = _load_public(path)
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(
                f"{path}: not a public signing key (Ed25519) of a unit, a release or a station's receipts; "
                "create one with `patrol-lpr keys`"
            )
        return cls(key)

    @classmethod
    def load_all(cls, path: Path) -> list[VerifyKey]:
        """Read a PEM file of one or several keys; raises KeyFileError."""
        blocks = [block + _PEM_END for block in _read(path).split(_PEM_END)[:-1]]
        if not blocks:
            raise KeyFileError(f"{path}: not a public key in PEM")
        found = []
        for block in blocks:
            try:
                key = serialization.load_pem_public_key(block.strip())
            except (ValueError, UnsupportedAlgorithm) as error:
                raise KeyFileError(f"{path}: not a public key in PEM") from error
            if not isinstance(key, Ed25519PublicKey):
                raise KeyFileError(f"{path}: not a signing key (Ed25519); use the station's receipt.pub")
            found.append(cls(key))
        return found

    def is_signed(self, signature: bytes, message: bytes) -> bool:
        """True if this was signed with the key."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """Return the contents of a PEM file."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class SigningKey:
    """A private signing key; never leaves its unit or station."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = VerifyKey(key.public_key())
        self.id = self.public.id

    @classmethod
    def generate(cls) -> SigningKey:
        """Create a new key from the operating system's random source."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a PEM file; raises KeyFileError, also if other users may read it."""
        key = _load_private(path)
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path}: not a private signing key (Ed25519); create one with `patrol-lpr keys`")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 secret bytes that only the holder of this key can compute (HKDF, RFC 5869)."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=b"patrol-lpr derive/1\0" + purpose).derive(
            self._key.private_bytes_raw()
        )

    def save(self, path: Path) -> None:
        """Write as PEM, readable only by the owner; raises KeyFileError if the file exists."""
        _save_private(path, self._key)


class StationKey:
    """The station's key: units seal to it; its private half opens."""

    def __init__(self, public: X25519PublicKey, private: X25519PrivateKey | None = None) -> None:
        self.public = public
        self.private = private
        self.raw = public.public_bytes_raw()
        self.id = key_id(self.raw)

    @classmethod
    def generate(cls) -> StationKey:
        """Create a new key pair."""
        private = X25519PrivateKey.generate()
        return cls(private.public_key(), private)

    @classmethod
    def from_private_raw(cls, raw: bytes) -> StationKey:
        """Return the pair of 32 secret bytes, such as derived ones; raises KeyFileError."""
        try:
            private = X25519PrivateKey.from_private_bytes(raw)
        except ValueError as error:
            raise KeyFileError(f"not an X25519 private key: {error}") from error
        return cls(private.public_key(), private)

    @classmethod
    def from_public_raw(cls, raw: bytes) -> StationKey:
        """Return the public half of 32 bytes; raises KeyFileError."""
        try:
            return cls(X25519PublicKey.from_public_bytes(raw))
        except ValueError as error:
            raise KeyFileError(f"not an X25519 public key: {error}") from error

    def private_raw(self) -> bytes:
        """Return the 32 bytes of the private half, to be wrapped; raises KeyFileError if there is none."""
        if self.private is None:
            raise KeyFileError("there is only the public half")
        return self.private.private_bytes_raw()

    @classmethod
    def load_public(cls, path: Path) -> StationKey:
        """Read the public half, PEM; raises KeyFileError."""
        key = _load_public(path)
        if not isinstance(key, X25519PublicKey):
            raise KeyFileError(
                f"{path}: not a station's public key (X25519); create one with `patrol-lpr keys station`"
            )
        return cls(key)

    @classmethod
    def load_private(cls, path: Path) -> StationKey:
        """Read the private half, PEM; raises KeyFileError."""
        key = _load_private(path)
        if not isinstance(key, X25519PrivateKey):
            raise KeyFileError(
                f"{path}: not a station's private key (X25519); create one with `patrol-lpr keys station`"
            )
        return cls(key.public_key(), key)

    def pem(self) -> bytes:
        """Return the PEM of the public half."""
        return self.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def save(self, path: Path) -> None:
        """Write the private half, readable only by its owner; raises KeyFileError if there is none or it exists."""
        if self.private is None:
            raise KeyFileError(f"{path}: there is only the public half")
        _save_private(path, self.private)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A station's key ring: its key pairs, including old ones, the public keys of its units, and its signing keys."""

    stations: dict[bytes, StationKey] = field(default_factory=dict)
    units: dict[str, dict[bytes, VerifyKey]] = field(default_factory=dict)
    receipts: SigningKey | None = None
    log: SigningKey | None = None
    """Signs checkpoints of the audit log."""
    log_before: tuple[VerifyKey, ...] = ()
    """Keys that signed earlier checkpoints."""

    @property
    def log_keys(self) -> tuple[VerifyKey, ...]:
        """Keys of which a checkpoint may be; empty without ``log.key``."""
        return () if self.log is None else (self.log.public, *self.log_before)

    def with_unit(self, unit: str, key: VerifyKey) -> KeyRing:
        """Return a ring with one more key of a unit."""
        known = {**self.units.get(unit, {}), key.id: key}
        return replace(self, units={**self.units, unit: known})


def load_keyring(folder: Path) -> KeyRing:
    """Read ``station*.key``, ``receipt.key``, ``log.key``, ``log-*.pub`` and ``unit-ID.pub`` of a folder.

    Raises KeyFileError if there is no station key; without ``receipt.key`` receipts and nacks are not signed, without
    ``log.key`` there are no checkpoints of the audit log.
    """
    stations = [StationKey.load_private(path) for path in sorted(folder.glob("station*.key"))]
    if not stations:
        raise KeyFileError(f"{folder}: no station*.key; create one with `patrol-lpr keys station {folder}`")
    own, log = (
        SigningKey.load(path) if path.exists() else None for path in (folder / RECEIPT_KEY, folder / LOG_KEY)
    )
    before = tuple(key for path in sorted(folder.glob("log-*.pub")) for key in VerifyKey.load_all(path))
    return _with_units(KeyRing({key.id: key for key in stations}, {}, own, log, before), folder)


def load_unit_keys(folder: Path) -> KeyRing:
    """Read ``unit-ID.pub`` of a folder: a ring that verifies, and opens nothing.  Raises KeyFileError."""
    return _with_units(KeyRing(), folder)


def _with_units(ring: KeyRing, folder: Path) -> KeyRing:
    for path in sorted(folder.glob("unit-*.pub")):
        found = UNIT_PUBLIC.fullmatch(path.name)
        if found is None:
            raise KeyFileError(f"{path}: rename it to unit-ID.pub, with the id of its unit")
        ring = ring.with_unit(found[1], VerifyKey.load(path))
    return ring


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, _MAX_KEY_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be read: {error.strerror}") from error
    except WrittenFileError as error:
        raise KeyFileError(f"{path}: not a key: {error}") from error


def _load_public(path: Path) -> object:
    data = _read(path)
    try:
        return serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not a public key in PEM") from error


def _load_private(path: Path) -> object:
    data = _read(path)
    if path.stat().st_mode & _OWN_BITS:
        raise KeyFileError(f"{path}: other users may read this private key; run chmod 600 {path}")
    try:
        return serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not a private key in PEM") from error


def _save_private(path: Path, key: Ed25519PrivateKey | X25519PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path}: already exists; keys are never overwritten, choose another file") from None
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())

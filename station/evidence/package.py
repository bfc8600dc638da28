"""The contents of an evidence package, and the JSON that a verifier reads.

``package/1`` is JSON in ASCII: the signed bytes of each record with salt, link and signature, the public keys, the
hashes of everything else that the page has, and what the station adds: who exported it, when and why.  The station
signs the bytes of the JSON with its key for receipts, if it has one.  What a unit signed is verified without it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.seal.keys import fingerprint, key_id

if TYPE_CHECKING:
    from protocol.seal.evidence import Evidence
    from protocol.seal.keys import SigningKey

FORMAT = "package/1"
PREFIX = b"patrol-lpr package/1\0"
"""Before the JSON in what the station signs."""


@dataclass(frozen=True, slots=True)
class ProvedRecord:
    """A record with its proof."""

    about: str
    """What it is in this package, such as ``read``."""
    record: bytes
    salt: bytes
    evidence: Evidence

    @property
    def file_name(self) -> str:
        """Name of its bytes in the archive."""
        return f"records/{self.evidence.seq:010}-{self.about}.msgpack"


@dataclass(frozen=True, slots=True)
class EvidencePicture:
    """A picture that a signed record lists."""

    kind: str
    sha256: bytes
    width_px: int
    height_px: int
    jpeg: bytes | None
    """None if the station does not have it."""

    @property
    def file_name(self) -> str:
        """Name in the archive."""
        return f"pictures/{self.kind}-{self.sha256.hex()[:16]}.jpg"


@dataclass(frozen=True, slots=True)
class Export:
    """Who exported a package, when and why: what the station says, not the unit."""

    station: str
    utc_us: int
    who: str
    purpose: str
    case_number: str


@dataclass(frozen=True, slots=True)
class Package:
    """One read or hit with all that proves it."""

    unit: str
    record_id: bytes
    records: tuple[ProvedRecord, ...]
    keys: tuple[tuple[str, bytes], ...]
    """Unit and raw public key."""
    pictures: tuple[EvidencePicture, ...]
    export: Export
    unproved: tuple[str, ...] = ()
    """Records that belong here and were never signed."""
    log: dict[str, Any] | None = None
    """Inclusion proof of the export in the station's log."""


def contents(package: Package, main_sha256: bytes, files: dict[str, bytes], station_key: bytes | None) -> str:
    """Return the JSON.  ``files`` are the hashes of the page's other parts, by name."""
    export = package.export
    return json.dumps(
        {
            "v": FORMAT,
            "unit": package.unit,
            "id": package.record_id.hex(),
            "station": export.station,
            "exported_utc_us": export.utc_us,
            "exported_by": export.who,
            "purpose": export.purpose,
            "case_number": export.case_number,
            "records": [_record(record) for record in package.records],
            "keys": [{"unit": unit, "key": _b64(raw)} for unit, raw in package.keys],
            "pictures": [
                {"kind": p.kind, "sha256": p.sha256.hex(), "file": p.file_name, "there": p.jpeg is not None}
                for p in package.pictures
            ],
            "main_sha256": main_sha256.hex(),
            "files": {name: sha256.hex() for name, sha256 in files.items()},
            "log": package.log,
            "station_key": None if station_key is None else _b64(station_key),
        },
        sort_keys=True,
    ).replace("<", "\\u003c")  # inside of a script element


def sign_contents(text: str, own: SigningKey) -> str:
    """Return the station's signature."""
    return _b64(own.sign(PREFIX + text.encode("ascii")))


def _record(record: ProvedRecord) -> dict[str, Any]:
    e = record.evidence
    return {
        "about": record.about,
        "file": record.file_name,
        "unit": e.unit,
        "seq": str(e.seq),  # more digits than a number of JavaScript has
        "record": _b64(record.record),
        "salt": _b64(record.salt),
        "prev": _b64(e.prev),
        "key_id": e.key_id.hex(),
        "signature": _b64(e.signature),
    }


def key_line(unit: str, raw_public: bytes) -> str:
    """A line of the list of keys, for people."""
    return f"{unit} {key_id(raw_public).hex()}: {fingerprint(raw_public)}\n"


def text_hash(text: str) -> bytes:
    """Return the hash of the page's text, in which only spaces and line ends do not count."""
    return hashlib.sha256(" ".join(text.split()).encode()).digest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

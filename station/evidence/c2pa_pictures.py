"""Copies of pictures with a C2PA manifest (Content Credentials), signed with the agency's certificate.

A manifest changes the bytes of a picture; therefore the pictures that the unit signed stay as they are, and the copies
are beside them.  Needs the extra ``evidence``.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from station.errors import StationError

if TYPE_CHECKING:
    from pathlib import Path

    from station.evidence.package import EvidencePicture, Package

WITHOUT_EXTRA = (
    "The pictures have no C2PA manifest: the station has no c2pa-python (install patrol-lpr[evidence]). "
    "What the unit signed proves them."
)
WITHOUT_CERTIFICATE = (
    "The pictures have no C2PA manifest: the export named no certificate. What the unit signed proves them."
)
WITH_MANIFEST = (
    "The archive of this package also has copies of the pictures with a C2PA manifest, signed with the agency's "
    "certificate. The pictures on this page are those that the unit signed."
)
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class C2paError(StationError):
    """Certificate or key cannot be used, or a picture cannot be signed."""


@dataclass(frozen=True, slots=True)
class C2paSigner:
    """A certificate chain, the signing one first, and its key."""

    chain_pem: bytes
    key_pem: bytes
    algorithm: str


def has_extra() -> bool:
    """True if c2pa-python is installed."""
    try:
        import c2pa  # noqa: F401, PLC0415 - 53 MB, an extra
    except ImportError:
        return False
    return True


def load_signer(chain: Path, key: Path) -> C2paSigner:
    """Read PEM files; raises C2paError for a key that C2PA does not know, or that is not the certificate's."""
    try:
        chain_pem, key_pem = chain.read_bytes(), key.read_bytes()
    except OSError as error:
        raise C2paError(f"{error.filename}: cannot be read: {error.strerror}") from error
    try:
        first = x509.load_pem_x509_certificates(chain_pem)[0]
        private = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise C2paError(f"{chain}, {key}: not a certificate chain and its private key in PEM") from error
    match private:
        case ec.EllipticCurvePrivateKey() if private.curve.name in _ALGORITHMS:
            algorithm = _ALGORITHMS[private.curve.name]
        case ed25519.Ed25519PrivateKey():
            algorithm = "ed25519"
        case _:
            raise C2paError(f"{key}: use a key on P-256, P-384 or P-521, or Ed25519")
    if private.public_key() != first.public_key():
        raise C2paError(f"{key}: not the key of the first certificate in {chain}")
    pkcs8 = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return C2paSigner(chain_pem, pkcs8, algorithm)


def sign_pictures(package: Package, signer: C2paSigner) -> dict[str, bytes]:
    """Return copies with a manifest, by file name in the archive; raises C2paError."""
    import c2pa  # noqa: PLC0415 - as above

    signed = {}
    try:
        info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain_pem, signer.key_pem, None)
        with c2pa.Signer.from_info(info) as own:
            for picture in package.pictures:
                if picture.jpeg is None:
                    continue
                out = io.BytesIO()
                with c2pa.Builder(json.dumps(_manifest(package, picture))) as builder:
                    builder.sign(own, "image/jpeg", io.BytesIO(picture.jpeg), out)
                signed[picture.file_name.replace("pictures/", "c2pa/", 1)] = out.getvalue()
    except c2pa.C2paError as error:
        raise C2paError(f"a picture cannot be signed: {error}; check the certificate chain") from error
    return signed


def _manifest(package: Package, picture: EvidencePicture) -> dict[str, Any]:
    """Say what the picture is and by which record it is proved, without plate and place."""
    return {
        "claim_generator_info": [{"name": "patrol-lpr"}],
        "title": picture.file_name,
        "format": "image/jpeg",
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
                        }
                    ]
                },
            },
            {
                "label": "org.patrol-lpr.record",
                "data": {
                    "unit": package.unit,
                    "id": package.record_id.hex(),
                    "records": [record.evidence.seq for record in package.records],
                    "picture_sha256": picture.sha256.hex(),
                },
            },
        ],
    }

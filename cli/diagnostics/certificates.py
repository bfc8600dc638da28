"""Checks that the unit's certificate exists, matches its key and the fleet's authority, and is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from protocol.errors import KeyFileError
from protocol.written import MAX_WRITTEN_BYTES, WrittenFileError, read_bounded

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from hw.config import TlsConfig

SOON_DAYS = 30
"""Renewal starts months earlier: a certificate this old was not renewed."""
_RENEW = "see `journalctl -u patrol-lpr-renew`; an expired unit needs a new card (`patrol-lpr provision card`)"


def days_left(tls: TlsConfig, now: dt.datetime) -> int:
    """Return the days until the first certificate of the chain expires.

    Raises KeyFileError saying what is wrong and what to do: a file missing or no PEM, a key of another certificate, a
    certificate of another authority, one not valid now.
    """
    authorities = [] if tls.ca is None else _certificates(tls.ca)
    own = [] if tls.cert is None else _certificates(tls.cert)[:1]
    for certificate in own:
        if tls.key is not None and _public(_private_key(tls.key)) != _public(certificate):
            raise KeyFileError(f"{tls.key}: does not match {tls.cert}; enrol the unit again")
        if authorities and not any(_signed(certificate, authority) for authority in authorities):
            raise KeyFileError(f"{tls.cert}: not signed by {tls.ca}: the card is from another authority")
    dated = [(tls.ca, c) for c in authorities] + [(tls.cert, c) for c in own]
    for path, certificate in dated:
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now < first:
            raise KeyFileError(f"{path}: not valid before {first:%Y-%m-%d}: check the clock")
        if now > last:
            raise KeyFileError(f"{path}: expired on {last:%Y-%m-%d}; {_RENEW}")
    return min(((c.not_valid_after_utc - now).days for _, c in dated), default=SOON_DAYS)


def wrong_name(tls: TlsConfig, unit: str) -> str | None:
    """Warning about the certificate of another unit; None otherwise.

    Raises KeyFileError as :func:`days_left`.
    """
    if tls.cert is None:
        return None
    found = _certificates(tls.cert)[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = [str(attribute.value) for attribute in found]
    if names == [unit]:
        return None
    return (
        f"{tls.cert} is of {', '.join(names) or 'nobody'}, and this unit is {unit}: a broker that goes by certificates "
        "(the shipped configuration) takes nothing from it; correct `unit`, or enrol the unit again"
    )


def warning(days: int) -> str | None:
    """Warning about certificates that expire soon; None otherwise."""
    return f"expire in {days} days and were not renewed: {_RENEW}" if days < SOON_DAYS else None


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_WRITTEN_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}; enrol the unit, or correct [hw.link.tls]") from error
    except WrittenFileError as error:
        raise KeyFileError(f"{path}: {error}; enrol the unit, or correct [hw.link.tls]") from error


def _certificates(path: Path) -> list[x509.Certificate]:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise KeyFileError(f"{path}: not a certificate: {error}") from error


def _private_key(path: Path) -> object:
    data = _read(path)
    try:
        return load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: not a private key: {error}") from error


def _public(holder: object) -> bytes:
    public = holder.public_key()  # type: ignore[attr-defined]  # a certificate or any kind of private key
    der: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True

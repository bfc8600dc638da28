"""Certificates of a fleet: one authority, EC P-256 everywhere, the common name of a unit's certificate is its id.

Certificates are backdated by a day, because a unit without a clock battery starts with an old date, and
are valid for 400 days; they are renewed at two thirds of their life.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.wire.topics import check_unit
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BACKDATED = dt.timedelta(days=1)
UNIT_DAYS = 400
_CA_DAYS = 3650
_CRL_DAYS = 365
"""A broker with an expired CRL refuses all clients; `patrol-lpr provision crl` writes a new one."""
CA_KEY, CA_CERT, CRL = "ca.key", "ca.pem", "crl.pem"


@dataclass(frozen=True, slots=True)
class Authority:
    """The fleet's own certificate authority."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The trust anchor, PEM."""
        return self.cert.public_bytes(serialization.Encoding.PEM)


def now_utc() -> dt.datetime:
    """The current time, for certificates."""
    return dt.datetime.now(dt.UTC)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Generate a key; it never leaves the machine."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Encode without a passphrase: protect the file by its permissions."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_authority(folder: Path, name: str, *, now: dt.datetime | None = None) -> Authority:
    """Create an authority in `folder`; raises ProvisionError if there is one already."""
    if any((folder / name).exists() for name in (CA_KEY, CA_CERT, CRL)):
        raise ProvisionError(
            f"{folder}: contains an authority or its certificate, which is never overwritten; use another folder"
        )
    key, at = new_key(), now or now_utc()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    cert = (
        _builder(subject, subject, key.public_key(), at, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(cert, key)
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / CA_KEY, key_pem(key))
    (folder / CA_CERT).write_bytes(authority.pem)
    (folder / CRL).write_bytes(revocations(authority, (), now=at))
    return authority


def load_authority(folder: Path) -> Authority:
    """Read an authority; raises ProvisionError."""
    try:
        cert = x509.load_pem_x509_certificate((folder / CA_CERT).read_bytes())
        key = serialization.load_pem_private_key((folder / CA_KEY).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ProvisionError(
            f"{folder}: no authority: {error}; create one with `patrol-lpr provision ca {folder}`"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ProvisionError(f"{folder}/{CA_KEY}: not an EC key")
    return Authority(cert, key)


def make_request(key: ec.EllipticCurvePrivateKey, unit: str) -> bytes:
    """A signing request for a unit, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, check_unit(unit))])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def sign_request(
    authority: Authority, request: bytes, unit: str, *, days: int = UNIT_DAYS, now: dt.datetime | None = None
) -> bytes:
    """Sign a unit's request, PEM.  Raises ProvisionError if it is not for this unit or requests anything else."""
    try:
        csr = x509.load_pem_x509_csr(request)
        valid = csr.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise ProvisionError(f"not a signing request: {error}") from error
    if not valid:
        raise ProvisionError("the request is not signed with the key it contains")
    key = csr.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ProvisionError("the request's key is not EC P-256")
    names = [attribute.value for attribute in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [unit]:
        raise ProvisionError(f"the request names {names}, the token is for {unit}")
    # Nothing is taken from the request but its key: extensions are ours to give.
    return _leaf(authority, key, unit, days, now or now_utc(), ExtendedKeyUsageOID.CLIENT_AUTH, ())


def issue(
    authority: Authority,
    name: str,
    *,
    hosts: Iterable[str] = (),
    days: int = UNIT_DAYS,
    now: dt.datetime | None = None,
) -> tuple[bytes, bytes]:
    """Create key and certificate for a broker (with `hosts`) or a station; both PEM."""
    key, hosts = new_key(), tuple(hosts)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    return key_pem(key), _leaf(authority, key.public_key(), name, days, now or now_utc(), usage, hosts)


def crl_expires(at: dt.datetime) -> dt.datetime:
    """Time at which a CRL expires that is written at ``at``."""
    return at + dt.timedelta(days=_CRL_DAYS)


def revocations(authority: Authority, serials: Iterable[int], *, now: dt.datetime | None = None) -> bytes:
    """The certificate revocation list, PEM."""
    at = now or now_utc()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.cert.subject)
        .last_update(at - _BACKDATED)
        .next_update(crl_expires(at))
    )
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def renew_after(cert: bytes) -> dt.datetime:
    """Time at which two thirds of a certificate's lifetime have passed."""
    loaded = x509.load_pem_x509_certificate(cert)
    return loaded.not_valid_before_utc + (loaded.not_valid_after_utc - loaded.not_valid_before_utc) * 2 / 3


def common_name(cert: bytes) -> str:
    """Common name of the certificate."""
    (name,) = x509.load_pem_x509_certificate(cert).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key; raises ProvisionError if it is of another type."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key
    raise ProvisionError(f"{path}: not an EC key; delete it and start again")


def serial_of(cert: bytes) -> int:
    """The serial number of a certificate."""
    return x509.load_pem_x509_certificate(cert).serial_number


def belongs(cert: bytes, key: ec.EllipticCurvePrivateKey) -> bool:
    """True if the certificate is for this key."""
    public = x509.load_pem_x509_certificate(cert).public_key()
    return isinstance(public, ec.EllipticCurvePublicKey) and (
        public.public_numbers() == key.public_key().public_numbers()
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file readable by the owner only, synced to disk before the rename."""
    part = path.with_name(f"{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, at: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _BACKDATED)
        .not_valid_after(at + dt.timedelta(days=days))
    )


def _leaf(  # noqa: PLR0917 - the parts of a certificate
    authority: Authority,
    key: ec.EllipticCurvePublicKey,
    name: str,
    days: int,
    at: dt.datetime,
    usage: x509.ObjectIdentifier,
    hosts: tuple[str, ...],
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, authority.cert.subject, key, at, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
        )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

"""First boot on the unit: keys, request, enrolment, atomic installation, deletion of the token.

Every step can be interrupted and repeated: existing files are kept, and the authority answers the same request
with the same certificate.
"""

from __future__ import annotations

import os
import time
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from agent.geotag.dates import HORIZON_DAYS, NOT_BEFORE, DateKeeper
from agent.geotag.sentences import Kind, RefusedError, parse_sentence
from protocol.errors import KeyFileError
from protocol.seal.keys import SigningKey, StationKey, VerifyKey
from provision.card import CARD, load_card
from provision.enrol import EnrolAt, ask
from provision.errors import ProvisionError
from provision.pki import belongs, key_pem, load_key, make_request, new_key, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from provision.card import Card


_LOG = structlog.get_logger(__name__)
TLS_KEY, CERT, CA, STATION, RECEIPTS, SIGNING_KEY, CONFIG, ENROL_AT, RELEASE = (
    "tls.key", "unit.pem", "ca.pem", "station.pub", "receipt.pub", "unit.key", "config.toml", "enrol.json",
    "release.pub",
)  # fmt: skip
HOTLISTS, POLICIES, AGENCY = "hotlist.pub", "policy.pub", "agency.pub"
_CONFIG = """# Written at the first boot; edit the hardware, then: systemctl restart patrol-lpr
unit = "{unit}"
agency = "{agency}"

[[hw.cameras]]
kind = "pi"

[hw.gnss]
kind = "serial"

[hw.link]
kind = "mqtt"
host = "{host}"
port = {port}

[hw.link.tls]
ca = "{etc}/ca.pem"
cert = "{etc}/unit.pem"
key = "{etc}/tls.key"

[seal]
station_key = "{etc}/station.pub"
receipt_key = "{etc}/receipt.pub"
"""


def find_card(boots: Iterable[Path]) -> Path | None:
    """Return the card from the first boot partition that has one."""
    return next((path for boot in boots if (path := boot / "patrol-lpr" / CARD).exists()), None)


def enrol(
    card_path: Path,
    etc: Path,
    *,
    done: Callable[[str], None] = lambda _: None,
    group: int | None = None,
) -> None:
    """Run all steps that are not done yet; ``done`` is called with the name of each.

    ``group`` can read the files of the service.  Raises ProvisionError, EnrolmentRefusedError, or OSError.
    """
    card = load_card(card_path)
    etc.mkdir(parents=True, exist_ok=True)
    install(etc / CA, card.ca_pem.encode(), group)
    install(etc / STATION, card.station_pem.encode(), group)
    install(etc / RECEIPTS, card.receipt_pem.encode(), group)
    StationKey.load_public(etc / STATION)
    VerifyKey.load_all(etc / RECEIPTS)
    if card.release_pem is not None:
        install(etc / RELEASE, card.release_pem.encode(), group)
        VerifyKey.load(etc / RELEASE)
    for name, pem in ((HOTLISTS, card.hotlist_pem), (POLICIES, card.policy_pem), (AGENCY, card.agency_pem)):
        if pem is not None:
            install(etc / name, pem.encode(), group)
            VerifyKey.load_all(etc / name)
    done("trust")
    key = _tls_key(etc / TLS_KEY, group)
    done("key")
    own = _signing_key(etc / SIGNING_KEY)
    done("signing key")
    if not _is_enrolled(etc, key):
        request = _request(etc, key, card.unit)
        done("request")
        cert = ask(card, request, own.public.raw, ca=etc / CA)
        done("answer")
        if not belongs(cert, key):
            raise ProvisionError("the authority answered with a certificate for another key")
        install(etc / CERT, cert, group)
    (etc / "request.pem").unlink(missing_ok=True)
    done("certificate")
    at = EnrolAt(host=card.enrol_host, port=card.enrol_port)
    install(etc / ENROL_AT, at.model_dump_json().encode(), group)
    if not (etc / CONFIG).exists():
        install(etc / CONFIG, configuration(card, etc).encode(), group)
    done("configuration")
    shred(card_path)
    done("token shredded")
    _LOG.info("enrolled", unit=card.unit)


def configuration(card: Card, etc: Path) -> str:
    """Return the unit's configuration: who it is, the tables of the card or a Pi camera and a receiver, the link."""
    text = _CONFIG.format(
        unit=card.unit,
        agency=card.agency.replace('"', "'"),
        host=card.broker_host,
        port=card.broker_port,
        etc=etc,
    )
    if card.hotlist_pem is not None and "hotlist" not in tomllib.loads(card.config_toml):
        text += f'\n[hotlist]\nkey = "{etc}/{HOTLISTS}"\n'
    if not card.config_toml:
        return text
    head, _, rest = text.partition("[[hw.cameras]]")
    return f"{head}{card.config_toml.strip()}\n\n{rest[rest.index('[hw.link]') :]}"


def shred(path: Path) -> None:
    """Overwrite and delete; flash may keep a copy, which is why the token works only once."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def _tls_key(path: Path, group: int | None) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        return load_key(path)
    made = new_key()
    install(path, key_pem(made), group)
    return made


def _signing_key(path: Path) -> SigningKey:
    """Readable by root only: systemd passes it to the service."""
    try:
        return SigningKey.load(path)
    except KeyFileError:
        if path.exists():
            raise
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    SigningKey.generate().save(part)
    part.replace(path)
    return SigningKey.load(path)


def _request(etc: Path, key: ec.EllipticCurvePrivateKey, unit: str) -> bytes:
    """Kept until the answer is stored: ECDSA signatures differ each time, and the authority compares the bytes."""
    path = etc / "request.pem"
    if not path.exists():
        write_private(path, make_request(key, unit))
    return path.read_bytes()


def _is_enrolled(etc: Path, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        return belongs((etc / CERT).read_bytes(), key)
    except (OSError, ValueError):
        return False


def install(path: Path, data: bytes, group: int | None) -> None:
    """Install a file with one rename; ``group`` can read it."""
    write_private(path, data)
    if group is not None:
        os.chown(path, -1, group)
        path.chmod(0o640)


def clock_is_credible(ca_pem: bytes, *, now_s: float) -> bool:
    """False while the clock is earlier than the authority's creation: no certificate would be valid yet."""
    ca = x509.load_pem_x509_certificate(ca_pem)
    return now_s >= ca.not_valid_before_utc.timestamp()


def utc_from_sentences(lines: Iterable[str]) -> datetime | None:
    """The time of the first RMC sentence with a fix and a plausible date; None if there is none."""
    dates = DateKeeper(NOT_BEFORE, HORIZON_DAYS, max_rejects=0)
    for line in lines:
        try:
            said = parse_sentence(line)
        except RefusedError:
            continue
        if said.kind is not Kind.RMC or said.void or said.tod_ns is None or said.day is None:
            continue
        dated = dates.judge(said.day, said.tod_ns, 0)
        if dated.utc_ns is not None and not dated.corrected:
            return datetime.fromtimestamp(dated.utc_ns / 1e9, UTC)
    return None


def set_clock(at: datetime) -> None:
    """Set the system's clock; root only."""
    time.clock_settime(time.CLOCK_REALTIME, at.astimezone(UTC).timestamp())

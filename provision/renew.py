"""Renews a unit's certificate after two thirds of its lifetime: same key, authenticated by the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog
from pydantic import ValidationError

from provision.enrol import RENEW, EnrolAt, post
from provision.errors import ProvisionError
from provision.first_boot import CA, CERT, ENROL_AT, TLS_KEY, install
from provision.pki import belongs, common_name, load_key, make_request, renew_after, write_private

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

_LOG = structlog.get_logger(__name__)


class Renewer(Protocol):
    """Sends the request to the authority."""

    def __call__(self, at: EnrolAt, unit: str, request: bytes, *, etc: Path) -> bytes:
        """Return the certificate, PEM."""


def ask_again(at: EnrolAt, unit: str, request: bytes, *, etc: Path) -> bytes:
    """Mutual TLS."""
    body = {"unit": unit, "request": request.decode()}
    return post(at.host, at.port, RENEW, body, ca=etc / CA, own=(etc / CERT, etc / TLS_KEY))


def renew(etc: Path, *, now: dt.datetime, renewer: Renewer = ask_again, group: int | None = None) -> bool:
    """Renew if due; return whether it was.

    The request is kept until the answer is installed, so that a power cut in between is harmless.  Raises
    ProvisionError, EnrolmentRefusedError, or OSError for its own files; the old certificate stays.
    """
    cert = (etc / CERT).read_bytes()
    if now < renew_after(cert):
        return False
    try:
        at = EnrolAt.model_validate_json((etc / ENROL_AT).read_bytes())
    except ValidationError as error:
        raise ProvisionError(f"{etc / ENROL_AT}: {error.errors()[0]['msg']}") from None
    key, unit = load_key(etc / TLS_KEY), common_name(cert)
    waiting = etc / "request.pem"
    if not waiting.exists():
        write_private(waiting, make_request(key, unit))
    fresh = renewer(at, unit, waiting.read_bytes(), etc=etc)
    if not belongs(fresh, key) or common_name(fresh) != unit:
        raise ProvisionError("the authority answered with a certificate for another unit")
    install(etc / CERT, fresh, group)
    waiting.unlink()
    _LOG.info("certificate_renewed", unit=unit)
    return True

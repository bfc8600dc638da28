"""Enrolment over pinned TLS: one request, one answer, JSON both ways."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import ssl
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import BaseModel, ConfigDict

from protocol.errors import KeyFileError, WireError
from protocol.seal.keys import VerifyKey
from protocol.wire.topics import check_unit
from provision.ca_store import EnrolmentRefusedError
from provision.errors import ProvisionError
from provision.pki import now_utc

if TYPE_CHECKING:
    from pathlib import Path

    from provision.ca_store import CaStore
    from provision.card import Card

_LOG = structlog.get_logger(__name__)
PATH = "/enrol"
RENEW = "/renew"
_MAX_BYTES = 16_384
_TIMEOUT_S = 30.0


class EnrolAt(BaseModel):
    """Address of the enrolment server; a unit keeps it for renewals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int


def ask(card: Card, request: bytes, signing_raw: bytes, *, ca: Path) -> bytes:
    """The unit's side: return its certificate, PEM.  Raises EnrolmentRefusedError or ProvisionError."""
    body = {
        "unit": card.unit,
        "token": card.token,
        "request": request.decode(),
        "signing_key": base64.b64encode(signing_raw).decode(),
    }
    return post(card.enrol_host, card.enrol_port, PATH, body, ca=ca)


def post(
    host: str, port: int, path: str, body: dict[str, str], *, ca: Path, own: tuple[Path, Path] | None = None
) -> bytes:
    """Send a request, with ``own`` certificate and key if given; return the certificate, PEM.

    Raises EnrolmentRefusedError or ProvisionError.
    """
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if own is not None:
        context.load_cert_chain(*own)
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read(_MAX_BYTES)
    except http.client.HTTPException as error:
        raise ProvisionError(f"{host}:{port}: invalid answer: {error!r}") from error
    except ssl.SSLCertVerificationError as error:
        raise ProvisionError(
            f"{host}:{port}: not the server of this unit's authority ({error.verify_message}): the card is from"
            " another fleet, the clock is wrong, or the connection is intercepted; no data was sent"
        ) from error
    except OSError as error:
        raise ProvisionError(
            f"{host}:{port}: cannot be reached ({error}): check network, address and firewall"
        ) from error
    finally:
        connection.close()
    try:
        told = json.loads(data)
        if answer.status == http.HTTPStatus.FORBIDDEN:
            raise EnrolmentRefusedError(str(told["error"]))
        if answer.status != http.HTTPStatus.OK:
            raise ProvisionError(f"{host}:{port}: {answer.status} {told.get('error', '')}")
        return str(told["certificate"]).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProvisionError(f"{host}:{port}: invalid answer") from error


def server(ca_store: CaStore, host: str, port: int, *, cert: Path, key: Path) -> http.server.ThreadingHTTPServer:
    """The authority's side, bound and ready for ``serve_forever``; TLS 1.2 or newer only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
        # Units that renew show their certificate; those that enrol have none yet.
        context.load_verify_locations(cadata=ca_store.ca_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        made = _Server((host, port), _handler(ca_store))
    except OSError as error:
        raise ProvisionError(f"enrolment cannot be served at {host}:{port}: {error}") from error
    made.tls = context
    return made


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS handshake in the request's own thread: a silent client must not block others."""
        request.settimeout(_TIMEOUT_S)
        try:
            with self.tls.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError as error:
            _LOG.warning("enrolment_connection", peer=client_address[0], error=str(error))


def _handler(ca_store: CaStore) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        server_version = "patrol-lpr"
        sys_version = ""

        def do_POST(self) -> None:
            status, told = self._answer()
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _answer(self) -> tuple[http.HTTPStatus, dict[str, str]]:
            length = self.headers.get("Content-Length", "")
            if self.path not in {PATH, RENEW} or not length.isdecimal() or int(length) > _MAX_BYTES:
                return http.HTTPStatus.BAD_REQUEST, {"error": "not an enrolment"}
            try:
                asked = json.loads(self.rfile.read(int(length)))
                unit = check_unit(str(asked["unit"]))
                if self.path == RENEW:
                    pem = ca_store.renew(unit, self._shown(), str(asked["request"]).encode(), now=now_utc())
                    _LOG.info("renewed", unit=unit)
                    return http.HTTPStatus.OK, {"certificate": pem.decode()}
                token = str(asked["token"])
                signing = VerifyKey.from_raw(base64.b64decode(str(asked["signing_key"]), validate=True))
                request = str(asked["request"]).encode()
                pem = ca_store.enrol(unit, token, request, signing.pem(), now=now_utc())
            except EnrolmentRefusedError as error:
                _LOG.warning("enrolment_refused", peer=self.client_address[0])
                return http.HTTPStatus.FORBIDDEN, {"error": str(error)}
            except (
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                RecursionError,
                WireError,
                KeyFileError,
            ) as error:
                return http.HTTPStatus.BAD_REQUEST, {"error": f"not an enrolment: {type(error).__name__}"}
            except ProvisionError as error:
                return http.HTTPStatus.BAD_REQUEST, {"error": str(error)}
            _LOG.info("enrolled", unit=unit)
            return http.HTTPStatus.OK, {"certificate": pem.decode()}

        def _shown(self) -> bytes | None:
            """The client's certificate, DER; TLS has verified the issuer and that it has not expired."""
            shown: bytes | None = self.connection.getpeercert(binary_form=True)
            return shown

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of http.server
            """Logging is done with structlog."""

    return Handler

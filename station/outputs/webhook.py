"""Signed HTTPS requests after Standard Webhooks: one POST for each record, HMAC-SHA256 over id, time and body.

``http.client`` follows no redirects and asks no proxy: a request goes to the configured host and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import secrets
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from station.errors import DeliveryError, RecordRefusedError, StationConfigError
from station.outputs.bounded_https import BoundedConnection, bounded_context
from station.outputs.events import document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from station.outputs.config import WebhookOutput
    from station.outputs.events import Event

PREFIX = "whsec_"
_MIN_KEY, _MAX_KEY, _NEW_KEY = 24, 64, 32
_REFUSED = frozenset({400, 406, 409, 413, 415, 422})
"""The receiver understood, and does not want this record.  A wrong address or key (401, 403, 404) is the operator's to
correct: records wait meanwhile."""
_OK = range(200, 300)
_MAX_RETRY_AFTER_S = 300.0
_ANSWER_BYTES = 4096


def new_secret() -> str:
    """Return a new secret, base64 with the usual prefix."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_NEW_KEY)).decode()


def load_secret(path: Path) -> bytes:
    """Read a secret.  Raises StationConfigError for a file that is missing, readable by others or no secret."""
    try:
        if path.stat().st_mode & 0o077:
            raise StationConfigError(f"{path}: is readable by others: chmod 600 {path}")
        text = path.read_text(encoding="ascii").strip()
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except OSError as error:
        raise StationConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, binascii.Error) as error:
        raise StationConfigError(
            f"{path}: is no secret: make one with `patrol-lpr station outputs secret`"
        ) from error
    if not _MIN_KEY <= len(key) <= _MAX_KEY:
        raise StationConfigError(f"{path}: a secret has {_MIN_KEY} to {_MAX_KEY} bytes, not {len(key)}")
    return key


def signature(key: bytes, message_id: str, utc_s: int, body: bytes) -> str:
    """Return the header ``webhook-signature``."""
    signed = f"{message_id}.{utc_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class WebhookSender:
    """One receiver."""

    batch = 1

    def __init__(self, config: WebhookOutput, clock_us: Callable[[], int]) -> None:
        """Raises StationConfigError for a secret or authorities that cannot be used."""
        self._config = config
        self._clock_us = clock_us
        self._key = load_secret(config.secret_file)
        target = urlsplit(config.url)
        self._host, self._port = target.hostname or "", target.port or 443
        self._path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        try:
            self._tls = bounded_context(None if config.ca is None else str(config.ca))
        except (OSError, ssl.SSLError) as error:
            raise StationConfigError(f"output {config.name}: {config.ca} cannot be used: {error}") from error

    @property
    def where(self) -> str:
        """For the audit trail; a path or query may hold a token."""
        return f"https://{self._host}:{self._port}"

    def send(self, events: Sequence[Event]) -> int:
        """Post each event; raises RecordRefusedError or DeliveryError at the first that fails."""
        for event in events:
            self._post(event)
        return len(events)

    def close(self) -> None:
        """Nothing is open between requests."""

    def _post(self, event: Event) -> None:
        body = json.dumps(document(event, self._config), ensure_ascii=False, separators=(",", ":")).encode()
        now_s = self._clock_us() // 1_000_000
        headers = {
            "content-type": "application/json",
            "user-agent": "patrol-lpr",
            "connection": "close",
            "webhook-id": event.id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": signature(self._key, event.id, now_s, body),
        }
        connection = BoundedConnection(self._host, self._port, self._tls, self._config.timeout_s)
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES)
            status, retry_after = answer.status, answer.getheader("retry-after", "")
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"{self.where}: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()
        self._judge(status, retry_after)

    def _judge(self, status: int, retry_after: str) -> None:
        if status in _OK:
            return
        if status in _REFUSED:
            raise RecordRefusedError(f"{self.where} refuses the record: status {status}")
        wait_s = (
            min(float(retry_after), _MAX_RETRY_AFTER_S)
            if retry_after.isascii() and retry_after.isdigit()
            else None
        )
        raise DeliveryError(f"{self.where} answers with status {status}", retry_after_s=wait_s)

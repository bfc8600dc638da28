"""Sends Cursor-on-Target events to a TAK server: UDP, TCP or TLS."""

from __future__ import annotations

import socket
import ssl
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.read import Read
from station.errors import DeliveryError, StationConfigError
from station.outputs.cot import hit_event, unit_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from station.outputs.config import CotOutput
    from station.outputs.events import Event
    from station.query.stored import StoredRecord

_TIMEOUT_S = 10.0
_REMEMBERED = 1_000
_DRAINED = 64 * 1024
_MAX_DRAINED = 64


class TakOutput:
    """One connection.  TCP tells no receiver's acknowledgement: delivered means that the events were sent.

    Raises StationConfigError for certificates that cannot be used.
    """

    batch = 64

    def __init__(self, config: CotOutput, clock_us: Callable[[], int]) -> None:
        self._config = config
        self._clock_us = clock_us
        self._socket: socket.socket | None = None
        self._tls = _tls(config) if config.scheme == "tls" else None
        self._hits: OrderedDict[tuple[str, bytes], tuple[StoredRecord, Hit]] = OrderedDict()
        """Hits by unit and id, to tell what was decided about them."""
        self._units: dict[str, int] = {}
        """When the position of a unit was sent, UTC."""

    @property
    def where(self) -> str:
        """For the audit trail."""
        return self._config.url

    def send(self, events: Sequence[Event]) -> int:
        """Send what has a time and a position and is not stale; return how many."""
        messages = [message for event in events if (message := self._message(event)) is not None]
        if not messages:
            return 0
        try:
            connection = self._connected()
            if self._config.scheme == "udp":
                for message in messages:
                    connection.send(message)
            else:
                connection.sendall(b"".join(messages))
        except OSError as error:
            self.close()
            raise DeliveryError(f"{self._config.url}: {error}") from error
        return len(messages)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None

    def _message(self, event: Event) -> bytes | None:
        stored, body, now_us = event.stored, event.stored.body, self._clock_us()
        if isinstance(body, Hit):
            self._hits[stored.unit, body.hit_id] = (stored, body)
            self._hits.move_to_end((stored.unit, body.hit_id))
            if len(self._hits) > _REMEMBERED:
                self._hits.popitem(last=False)
            return hit_event(stored, body, self._config, now_us)
        if isinstance(body, Disposition):
            known = self._hits.get((stored.unit, body.hit_id))
            return None if known is None else hit_event(*known, self._config, now_us, body.action)
        if isinstance(body, Read) and self._config.show_units:
            return self._unit(stored, body, now_us)
        return None

    def _unit(self, stored: StoredRecord, read: Read, now_us: int) -> bytes | None:
        made_us = stored.utc_us
        if made_us is None or made_us - self._units.get(stored.unit, 0) < self._config.unit_every_s * 1e6:
            return None
        message = unit_event(stored, read.place, self._config, now_us)
        if message is not None:
            self._units[stored.unit] = made_us
        return message

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._is_open(self._socket):
            return self._socket
        self.close()
        host, port = self._config.address
        if self._config.scheme == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        else:
            plain = socket.create_connection((host, port), _TIMEOUT_S)
            self._socket = plain
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(plain, server_hostname=host)
        self._socket.settimeout(_TIMEOUT_S)
        return self._socket

    def _is_open(self, connection: socket.socket) -> bool:
        """Take what the server sent to its clients, which is not used; False if it closed the connection."""
        if self._config.scheme == "udp":
            return True
        connection.settimeout(0)
        try:
            for _ in range(_MAX_DRAINED):
                if not connection.recv(_DRAINED):
                    return False
        except (BlockingIOError, ssl.SSLWantReadError):
            connection.settimeout(_TIMEOUT_S)
            return True
        except OSError:
            return False
        connection.settimeout(_TIMEOUT_S)
        return True


def _tls(config: CotOutput) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if config.ca is None else str(config.ca))
        if config.cert is not None and config.key is not None:
            context.load_cert_chain(config.cert, config.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (config.ca, config.cert, config.key) if path is not None)
        raise StationConfigError(
            f"output {config.name}: {files or 'the authorities of the system'} cannot be used: {error}"
        ) from error
    return context

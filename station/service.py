"""The station on a broker: subscribes, commits in groups, acknowledges and receipts only after the commit.

Messages are acknowledged to the broker by hand (paho's ``manual_ack``), so the broker keeps what a station that dies
had not made durable.  A client lives no longer than its connection: what paho would queue for the next one is of no
use, because the units ask again for every receipt that they miss.
"""

from __future__ import annotations

import queue
import socket
import sqlite3
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hw.backoff import Backoff
from hw.mqtt_client import WatchedClient, is_protocol_error, topic_of
from protocol.wire.topics import Channel, pattern
from station.errors import BrokerError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from station.batch import Answer
    from station.ingest import Ingest

_GROUP = 64
_SHARE = "$share/station/"
_SHARED = (Channel.READ, Channel.PICTURE, Channel.HEALTH, Channel.UPDATE)
_SESSION_S = 86_400
"""How long an MQTT 5 broker keeps messages for a station that is away."""
_WINDOW = 256
"""Most messages that the broker sends ahead of our acknowledgement (MQTT 5), and most receipts in flight."""
_WAITING = 2048
"""Most messages that wait for the disk; a broker that respects the window never comes near."""
_KEEPALIVE_S = 30
_CONNECT_S = 30.0
_MIN_WAIT_S, _MAX_WAIT_S = 0.5, 30.0
_POLL_S = 0.1
_OFFERS_S = 2.0
"""How often the file is asked for offers that another process made."""
_JOIN_S = 10.0
_FAILURE = 0x80
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to get in."""

    host: str
    port: int = 1883
    five: bool = True
    """MQTT 5; else 3.1.1, which has no shared subscriptions."""
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    """Authorities to trust, PEM; TLS is used when this or ``cert`` is given."""
    cert: Path | None = None
    key: Path | None = None


@dataclass(slots=True)
class ServiceCounts:
    """Since the start."""

    connections: int = 0
    link_faults: int = 0
    """Connections given up because of a packet that could not be read; the next one begins without the session."""
    groups: int = 0
    messages: int = 0
    answers_sent: int = 0
    answers_unsent: int = 0
    """Receipts that could not be sent; the units ask again."""
    offers_sent: int = 0
    """Offers of updates, and withdrawals, left with the broker."""
    overrun: int = 0
    """Messages that came while far too many were waiting; they were not taken, and the units send them again."""


class StationService:
    """One thread that connects, commits and answers, beside paho's own for the network."""

    def __init__(
        self, address: BrokerAddress, ingest: Ingest, *, station: str, backoff: Backoff | None = None
    ) -> None:
        """``station`` names the MQTT session: two stations on one broker need two names."""
        self._address = address
        self._ingest = ingest
        self._client_id = f"station-{station}"
        self._backoff = backoff or Backoff(_MIN_WAIT_S, _MAX_WAIT_S)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self.run, name="station", daemon=True)
        self._log = structlog.get_logger().bind(broker=f"{address.host}:{address.port}")
        self.connected = threading.Event()
        """Set while connected and subscribed."""
        self.counts = ServiceCounts()
        self._is_session_suspect = False
        """After a fault: the broker may hold the packet that led to it, and send it again."""

    @property
    def is_alive(self) -> bool:
        """False before ``start``, after ``close``, and after a defect ended the thread."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Run in a thread of its own.  Raises BrokerError when a certificate cannot be used."""
        self._make_client()  # what is wrong with the certificates must be said here
        self._thread.start()

    def run(self) -> None:
        """Connect again and again until ``close``; in between take messages, commit and answer."""
        while not self._closing.is_set():
            reason = self._connect()
            if not self._closing.is_set():
                self._log.warning("broker_lost", reason=reason)
                self._closing.wait(self._backoff.next_s())

    def _connect(self) -> str:
        """Live through one connection; return why it ended: a certificate being renewed is an outage like others."""
        try:
            client = self._make_client()
        except BrokerError as error:
            return str(error)
        connection = _Connection(client, self._address, self.connected)
        if connection.open(clean_start=self._is_session_suspect):
            self._serve(connection)
        connection.close()
        self.connected.clear()
        self._is_session_suspect = connection.is_fault
        self.counts.link_faults += connection.is_fault
        # A broker that sends the same nonsense at each connection must not be asked at the highest rate.
        if connection.was_up and not connection.is_fault:
            self._backoff.reset()
        return connection.reason

    def close(self) -> None:
        """Commit and answer what came, disconnect, end the threads."""
        self._closing.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _serve(self, connection: _Connection) -> None:
        self.counts.connections += 1
        standing: dict[str, bytes] = {}
        due_s = 0.0
        while not connection.ended.is_set() and not self._closing.is_set():
            self._take(connection, connection.next_group(_GROUP, _POLL_S))
            connection.look_whether_up()
            if self.connected.is_set() and time.monotonic() >= due_s:
                due_s = time.monotonic() + _OFFERS_S
                self._offer(connection, standing)
        self._take(connection, connection.next_group(_WAITING, 0.0))
        self.counts.overrun += connection.overrun

    def _offer(self, connection: _Connection, standing: dict[str, bytes]) -> None:
        """Publish what this connection has not; the broker keeps it for units that are away."""
        try:
            offers = self._ingest.offers()
        except (StoreError, sqlite3.Error) as error:
            self._log.error("offers_unread", reason=str(error))
            return
        for topic, payload in offers:
            if standing.get(topic) != payload and connection.retain(topic, payload):
                standing[topic] = payload
                self.counts.offers_sent += 1

    def _take(self, connection: _Connection, group: list[MQTTMessage]) -> None:
        if not group:
            return
        for message in group:
            self._ingest.take(topic_of(message), bytes(message.payload))
        failures = self._ingest.counts.storage_failures
        answers = self._ingest.commit()
        if self._ingest.counts.storage_failures > failures:
            self._log.error("storage_failed", messages=len(group), reason=self._ingest.last_failure)
        self.counts.groups += 1
        self.counts.messages += len(group)
        sent = connection.answer(answers, group)
        self.counts.answers_sent += sent
        self.counts.answers_unsent += len(answers) - sent

    def _make_client(self) -> WatchedClient:
        address = self._address
        client = WatchedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if address.five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if address.five else self._is_session_suspect,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(_WINDOW)
        client.max_queued_messages_set(_WAITING)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.ca or address.cert:
            try:
                context = ssl.create_default_context(cafile=None if address.ca is None else str(address.ca))
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                if address.cert is not None:
                    context.load_cert_chain(address.cert, address.key)
            except (OSError, ValueError) as error:
                raise BrokerError(f"certificates cannot be used: {error}") from error
            client.tls_set_context(context)
        elif address.host not in _LOOPBACK:
            raise BrokerError(f"{address.host} is another machine: give --ca, --cert and --key for TLS")
        return client


class _Connection:
    """One connection: paho's thread fills ``_messages``, the station's thread empties it."""

    def __init__(self, client: WatchedClient, address: BrokerAddress, connected: threading.Event) -> None:
        self._client = client
        self._address = address
        self._connected = connected
        self._messages: queue.Queue[MQTTMessage] = queue.Queue(_WAITING)
        self.ended = threading.Event()
        self.reason = ""
        self.is_fault = False
        self.was_up = False
        self.overrun = 0
        self._give_up_s = time.monotonic() + _CONNECT_S
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_network_end = self._on_network_end

    def open(self, *, clean_start: bool) -> bool:
        """Connect and start paho's thread; False when the broker cannot be reached."""
        options: dict[str, Any] = {"keepalive": _KEEPALIVE_S}
        if self._address.five:
            options["clean_start"] = clean_start
            options["properties"] = properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = _SESSION_S
            properties.ReceiveMaximum = _WINDOW
        try:
            self._client.connect(self._address.host, self._address.port, **options)
        except (OSError, ValueError) as error:
            self.reason = str(error)
            return False
        self._give_up_s = time.monotonic() + _CONNECT_S
        self._client.loop_start()
        return True

    def look_whether_up(self) -> None:
        """Give up a broker that takes the connection and then does not answer."""
        if not self.was_up and time.monotonic() >= self._give_up_s:
            self._end(f"the broker has not answered for {_CONNECT_S:g} s")

    def close(self) -> None:
        """Disconnect, having sent what is on its way."""
        client = self._client
        client.disconnect()
        client.loop_stop()
        # The callbacks tie client and connection in a knot, and the client's sockets with them.
        client.on_socket_open = client.on_connect = client.on_disconnect = None
        client.on_subscribe = client.on_message = client.on_network_end = None

    def next_group(self, limit: int, wait_s: float) -> list[MQTTMessage]:
        """Wait for a message, then take what else is there: while the disk works, the next group gathers."""
        group: list[MQTTMessage] = []
        try:
            group.append(self._messages.get(block=wait_s > 0, timeout=wait_s))
            while len(group) < limit:
                group.append(self._messages.get_nowait())
        except queue.Empty:
            pass
        return group

    def answer(self, answers: list[Answer], group: list[MQTTMessage]) -> int:
        """Acknowledge the group and publish the answers; return how many went out.  Never waits."""
        for message in group:
            if message.qos:
                self._client.ack(message.mid, message.qos)
        sent = 0
        for topic, payload in answers:
            # Disconnected, paho would say no and send it later all the same.
            if not self._connected.is_set():
                break
            sent += self._client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        return sent

    def retain(self, topic: str, payload: bytes) -> bool:
        """Leave a message with the broker; False when it did not go out."""
        if not self._connected.is_set():
            return False
        return self._client.publish(topic, payload, qos=1, retain=True).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_connect(self, client: Client, _: Any, __: Any, code: ReasonCode, ___: Any) -> None:
        if code.is_failure:
            self._end(f"refused by the broker: {code}")
            return
        prefix = _SHARE if self._address.five else ""
        filters = [(f"{prefix}{pattern(channel)}", 1) for channel in _SHARED]
        # Retained messages are not sent to shared subscriptions (OASIS MQTT 5.0, section 4.8.2).
        client.subscribe([*filters, (pattern(Channel.STATUS), 1)])

    def _on_subscribe(self, _: Client, __: Any, ___: int, codes: list[ReasonCode], ____: Any) -> None:
        refused = [str(code) for code in codes if code.value >= _FAILURE]
        if refused:
            self._end(f"subscription refused: {', '.join(refused)}")
        else:
            self.was_up = True
            self._connected.set()

    def _on_disconnect(self, _: Client, __: Any, flags: DisconnectFlags, code: ReasonCode, ____: Any) -> None:
        self._end(f"connection lost: {code}", is_fault=is_protocol_error(flags, code))

    def _on_network_end(self, fault: str | None) -> None:
        """Nothing more is read or written, whether or not paho has said that it is disconnected."""
        self._end(fault or "connection lost", is_fault=fault is not None)

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            self.overrun += 1

    def _end(self, reason: str, *, is_fault: bool = False) -> None:
        """The first reason counts: what follows is its consequence."""
        if not self.reason:
            self.reason, self.is_fault = reason, is_fault
        self._connected.clear()
        self.ended.set()


def _no_delay(_: Client, __: Any, sock: Any) -> None:
    """Without it small answers wait for the peer's delayed acknowledgement; paho leaves it off."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

"""The station on a broker: subscribes, commits in groups, acknowledges and receipts only after the commit.

Messages are acknowledged to the broker manually, so the broker keeps what a killed station had not stored durably.
Nothing is kept for the next connection: the units send again what was not receipted.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hw.backoff import Backoff
from hw.config import LOOPBACK, MAX_IN_FLIGHT, MQTT_PORT
from hw.mqtt_connection import MqttConnection, MqttOptions, TlsFiles, tls_context
from hw.ports import HwConfigError, LinkDownError
from protocol.wire.topics import Channel, pattern
from station.errors import BrokerError, StoreError
from station.outage_log import OutageLog

if TYPE_CHECKING:
    from pathlib import Path

    from hw.mqtt_connection import MqttMessage
    from station.ingest import Answer, Ingest

GROUP = 64
_SHARE = "$share/station/"
_SHARED = (Channel.READ, Channel.PICTURE, Channel.HEALTH, Channel.UPDATE, Channel.WITNESS)
_SESSION_S = 86_400
"""How long an MQTT 5 broker keeps messages for a station that is away."""
_WINDOW = MAX_IN_FLIGHT
"""Maximum number of unacknowledged messages from the broker (MQTT 5), and of receipts in flight."""
_WAITING = 2048
"""Maximum number of messages waiting for the disk; not reached with a broker that respects the window."""
_WAITING_BYTES = 16 * 2**20
_STEADY_S = 60.0
"""A connection that lasted so long was of use even if no unit had anything to say."""
_BRIEF_S, _SUSPICIOUS = 5.0, 3
"""So many connections in a row that lasted less: perhaps another station ends them."""
_MIN_WAIT_S, _MAX_WAIT_S = 0.5, 30.0
_POLL_S = 0.1
_OFFERS_S = 2.0
"""Interval for reading offers that another process has made."""
_JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Address and credentials of the broker."""

    host: str
    port: int = MQTT_PORT
    five: bool = True
    """MQTT 5; otherwise 3.1.1, which has no shared subscriptions."""
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    """Trusted authorities, PEM; TLS is used if this or ``cert`` is given."""
    cert: Path | None = None
    key: Path | None = None
    keeps_session: bool = True
    """False for one of several workers: what it had not stored, its broker gives to the others when it ends."""


@dataclass(slots=True)
class ServiceCounts:
    """Since the start."""

    connections: int = 0
    link_faults: int = 0
    """Connections closed because of an unreadable packet; the next one begins without the session."""
    groups: int = 0
    messages: int = 0
    answers_sent: int = 0
    answers_unsent: int = 0
    """Receipts that could not be sent; the units send the records again."""
    offers_sent: int = 0
    """Offers of updates, and withdrawals, published as retained messages."""
    overrun: int = 0
    """Messages dropped because too many were waiting; the units send them again."""


class StationService:
    """One thread that connects, commits and publishes receipts, in addition to paho's network thread."""

    def __init__(
        self,
        address: BrokerAddress,
        ingest: Ingest,
        *,
        station: str,
        backoff: Backoff | None = None,
        group: int = GROUP,
    ) -> None:
        """``station`` is the name of the MQTT session: two stations on one broker need different names.

        ``group`` is the maximum number of messages in one transaction.
        """
        self._group = group
        self._address = address
        self._ingest = ingest
        self._client_id = f"station-{station}"
        self._backoff = backoff or Backoff(_MIN_WAIT_S, _MAX_WAIT_S)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self.run, name="station", daemon=True)
        self._log = structlog.get_logger().bind(broker=f"{address.host}:{address.port}")
        self._storage = OutageLog(self._log, "storage_failed", "storage_works_again")
        self._reading = OutageLog(self._log, "offers_unreadable", "offers_readable_again")
        self._conflicting: set[str] = set()
        """Names used by two units, of which the log has a line."""
        self.connected = threading.Event()
        """Set while connected and subscribed."""
        self.counts = ServiceCounts()
        self._brief_in_a_row = 0
        self._is_session_suspect = False
        """Set after a fault: the broker may still have the packet that caused it, and send it again."""

    @property
    def is_alive(self) -> bool:
        """False before ``start``, after ``close``, and after a defect ended the thread."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Run in a thread of its own.  Raises BrokerError if a certificate is missing or cannot be used."""
        options = _options(self._address, self._client_id)
        if options.tls is not None:
            try:
                tls_context(options.tls)
            except HwConfigError as error:
                raise BrokerError(str(error)) from error
        self._thread.start()

    def run(self) -> None:
        """Connect, and reconnect until ``close``; while connected, take messages, commit and publish receipts."""
        while not self._closing.is_set():
            reason = self._connect()
            if not self._closing.is_set():
                self._log.warning("broker_lost", reason=reason)
                self._closing.wait(self._backoff.next_s())

    def _connect(self) -> str:
        """Run one connection; return why it ended.  A certificate being renewed is an outage like others."""
        arrivals = _Arrivals()
        messages = self.counts.messages
        try:
            connection = MqttConnection(
                _options(self._address, self._client_id),
                on_up=lambda *_: self.connected.set(),
                on_message=arrivals.add,
                forget_session=self._is_session_suspect,
            )
        except (BrokerError, HwConfigError) as error:
            return str(error)
        was_up = connection.open()
        if was_up:
            self._serve(connection, arrivals)
        connection.close()
        self.connected.clear()
        self._is_session_suspect = connection.is_fault
        self.counts.link_faults += connection.is_fault
        # A broker that sends the same invalid packet at each connection must not be reconnected at the highest rate.
        # A handshake alone is no success: two stations with one name would end each other's connection for ever.
        self._brief_in_a_row = self._brief_in_a_row + 1 if was_up and connection.lasted_s < _BRIEF_S else 0
        is_suspicious = self._brief_in_a_row >= _SUSPICIOUS
        was_useful = self.counts.messages > messages or connection.lasted_s >= _STEADY_S
        if was_useful and not (connection.is_fault or connection.is_taken_over or is_suspicious):
            self._backoff.reset()
        if not is_suspicious:
            return connection.reason
        # Brokers need not say why they close a connection, and mosquitto does not.
        return (
            f"{connection.reason}; {self._brief_in_a_row} times in a row, perhaps another station uses this name: "
            "give each its own --name"
        )

    def close(self) -> None:
        """Commit and receipt what was received, disconnect, end the threads."""
        self._closing.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _serve(self, connection: MqttConnection, arrivals: _Arrivals) -> None:
        self.counts.connections += 1
        retained: dict[str, bytes] = {}
        due_s = 0.0
        while not connection.ended.is_set() and not self._closing.is_set():
            self._take(connection, arrivals.next_group(self._group, _POLL_S))
            connection.end_if_silent()
            connection.end_if_stalled()
            if connection.is_up and time.monotonic() >= due_s:
                due_s = time.monotonic() + _OFFERS_S
                self._offer(connection, retained)
        self._take(connection, arrivals.next_group(_WAITING, 0.0))
        self.counts.overrun += arrivals.overrun

    def _offer(self, connection: MqttConnection, retained: dict[str, bytes]) -> None:
        """Publish offers not yet published on this connection; the broker retains them for offline units."""
        try:
            offers = self._ingest.offers()
        except StoreError as error:
            self._reading.failed(str(error))
            return
        self._reading.worked()
        for topic, payload in offers:
            if retained.get(topic) != payload and _send(connection, topic, payload, retain=True):
                retained[topic] = payload
                self.counts.offers_sent += 1

    def _take(self, connection: MqttConnection, group: list[MqttMessage]) -> None:
        if not group:
            return
        for message in group:
            self._ingest.take(message.topic, message.payload)
        failures, commits = self._ingest.counts.storage_failures, self._ingest.counts.commits
        answers = self._ingest.commit()
        if self._ingest.counts.storage_failures > failures:
            self._storage.failed(self._ingest.last_failure, messages=len(group))
        elif self._ingest.counts.commits > commits:
            self._storage.worked()
        self._tell_conflicts()
        self.counts.groups += 1
        self.counts.messages += len(group)
        self._answer(connection, answers, group)

    def _tell_conflicts(self) -> None:
        for unit in sorted(self._ingest.conflicting - self._conflicting):
            self._conflicting.add(unit)
            self._log.error("two_units_with_one_name", unit=unit, command="patrol-lpr station audit")

    def _answer(self, connection: MqttConnection, answers: list[Answer], group: list[MqttMessage]) -> None:
        """Acknowledge the group and publish receipts and nacks.  Never waits."""
        for message in group:
            connection.ack(message)
        sent = sum(_send(connection, topic, payload) for topic, payload in answers)
        self.counts.answers_sent += sent
        self.counts.answers_unsent += len(answers) - sent


class _Arrivals:
    """Messages received on one connection: the network's thread adds, the station's thread takes."""

    def __init__(self) -> None:
        self._messages: queue.Queue[MqttMessage] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._bytes = 0
        self.overrun = 0

    def add(self, message: MqttMessage) -> None:
        """Keep a message; above a limit it is neither kept nor acknowledged."""
        size = len(message.payload)
        with self._lock:
            if self._bytes + size > _WAITING_BYTES:
                self.overrun += 1
                return
            self._bytes += size
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            self.overrun += 1
            self._taken(size)

    def _taken(self, size: int) -> None:
        with self._lock:
            self._bytes -= size

    def next_group(self, limit: int, wait_s: float) -> list[MqttMessage]:
        """Wait for a message, then take all others: the next group collects during a commit."""
        group: list[MqttMessage] = []
        try:
            group.append(self._messages.get(block=wait_s > 0, timeout=wait_s))
            while len(group) < limit:
                group.append(self._messages.get_nowait())
        except queue.Empty:
            pass
        self._taken(sum(len(message.payload) for message in group))
        return group


def _send(connection: MqttConnection, topic: str, payload: bytes, *, retain: bool = False) -> bool:
    """Publish; False if it failed."""
    try:
        connection.publish(topic, payload, retain=retain)
    except LinkDownError:
        return False
    return True


def _options(address: BrokerAddress, client_id: str) -> MqttOptions:
    """Raises BrokerError for another machine without TLS."""
    has_tls = bool(address.ca or address.cert)
    if not has_tls and address.host not in LOOPBACK:
        raise BrokerError(f"{address.host} is another machine: TLS is required, give --ca, --cert and --key")
    prefix = _SHARE if address.five else ""
    shared = tuple(f"{prefix}{pattern(channel)}" for channel in _SHARED)
    return MqttOptions(
        host=address.host,
        port=address.port,
        client_id=client_id,
        is_mqtt5=address.five,
        username=address.username,
        password=address.password,
        tls=TlsFiles(address.ca, address.cert, address.key) if has_tls else None,
        session_expiry_s=_SESSION_S if address.keeps_session else 0,
        keeps_session=address.keeps_session,
        max_in_flight=_WINDOW,
        max_queued=_WAITING,
        receive_maximum=_WINDOW,
        # Retained messages are not sent to shared subscriptions (OASIS MQTT 5.0, section 4.8.2).
        subscriptions=(*shared, pattern(Channel.STATUS)),
        manual_ack=True,
    )

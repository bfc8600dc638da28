"""One connection to an MQTT broker through paho-mqtt, used by the unit's link and the station.

paho keeps unacknowledged messages and sends them again by itself after a reconnect, in an order of its own.  Here the
owner decides what is sent again, so a client lives no longer than its connection, and a connection is used once.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hw.config import CONNECT_TIMEOUT_S, KEEPALIVE_S, MAX_IN_FLIGHT
from hw.mqtt_client import MAX_PACKET_BYTES, WatchedClient, is_protocol_error, topic_of
from hw.ports import HwConfigError, LinkDownError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from hw.ports import Will

_FAILURE = 0x80
_UNSUPPORTED_VERSION = 0x84
_TAKEN_OVER = 0x8E
CLOSED_UNANSWERED = "the server closed it without an answer"
ACK_TIMEOUT_S = 3.0 * KEEPALIVE_S


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificates, all PEM files."""

    ca: Path | None = None
    """Authorities to trust; None: those of the operating system."""
    cert: Path | None = None
    """Our own, if the broker requires one."""
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """Address of the broker, client id and options."""

    host: str
    port: int
    client_id: str
    """Client id: two clients with the same id disconnect each other."""
    is_mqtt5: bool = True
    """Else 3.1.1."""
    username: str | None = None
    password: str | None = None
    tls: TlsFiles | None = None
    """None: without TLS."""
    websocket_path: str | None = None
    """Path of the address, for a connection over WebSockets; None: MQTT over the connection itself."""
    keepalive_s: int = KEEPALIVE_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    """Timeout of the network connection, and again of the broker's answer."""
    first_word_timeout_s: float | None = None
    """Timeout of the first byte of that answer, if shorter."""
    session_expiry_s: int = 0
    """How long the broker keeps the session after a disconnect (MQTT 5)."""
    keeps_session: bool = True
    """Likewise for 3.1.1, which has no expiry."""
    max_in_flight: int = MAX_IN_FLIGHT
    """Maximum number of our messages without acknowledgement."""
    max_queued: int = MAX_IN_FLIGHT
    """Maximum number of our messages queued after those."""
    receive_maximum: int = MAX_IN_FLIGHT
    """Maximum number of unacknowledged messages from the broker (MQTT 5)."""
    ack_timeout_s: float = ACK_TIMEOUT_S
    """How long the broker may acknowledge nothing while messages wait for it."""
    subscriptions: tuple[str, ...] = ()
    """Filters, ``$share/GROUP/...`` among them where several clients share the work (MQTT 5)."""
    manual_ack: bool = False
    """Messages are acknowledged by :meth:`MqttConnection.ack` alone: the broker keeps what is not yet durable here."""
    will: Will | None = None
    """The will, retained; published by the broker if the connection is lost."""
    will_delay_s: int = 0
    """Delay of the will (MQTT 5)."""


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """A message from the broker."""

    topic: str
    payload: bytes
    mid: int
    qos: int


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer with host name verification.  Raises HwConfigError if a file cannot be used."""
    try:
        for path in (files.ca, files.cert, files.key):
            if path is not None:
                path.open("rb").close()  # OpenSSL does not say which file is missing
        context = ssl.create_default_context(cafile=None if files.ca is None else str(files.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.cert is not None:
            context.load_cert_chain(files.cert, files.key)
    except (OSError, ValueError) as error:
        raise HwConfigError(f"certificates cannot be used: {_reason(error)}") from error
    return context


def _reason(error: Exception) -> str:
    filename = getattr(error, "filename", None)
    return str(error) if filename is None else f"{filename}: {getattr(error, 'strerror', error)}"


class MqttConnection:
    """From ``open`` to ``close``, once.

    Callbacks come from the network's thread; what one raises ends the connection as a fault, never the thread unseen.
    ``publish``, ``ack`` and ``end`` may be called from any thread, the rest from the owner's.
    """

    def __init__(
        self,
        options: MqttOptions,
        *,
        on_up: Callable[[int, int | None], None],
        on_message: Callable[[MqttMessage], None],
        on_acked: Callable[[int, ReasonCode], None] | None = None,
        forget_session: bool = False,
    ) -> None:
        """``on_up`` gets the messages that may be in flight and the largest packet the broker takes, in bytes.

        ``on_acked`` gets the message id of each message that has left (QoS 0) or was acknowledged, with the reason.
        ``forget_session`` asks the broker to drop what it holds for us: it may be what broke the last connection.
        Raises HwConfigError when a certificate cannot be used.
        """
        self._options = options
        self._forget_session = forget_session
        self._on_up = on_up
        self._on_message = on_message
        self._on_acked = on_acked
        self._lock = threading.Lock()
        self._up = False
        self._is_leaving = False
        self._settled = threading.Event()
        """Set once it is up, or has ended."""
        self._opened_s = 0.0
        self._max_in_flight = options.max_in_flight
        self._max_packet_bytes: int | None = None
        self.ended = threading.Event()
        """Set permanently when the connection has ended."""
        self.reason = ""
        """Why it ended."""
        self.is_fault = False
        """True when it was given up for what the broker had sent, or for a defect of ours."""
        self.was_up = False
        self.is_taken_over = False
        """True when the broker ended it because another client came with the same id."""
        self.is_hung_up_on = False
        """True when the broker accepted it and said nothing: perhaps because of the MQTT version."""
        self._is_version_refused = False
        self._is_open = False
        self._up_since_s: float | None = None
        self._progress_s = 0.0
        self._client = self._make_client()

    @property
    def is_up(self) -> bool:
        """True while connected and subscribed."""
        return self._up

    def open(self) -> bool:
        """Connect and start the network thread; False, with the reason, if the broker cannot be reached."""
        options = self._options
        asked: dict[str, Any] = {"host": options.host, "port": options.port, "keepalive": options.keepalive_s}
        if options.is_mqtt5:
            asked["clean_start"] = self._forget_session
            asked["properties"] = properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = options.session_expiry_s
            properties.ReceiveMaximum = options.receive_maximum
            properties.MaximumPacketSize = MAX_PACKET_BYTES
        try:
            self._client.connect(**asked)
        except (OSError, ValueError) as error:
            self._lose(f"{options.host}:{options.port}: {error}")
            return False
        self._is_open = True
        self._opened_s = time.monotonic()
        self._client.loop_start()
        return True

    def wait_until_up(self) -> None:
        """Wait until the connection is up or has ended; disconnect from a broker that does not answer."""
        self._settled.wait(max(0.0, self._silent_until_s() - time.monotonic()))
        self._settled.wait(max(0.0, self._silent_until_s() - time.monotonic()))
        self.end_if_silent()

    def _silent_until_s(self) -> float:
        options = self._options
        first_s = options.first_word_timeout_s
        if first_s is None or self._client.has_heard:
            return self._opened_s + options.connect_timeout_s
        return self._opened_s + min(first_s, options.connect_timeout_s)

    def end_if_silent(self) -> None:
        """Disconnect from a broker that accepted the connection and has not answered in time."""
        if not self._settled.is_set() and time.monotonic() >= self._silent_until_s():
            self.is_hung_up_on = not self._client.has_heard
            self._fail(f"the broker has not answered for {time.monotonic() - self._opened_s:.3g} s")

    def end_if_stalled(self) -> None:
        """Disconnect from a broker that has acknowledged nothing for too long; to be called every now and then."""
        now_s = time.monotonic()
        if not self._up or not self._client.unacknowledged:
            self._progress_s = now_s
        elif now_s - self._progress_s >= self._options.ack_timeout_s:
            self._fail(f"the broker has acknowledged nothing for {self._options.ack_timeout_s:g} s")

    @property
    def lasted_s(self) -> float:
        """Seconds since it came up; 0 if it never did."""
        return 0.0 if self._up_since_s is None else time.monotonic() - self._up_since_s

    @property
    def is_version_refused(self) -> bool:
        """True when the broker said that it does not speak MQTT 5."""
        return self._is_version_refused or self._client.is_broker_old

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Send once, without waiting; return the message id.

        Raises LinkDownError if nothing was sent.
        """
        # Disconnected, paho would say no and send it later all the same.
        if not self._up:
            raise LinkDownError("link is down")
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkDownError(f"not sent: {info.rc!s}")
        return info.mid

    def ack(self, message: MqttMessage) -> None:
        """Acknowledge a message; with ``manual_ack``."""
        if message.qos:
            self._client.ack(message.mid, message.qos)

    def end(self) -> None:
        """Disconnect; ``ended`` is set even if the broker no longer answers."""
        self._fail("closed")

    def close(self) -> None:
        """Send pending data, disconnect, and end the network thread."""
        self.end()
        client = self._client
        client.loop_stop()
        # The callbacks tie client and connection in a knot, and the client's sockets with them.
        client.on_socket_open = client.on_connect = client.on_disconnect = None
        client.on_subscribe = client.on_publish = client.on_message = client.on_network_end = None

    def _make_client(self) -> WatchedClient:
        options = self._options
        client = WatchedClient(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if options.is_mqtt5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if options.is_mqtt5 else self._forget_session or not options.keeps_session,
            reconnect_on_failure=False,
            manual_ack=options.manual_ack,
            transport="tcp" if options.websocket_path is None else "websockets",
        )
        if options.websocket_path is not None:
            client.ws_set_options(path=options.websocket_path)
        client.connect_timeout = options.connect_timeout_s
        client.max_inflight_messages_set(options.max_in_flight)
        client.max_queued_messages_set(options.max_queued)
        if options.username is not None:
            client.username_pw_set(options.username, options.password)
        if options.tls is not None:
            client.tls_set_context(tls_context(options.tls))
        if options.will is not None:
            properties = None
            if options.is_mqtt5:
                properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
                properties.WillDelayInterval = options.will_delay_s
            client.will_set(options.will.topic, options.will.payload, qos=1, retain=True, properties=properties)
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_publish = self._published
        client.on_network_end = self._network_ended
        return client

    def _connected(self, client: Client, _: Any, __: Any, code: ReasonCode, properties: Properties | None) -> None:
        self._client.ping_at_least_every(self._options.keepalive_s)
        if code.is_failure:
            self._is_version_refused = code.value == _UNSUPPORTED_VERSION
            self._fail(f"refused by the broker: {code}")
            return
        self._max_in_flight = min(self._max_in_flight, getattr(properties, "ReceiveMaximum", self._max_in_flight))
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        if self._max_in_flight < 1 or self._max_packet_bytes == 0:
            # A protocol error (OASIS MQTT 5.0, 3.2.2.3.3 and 3.2.2.3.6); believed, nothing would ever be sent.
            self._fail("the broker allows no messages: Receive Maximum or Maximum Packet Size is 0", is_fault=True)
        elif self._options.subscriptions:
            client.subscribe([(topic, 1) for topic in self._options.subscriptions])
        else:
            self._come_up()

    def _subscribed(self, _: Client, __: Any, ___: int, codes: list[ReasonCode], ____: Any) -> None:
        refused = [str(code) for code in codes if code.value >= _FAILURE]
        if refused:
            self._fail(f"subscription refused: {', '.join(refused)}")
        else:
            self._come_up()

    def _come_up(self) -> None:
        with self._lock:
            if self.reason:
                return
            self._up = self.was_up = True
            self._up_since_s = self._progress_s = time.monotonic()
        self._settled.set()
        self._on_up(self._max_in_flight, self._max_packet_bytes)

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._on_message(MqttMessage(topic_of(message), bytes(message.payload), message.mid, message.qos))

    def _published(self, _: Client, __: Any, mid: int, code: ReasonCode, ___: Any) -> None:
        self._progress_s = time.monotonic()
        if self._on_acked is not None:
            self._on_acked(mid, code)

    def _disconnected(self, _: Client, __: Any, flags: DisconnectFlags, code: ReasonCode, ____: Any) -> None:
        if flags.is_disconnect_packet_from_server and code.value == _TAKEN_OVER:
            self.is_taken_over = True
            self._lose(f"another client uses this client's id, {self._options.client_id}")
            return
        why = str(code) if flags.is_disconnect_packet_from_server else self._why_lost() or str(code)
        self._lose(f"connection lost: {why}", is_fault=is_protocol_error(flags, code))

    def _why_lost(self) -> str:
        """What paho does not tell: the error of the network, such as a TLS alert, or that there was no answer."""
        error = self._client.network_error
        if self._client.has_heard:
            return error
        return f"{CLOSED_UNANSWERED} ({error})" if error else CLOSED_UNANSWERED

    def _network_ended(self, fault: str | None) -> None:
        """Nothing more is read or written, whether or not paho has said that it is disconnected."""
        self._lose(fault or "connection lost", is_fault=fault is not None)

    def _fail(self, reason: str, *, is_fault: bool = False) -> None:
        """End the connection from our side."""
        self._note(reason, is_fault=is_fault)
        with self._lock:
            is_first, self._is_leaving = not self._is_leaving, True
        if is_first:
            self._client.disconnect()
        self._end()

    def _lose(self, reason: str, *, is_fault: bool = False) -> None:
        """The connection has ended."""
        with self._lock:
            self.is_hung_up_on |= self._is_open and not self._client.has_heard and not self._is_leaving
        self._note(reason, is_fault=is_fault)
        self._end()

    def _note(self, reason: str, *, is_fault: bool) -> None:
        """The first reason counts: what follows is its consequence."""
        with self._lock:
            self._up = False
            if not self.reason:
                self.reason, self.is_fault = reason, is_fault

    def _end(self) -> None:
        self.ended.set()
        self._settled.set()


def is_refusal(code: ReasonCode) -> bool:
    """True if the peer permanently refused the message."""
    return code.value >= _FAILURE


def _send_at_once(_: Client, __: Any, sock: Any) -> None:
    """Nagle's algorithm against delayed acknowledgements costs 40 ms a window (RFC 896, RFC 1122 4.2.3.2)."""
    # Of WebSockets it is the one inside.
    getattr(sock, "_socket", sock).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

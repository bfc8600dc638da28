"""An MQTT broker as a link, through paho-mqtt; a fresh client for every connection.

paho keeps unacknowledged messages and sends them again by itself after a reconnect, in an order of its own.  Here the
outbox decides what is sent again, so a client lives no longer than its connection and its queue is never used:
``publish`` refuses what the window does not hold.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hw.backoff import Backoff
from hw.mqtt_client import WatchedClient, explain, is_protocol_error, topic_of
from hw.ports import Acked, HwConfigError, LinkDown, LinkDownError, LinkUp, Received, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from hw.config import MqttLinkConfig
    from hw.ports import LinkEvent, Will

_LOG = structlog.get_logger(__name__)
_MIN_WAIT_S, _MAX_WAIT_S = 0.5, 60.0
_FAILURE = 0x80
_NO_TOKEN = -1
"""Stands for a message that nobody waits for (QoS 0)."""


class LinkMqtt:
    """A link that connects again and again until it is closed."""

    def __init__(self, config: MqttLinkConfig, *, backoff: Backoff | None = None) -> None:
        """Raises HwConfigError when the password or a certificate cannot be read."""
        self._config = config
        self._backoff = backoff or Backoff(_MIN_WAIT_S, _MAX_WAIT_S)
        self._password = _password(config)
        _tls(config)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._on_event: Callable[[LinkEvent], None] = lambda _: None
        self._subscribe: tuple[str, ...] = ()
        self._will: Will | None = None
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._is_session_suspect = False
        """After a fault: the broker may hold the packet that led to it, and send it again."""

    def start(
        self, on_event: Callable[[LinkEvent], None], *, subscribe: tuple[str, ...], will: Will | None
    ) -> None:
        """As the port says; raises RuntimeError when started twice."""
        if self._thread is not None:
            raise RuntimeError("a link starts once")
        self._on_event = on_event
        self._subscribe = subscribe
        self._will = will
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, qos: int = 1) -> None:
        """As the port says."""
        with self._lock:
            connection = self._connection
        if connection is None:
            raise LinkDownError("link is down")
        connection.publish(topic, payload, token=token, retain=retain, qos=qos)

    def close(self) -> None:
        """As the port says."""
        self._closed.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.end()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._config.connect_timeout_s + 5.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                down = self._connect()
            except Exception as error:  # noqa: BLE001 - a defect here is an outage, counted and told, never the end
                down = LinkDown(explain(error), is_fault=True)
            self._is_session_suspect = down.is_fault
            self._tell(down)
            self._closed.wait(self._backoff.next_s())

    def _tell(self, down: LinkDown) -> None:
        try:
            self._emit(down)
        except Exception as error:  # noqa: BLE001 - whoever listens must not end the thread that connects again
            _LOG.error("link_event_failed", reason=explain(error))

    def _connect(self) -> LinkDown:
        """Live through one connection; return why it ended.

        Certificates are read for each connection: a renewed one is used from the next on, and one that cannot be read
        just now, because somebody is renewing it, is an outage like any other.
        """
        try:
            client = self._client()
        except HwConfigError as error:
            return LinkDown(str(error))
        connection = _Connection(client, self._config.window, self._subscribe, self._emit)
        with self._lock:
            self._connection = connection
        try:
            self._live(connection)
        finally:
            with self._lock:
                self._connection = None
            connection.release()
        # A broker that sends the same nonsense at each connection must not be asked at the highest rate.
        if connection.was_up and not connection.is_fault:
            self._backoff.reset()
        return LinkDown(connection.reason, connection.is_fault)

    def _live(self, connection: _Connection) -> None:
        """Connect and stay until the connection ends; it says why it did."""
        config = self._config
        options: dict[str, Any] = {"host": config.host, "port": config.port, "keepalive": config.keepalive_s}
        if config.protocol == "5":
            options["clean_start"] = self._is_session_suspect
            options["properties"] = properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = config.session_expiry_s
        try:
            connection.client.connect(**options)
        except (OSError, ValueError) as error:
            connection.reason = f"{config.host}:{config.port}: {error}"
            return
        connection.client.loop_start()
        if self._closed.is_set():
            connection.end()
        connection.wait_until_up(config.connect_timeout_s)
        connection.ended.wait()
        connection.client.loop_stop()

    def _client(self) -> WatchedClient:
        config = self._config
        five = config.protocol == "5"
        client = WatchedClient(
            CallbackAPIVersion.VERSION2,
            client_id=config.unit,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if five else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = config.connect_timeout_s
        client.max_inflight_messages_set(config.window)
        client.max_queued_messages_set(config.window)
        if config.username is not None:
            client.username_pw_set(config.username, self._password)
        context = _tls(config)
        if context is not None:
            client.tls_set_context(context)
        if self._will is not None:
            properties = None
            if five:
                properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
                properties.WillDelayInterval = config.will_delay_s
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True, properties=properties)
        return client

    def _emit(self, event: LinkEvent) -> None:
        if not self._closed.is_set():
            self._on_event(event)


class _Connection:
    """One connection and the tokens in flight on it."""

    def __init__(
        self, client: WatchedClient, window: int, subscribe: tuple[str, ...], emit: Callable[[LinkEvent], None]
    ) -> None:
        self.client = client
        self.ended = threading.Event()
        self.reason = "closed"
        self.is_fault = False
        self.was_up = False
        self._settled = threading.Event()
        """Set once it is up, or has ended."""
        self._window = window
        self._max_packet_bytes: int | None = None
        self._subscribe = subscribe
        self._emit = emit
        self._lock = threading.Lock()
        self._up = False
        self._in_flight = 0
        self._tokens: dict[int, int] = {}
        self._early: dict[int, ReasonCode] = {}
        """Acknowledgements that overtook the return of ``publish``."""
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_publish = self._acknowledged
        client.on_message = self._received
        client.on_network_end = self._network_ended

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool, qos: int) -> None:
        with self._lock:
            if not self._up:
                raise LinkDownError("link is down")
            if qos and self._in_flight >= self._window:
                raise LinkDownError(f"window is full: {self._window} messages in flight")
            self._in_flight += qos > 0
        # Outside the lock: paho calls back with a lock of its own held, which publish takes as well.
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        early: ReasonCode | None = None
        with self._lock:
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._in_flight -= qos > 0
                raise LinkDownError(f"not sent: {info.rc!s}")
            early = self._early.pop(info.mid, None)
            if early is None:
                self._tokens[info.mid] = token if qos else _NO_TOKEN
            else:
                self._in_flight -= qos > 0
        if early is not None and qos:
            self._report(token, early)

    def end(self) -> None:
        """Disconnect; ``ended`` is set even when the broker no longer answers."""
        with self._lock:
            self._up = False
        self.client.disconnect()
        self._end()

    def wait_until_up(self, timeout_s: float) -> None:
        """Give up a broker that takes the connection and then does not answer."""
        if not self._settled.wait(timeout_s):
            self._fail(f"the broker has not answered for {timeout_s:g} s")

    def release(self) -> None:
        """Let go of the callbacks: they tie client and connection in a knot, and the client's sockets with them."""
        client = self.client
        client.on_socket_open = client.on_connect = client.on_disconnect = None
        client.on_subscribe = client.on_publish = client.on_message = client.on_network_end = None

    def _connected(self, client: Client, _: Any, __: Any, code: ReasonCode, properties: Properties | None) -> None:
        if code.is_failure:
            self._fail(f"refused by the broker: {code}")
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        if self._window < 1 or self._max_packet_bytes == 0:
            # A protocol error (OASIS MQTT 5.0, 3.2.2.3.3 and 3.2.2.3.6); believed, nothing would ever be sent.
            self._fail("the broker allows no messages: Receive Maximum or Maximum Packet Size is 0", is_fault=True)
            return
        if self._subscribe:
            client.subscribe([(topic, 1) for topic in self._subscribe])
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
            self._up = True
            self.was_up = True
        self._settled.set()
        self._emit(LinkUp(self._window, self._max_packet_bytes))

    def _disconnected(self, _: Client, __: Any, flags: DisconnectFlags, code: ReasonCode, ____: Any) -> None:
        self._lose(f"connection lost: {code}", is_fault=is_protocol_error(flags, code))
        self._end()

    def _network_ended(self, fault: str | None) -> None:
        """Nothing more is read or written, whether or not paho has said that it is disconnected."""
        self._lose(fault or "connection lost", is_fault=fault is not None)
        self._end()

    def _fail(self, reason: str, *, is_fault: bool = False) -> None:
        self._lose(reason, is_fault=is_fault)
        self.client.disconnect()
        self._end()

    def _lose(self, reason: str, *, is_fault: bool) -> None:
        """The first reason counts: what follows is its consequence."""
        with self._lock:
            self._up = False
            self._tokens.clear()
            if self.reason == "closed":
                self.reason, self.is_fault = reason, is_fault

    def _end(self) -> None:
        self.ended.set()
        self._settled.set()

    def _acknowledged(self, _: Client, __: Any, mid: int, code: ReasonCode, ___: Any) -> None:
        with self._lock:
            token = self._tokens.pop(mid, None)
            if token is None:
                self._early[mid] = code
                return
            if token == _NO_TOKEN:
                return
            self._in_flight -= 1
        self._report(token, code)

    def _report(self, token: int, code: ReasonCode) -> None:
        if code.value >= _FAILURE:
            self._emit(Refused(token, code.value, str(code)))
        else:
            self._emit(Acked(token))

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._emit(Received(topic_of(message), bytes(message.payload)))


def _send_at_once(_: Client, __: Any, sock: Any) -> None:
    """Nagle's algorithm against delayed acknowledgements costs 40 ms a window (RFC 896, RFC 1122 4.2.3.2)."""
    # A TLS socket wraps the one that has the option.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls(config: MqttLinkConfig) -> ssl.SSLContext | None:
    """TLS 1.2 or newer, the broker's name checked; None for plain TCP, which the configuration allows at home only."""
    if config.tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=None if config.tls.ca is None else str(config.tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.tls.cert is not None:
            context.load_cert_chain(config.tls.cert, config.tls.key)
    except (OSError, ValueError) as error:
        raise HwConfigError(f"link: certificates cannot be used: {error}") from error
    return context


def _password(config: MqttLinkConfig) -> str | None:
    if config.password_file is None:
        return None
    try:
        return config.password_file.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise HwConfigError(f"link: password file {config.password_file} cannot be used: {error}") from error

"""MQTT link: reconnects, and tracks the messages in flight.

The outbox decides what is sent again: ``publish`` refuses what the window does not hold, and nothing outlives its
connection.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from hw.backoff import Backoff
from hw.mqtt_client import explain
from hw.mqtt_connection import ACK_TIMEOUT_S, MqttConnection, MqttOptions, TlsFiles, is_refusal, tls_context
from hw.ports import Acked, HwConfigError, LinkDown, LinkDownError, LinkUp, Received, Refused
from protocol.written import MAX_SECRET_BYTES, WrittenFileError, read_written

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.reasoncodes import ReasonCode

    from hw.config import MqttLinkConfig
    from hw.mqtt_connection import MqttMessage
    from hw.ports import LinkEvent, Will

_LOG = structlog.get_logger(__name__)
_MIN_WAIT_S, _MAX_WAIT_S = 0.5, 60.0
_WATCH_S = 1.0
_STEADY_S = 60.0
"""A connection that lasted so long was of use, whatever came over it."""
_BRIEF_S = 5.0
"""One that lasted less was of none, even with a receipt: two clients with one id end each other's."""
_SUSPICIOUS = 3
"""Brief connections in a row before the reason names another client with the same id; MQTT 3.1.1 does not say."""
_OLD_BROKER = "MQTT 3.1.1: the broker does not speak MQTT 5, so that it does not say why it refuses a message"
_MUTE_BROKER = "MQTT 3.1.1: the broker said nothing to MQTT 5, and does not say why it refuses a message in 3.1.1"
"""It may be of 3.1.1, or have had no place for another connection just then."""
_FIRST_WORD_S = 5.0
"""Until MQTT 5 has worked once: a broker of 3.1.1 may say nothing at all to it, as amqtt does."""
FALLBACK = "; MQTT 3.1.1 is tried"
"""End of the reason when the next connection is made in the older version."""
_NO_TOKEN = -1
"""Token of a message without acknowledgement (QoS 0)."""


class LinkMqtt:
    """A link that reconnects until it is closed."""

    def __init__(
        self,
        config: MqttLinkConfig,
        *,
        backoff: Backoff | None = None,
        brief_s: float = _BRIEF_S,
        ack_timeout_s: float = ACK_TIMEOUT_S,
    ) -> None:
        """Raises HwConfigError if the password or a certificate cannot be read."""
        self._options = replace(_options(config), ack_timeout_s=ack_timeout_s)
        self._brief_s = brief_s
        self._confirmed = False
        self._brief_in_a_row = 0
        self._has_five_worked = False
        self._mute_in_a_row = 0
        """Connections with MQTT 5 to which the broker said nothing."""
        self._fallback_note = ""
        """The next connection is made with MQTT 3.1.1 though 5 is configured, for this reason; empty: it is not."""
        if self._options.tls is not None:
            tls_context(self._options.tls)
        self._backoff = backoff or Backoff(_MIN_WAIT_S, _MAX_WAIT_S)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._on_event: Callable[[LinkEvent], None] = lambda _: None
        self._lock = threading.Lock()
        self._connection: MqttConnection | None = None
        self._flights = _Flights(0, self._emit)
        """Of the present connection."""
        self._is_session_suspect = False
        """After a fault: the broker may hold the packet that led to it, and send it again."""

    def start(
        self, on_event: Callable[[LinkEvent], None], *, subscribe: tuple[str, ...], will: Will | None
    ) -> None:
        """See the port; raises RuntimeError when started twice."""
        if self._thread is not None:
            raise RuntimeError("a link starts once")
        self._on_event = on_event
        self._options = replace(self._options, subscriptions=subscribe, will=will)
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, qos: int = 1) -> None:
        """See the port."""
        with self._lock:
            connection, flights = self._connection, self._flights
        if connection is None or not connection.is_up:
            raise LinkDownError("link is down")
        flights.reserve(qos)
        # Outside any lock: paho calls back with a lock of its own held, which its publish takes as well.
        try:
            mid = connection.publish(topic, payload, qos=qos, retain=retain)
        except LinkDownError:
            flights.give_back(qos)
            raise
        flights.sent(mid, token, qos)

    def confirm(self) -> None:
        """See the port."""
        self._confirmed = True

    def close(self) -> None:
        """See the port."""
        self._closed.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.end()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._options.connect_timeout_s + 5.0)

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
        """Run one connection; return why it ended.

        Certificates are read for each connection: a renewed one is used from the next on, and one that cannot be read
        just now, because somebody is renewing it, is an outage like any other.
        """
        fallback_note, self._fallback_note = self._fallback_note, ""
        flights = _Flights(self._options.max_in_flight, self._emit, fallback_note)
        self._confirmed = False
        try:
            connection = MqttConnection(
                self._options_for(falls_back=bool(fallback_note)),
                on_up=flights.come_up,
                on_message=self._received,
                on_acked=flights.acked,
                forget_session=self._is_session_suspect,
            )
        except HwConfigError as error:
            return LinkDown(str(error))
        with self._lock:
            self._connection, self._flights = connection, flights
        try:
            if connection.open():
                if self._closed.is_set():
                    connection.end()
                connection.wait_until_up()
                while not connection.ended.wait(_WATCH_S):
                    connection.end_if_stalled()
        finally:
            with self._lock:
                self._connection = None
            connection.close()
        if not fallback_note and self._options.is_mqtt5 and not self._closed.is_set():
            self._fallback_note = self._judge_version(connection)
            if self._fallback_note:
                return LinkDown(connection.reason + FALLBACK)
        return self._judge(connection)

    def _judge_version(self, connection: MqttConnection) -> str:
        """Return why the next connection is made with MQTT 3.1.1; empty if it is not.

        A broker that has spoken MQTT 5 and hangs up is full, or starts: that says nothing of its version until it has
        happened several times in a row.
        """
        self._has_five_worked |= connection.was_up
        self._mute_in_a_row = self._mute_in_a_row + 1 if connection.is_hung_up_on else 0
        if connection.is_version_refused:
            return _OLD_BROKER
        if self._mute_in_a_row < (_SUSPICIOUS if self._has_five_worked else 1):
            return ""
        self._mute_in_a_row = 0
        return _MUTE_BROKER

    def _options_for(self, *, falls_back: bool) -> MqttOptions:
        if falls_back:
            return replace(self._options, is_mqtt5=False)
        if self._has_five_worked or not self._options.is_mqtt5:
            return self._options
        return replace(self._options, first_word_timeout_s=_FIRST_WORD_S)

    def _judge(self, connection: MqttConnection) -> LinkDown:
        """Decide how soon the next connection may come, and why this one ended."""
        lasted_s = connection.lasted_s
        is_brief = lasted_s < self._brief_s
        # A broker that sends the same nonsense at each connection must not be asked at the highest rate.
        is_ended_well = connection.was_up and not connection.is_fault and not connection.is_taken_over
        if is_ended_well and (lasted_s >= _STEADY_S or (self._confirmed and not is_brief)):
            self._backoff.reset()
        self._brief_in_a_row = self._brief_in_a_row + 1 if connection.was_up and is_brief else 0
        reason = connection.reason
        if self._brief_in_a_row >= _SUSPICIOUS and not (connection.is_fault or connection.is_taken_over):
            reason += f"; {self._brief_in_a_row} times in a row, perhaps another client uses this client's id, "
            reason += self._options.client_id
        return LinkDown(reason, connection.is_fault)

    def _received(self, message: MqttMessage) -> None:
        self._emit(Received(message.topic, message.payload))

    def _emit(self, event: LinkEvent) -> None:
        if not self._closed.is_set():
            self._on_event(event)


class _Flights:
    """The messages in flight on one connection, by token.  Any thread may call."""

    def __init__(self, window: int, emit: Callable[[LinkEvent], None], note: str = "") -> None:
        self._window = window
        self._note = note
        self._emit = emit
        self._lock = threading.Lock()
        self._in_flight = 0
        self._tokens: dict[int, int] = {}
        """By message id."""
        self._early: dict[int, ReasonCode] = {}
        """Acknowledgements that overtook the return of ``publish``."""

    def come_up(self, max_in_flight: int, max_packet_bytes: int | None) -> None:
        """The connection is up, with the broker's own limits."""
        self._window = max_in_flight
        self._emit(LinkUp(max_in_flight, max_packet_bytes, self._note))

    def reserve(self, qos: int) -> None:
        """Take a slot in the window; raises LinkDownError if it is full."""
        with self._lock:
            if qos and self._in_flight >= self._window:
                raise LinkDownError(f"window is full: {self._window} messages in flight")
            self._in_flight += qos > 0

    def give_back(self, qos: int) -> None:
        """The message of the slot was not sent."""
        with self._lock:
            self._in_flight -= qos > 0

    def sent(self, mid: int, token: int, qos: int) -> None:
        """The message was sent, or is already acknowledged."""
        with self._lock:
            early = self._early.pop(mid, None)
            if early is None:
                self._tokens[mid] = token if qos else _NO_TOKEN
            else:
                self._in_flight -= qos > 0
        if early is not None and qos:
            self._report(token, early)

    def acked(self, mid: int, code: ReasonCode) -> None:
        """The broker acknowledged or refused a message (QoS 1), or it was sent (QoS 0)."""
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
        if is_refusal(code):
            self._emit(Refused(token, code.value, str(code)))
        else:
            self._emit(Acked(token))


def _options(config: MqttLinkConfig) -> MqttOptions:
    tls = config.tls
    return MqttOptions(
        host=config.host,
        port=config.port,
        client_id=config.unit,
        is_mqtt5=config.protocol == "5",
        username=config.username,
        password=_password(config),
        tls=None if tls is None else TlsFiles(tls.ca, tls.cert, tls.key),
        websocket_path=config.path if config.transport == "websockets" else None,
        keepalive_s=config.keepalive_s,
        connect_timeout_s=config.connect_timeout_s,
        session_expiry_s=config.session_expiry_s,
        keeps_session=False,  # under 3.1.1 the broker would keep it for ever
        max_in_flight=config.window,
        max_queued=config.window,
        will_delay_s=config.will_delay_s,
    )


def _password(config: MqttLinkConfig) -> str | None:
    if config.password_file is None:
        return None
    try:
        return read_written(config.password_file, MAX_SECRET_BYTES).splitlines()[0]
    except (OSError, WrittenFileError, IndexError) as error:
        raise HwConfigError(f"link: password file {config.password_file} cannot be used: {error}") from error

"""The station on a broker: subscribes, commits in groups, acknowledges and receipts only after the commit.

Messages are acknowledged to the broker by hand after the commit (paho's ``manual_ack``), so a station that dies loses
nothing: with MQTT 5 and a shared subscription several stations may serve one broker.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.sync.topics import Channel, pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paho.mqtt.reasoncodes import ReasonCode

    from station.ingest import Ingest

_GROUP = 64
_CHANNELS = (Channel.READ, Channel.PICTURE, Channel.HEALTH, Channel.STATUS)
_SHARE = "station"
_SESSION_S = 86_400
_WINDOW = 1000
_JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to get in."""

    host: str
    port: int = 1883
    five: bool = True
    """MQTT 5; else 3.1.1."""
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class StationService:
    """One connection and the thread that commits."""

    def __init__(
        self, address: BrokerAddress, ingest: Ingest, *, station: str, on_commit: Callable[[], None] | None = None
    ) -> None:
        self._address = address
        self._ingest = ingest
        self._on_commit = on_commit
        self._messages: queue.Queue[MQTTMessage | None] = queue.Queue(_WINDOW * 2)
        self._thread = threading.Thread(target=self._work, name="ingest", daemon=True)
        self._client = self._make_client(station)
        self.connected = threading.Event()
        """Set while connected and subscribed."""
        self.refused = ""
        """Why the broker would not have us, as it said last."""
        self.unsent_answers = 0
        """Receipts that could not be sent; the units ask again."""

    def start(self) -> None:
        """Connect in the background, again and again."""
        address = self._address
        options: dict[str, Any] = {}
        if address.five:
            options["clean_start"] = False
            options["properties"] = properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = _SESSION_S
            properties.ReceiveMaximum = _WINDOW
        self._client.connect_async(address.host, address.port, keepalive=30, **options)
        self._thread.start()
        self._client.loop_start()

    def close(self) -> None:
        """Commit what came, disconnect, end the threads."""
        if self._thread.is_alive():
            self._messages.put(None)
            self._thread.join(_JOIN_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self, station: str) -> Client:
        address = self._address
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"station-{station}",
            protocol=MQTTProtocolVersion.MQTTv5 if address.five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if address.five else False,
            manual_ack=True,
        )
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.ca or address.cert:
            ca, cert, key = (None if p is None else str(p) for p in (address.ca, address.cert, address.key))
            client.tls_set(ca_certs=ca, certfile=cert, keyfile=key)
        client.reconnect_delay_set(1, 30)
        client.max_inflight_messages_set(_WINDOW)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        return client

    def _connected(self, client: Client, _: Any, __: Any, code: ReasonCode, ___: Any) -> None:
        if code.is_failure:
            self.refused = str(code)
            return
        prefix = f"$share/{_SHARE}/" if self._address.five else ""
        client.subscribe([(f"{prefix}{pattern(channel)}", 1) for channel in _CHANNELS])

    def _subscribed(self, _: Client, __: Any, ___: int, codes: list[ReasonCode], ____: Any) -> None:
        refused = [str(code) for code in codes if code.is_failure]
        if refused:
            self.refused = ", ".join(refused)
        else:
            self.connected.set()

    def _disconnected(self, _: Client, __: Any, ___: Any, ____: ReasonCode, _____: Any) -> None:
        self.connected.clear()

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        # Waits while the disk is slow: the broker then holds back what is not acknowledged.
        self._messages.put(message)

    def _work(self) -> None:
        going = True
        while going:
            group = self._next_group()
            going = None not in group
            messages = [message for message in group if message is not None]
            for message in messages:
                self._ingest.take(message.topic, bytes(message.payload))
            answers = self._ingest.commit()
            for message in messages:
                if message.qos:
                    self._client.ack(message.mid, message.qos)
            for topic, payload in answers:
                sent = self._client.publish(topic, payload, qos=1)
                self.unsent_answers += sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS
            if messages and self._on_commit is not None:
                self._on_commit()

    def _next_group(self) -> list[MQTTMessage | None]:
        """Wait for a message; then take what is there, without waiting for more."""
        group = [self._messages.get()]
        while len(group) < _GROUP and group[-1] is not None:
            try:
                group.append(self._messages.get_nowait())
            except queue.Empty:
                break
        return group

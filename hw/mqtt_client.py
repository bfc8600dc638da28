"""paho's client, watched: nothing that a packet contains, or that a callback raises, ends its thread unseen.

Used by the unit's link and by the station.  A client lives no longer than its connection, so all that its owner has to
know is that the connection is over and why; ``on_network_end`` says it in every case.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from hw.ports import HwError
from hw.websocket import open_websocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

MAX_PACKET_BYTES = 128 * 1024
"""Largest packet that is read: twice the largest message of the wire format."""
_PROTOCOL_ERROR = 0x82
_CONNACK, _PUBLISH, _TYPE, _QOS_2 = 0x20, 0x30, 0xF0, 0x04
_FIRST_TYPES = (_CONNACK, 0xE0)
"""CONNACK, or DISCONNECT with a reason."""
_CONNACK_311_BYTES = 2
"""Length of a CONNACK of MQTT 3.1.1; with the properties of MQTT 5 it is longer (OASIS MQTT 5.0, 3.2)."""
MAX_FRAME_BYTES = 2 * MAX_PACKET_BYTES
"""Largest frame of WebSockets; it may hold several packets."""
_MAX_UNSENT = 4096
"""Packets of ours that a broker may leave unread while it sends more."""
_READ_BYTES = 64 * 1024
_MAX_TOLD = 120


class PacketRefusedError(HwError):
    """The broker sent what a client must not have to bear; the connection ends."""


class WatchedClient(Client):
    """A client that says when its network thread has ended, whatever ended it."""

    on_network_end: Callable[[str | None], None] | None = None
    """Called last in the network thread, with what was raised there, or None when nothing was."""
    has_heard = False
    """True once the broker has sent anything."""
    network_error = ""
    """What reading from the network failed with; paho only tells that the connection is lost."""
    is_broker_old = False
    """True when the broker answered in MQTT 3.1.1."""

    @property
    def unacknowledged(self) -> int:
        """Our messages that the broker has not acknowledged."""
        return len(self._out_messages)

    def ping_at_least_every(self, keepalive_s: int) -> None:
        """Hold on to our own keep-alive where the broker asks for none, or a longer one: silence must show.

        The broker's is a maximum; pings may come more often (OASIS MQTT 5.0, 3.1.2.10).
        """
        if not 0 < self._keepalive <= keepalive_s:
            self._keepalive = keepalive_s

    def _sock_recv(self, bufsize: int) -> bytes:
        """As paho's, which asks for the rest of a packet at once and allocates that much, whatever the broker says."""
        if bufsize > MAX_PACKET_BYTES:
            raise PacketRefusedError(f"a packet of {bufsize} bytes; at most {MAX_PACKET_BYTES} are accepted")
        try:
            data: bytes = super()._sock_recv(min(bufsize, _READ_BYTES))
        except BlockingIOError:
            raise
        except OSError as error:
            self.network_error = str(error)
            raise
        if data and not self.has_heard and data[0] & _TYPE not in _FIRST_TYPES:
            self.has_heard = True
            raise PacketRefusedError(f"the answer does not begin as one of MQTT, but with {data[:1]!r}")
        if len(getattr(self._sock, "_readbuffer", b"")) > MAX_FRAME_BYTES:  # paho keeps a frame until its end
            raise PacketRefusedError(f"a frame of more than {MAX_FRAME_BYTES} bytes")
        self.has_heard = self.has_heard or bool(data)
        return data

    def _create_socket(self) -> Any:
        """As paho's, which lets a peer take any time, and send anything, before it agrees to WebSockets."""
        if self._transport != "websockets":
            return super()._create_socket()
        sock = self._create_socket_connection()
        try:
            if self._ssl:
                sock = self._ssl_wrap_socket(sock)
            return open_websocket(
                sock, self._host, self._port, self._websocket_path, is_tls=self._ssl, total_s=self.connect_timeout
            )
        except BaseException:
            sock.close()
            raise

    def _packet_handle(self) -> MQTTErrorCode:
        """As paho's, after a look at what it would answer to, or keep, without a limit."""
        head = self._in_packet["command"]
        if head & _TYPE == _PUBLISH and head & _QOS_2:
            raise PacketRefusedError("a message of QoS 2; only QoS 0 and 1 are subscribed to")
        if len(self._out_packet) > _MAX_UNSENT:
            raise PacketRefusedError("the broker sends and does not read")
        if (
            head & _TYPE == _CONNACK
            and self._protocol == MQTTProtocolVersion.MQTTv5
            and len(self._in_packet["packet"]) == _CONNACK_311_BYTES
        ):
            self.is_broker_old = True
            raise PacketRefusedError("the broker does not speak MQTT 5")
        return super()._packet_handle()

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """As paho's, which its network thread runs; what is raised there ends the connection instead of the thread."""
        fault: str | None = None
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except BaseException as error:  # noqa: BLE001 - paho's parser and our callbacks raise through here, SystemExit too
            # The text alone is kept: the error's traceback would tie client and sockets in a knot.
            fault = explain(error)
            self._hang_up()
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            if self.on_network_end is not None:
                self.on_network_end(fault)

    def loop_stop(self) -> MQTTErrorCode:
        """As paho's, which forgets its thread between looking at it and joining it when that ends just then."""
        try:
            return super().loop_stop()
        except AttributeError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _hang_up(self) -> None:
        """The broker is to know at once, and to announce the will."""
        sock = self.socket()
        if sock is not None:
            with suppress(OSError):
                sock.close()


def topic_of(message: MQTTMessage) -> str:
    """Return the topic; bytes that are no UTF-8 come escaped, so that the topic is nobody's.

    MQTT wants the connection closed (OASIS MQTT 5.0, 1.5.4).  But the broker sends a message that was not acknowledged
    again after each reconnect, so that one such message would keep us off-line for ever.
    """
    try:
        return message.topic
    except UnicodeDecodeError as error:
        return bytes(error.object).decode("utf-8", "backslashreplace")


def is_protocol_error(flags: DisconnectFlags, code: ReasonCode) -> bool:
    """True when paho itself ended the connection because of what the broker had sent."""
    return not flags.is_disconnect_packet_from_server and code.value == _PROTOCOL_ERROR


def explain(error: BaseException) -> str:
    """What was raised and where, short; without values beyond the error's own text."""
    if isinstance(error, PacketRefusedError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}: {error!s:.{_MAX_TOLD}}"

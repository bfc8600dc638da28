"""paho's client, watched: nothing that a packet contains, or that a callback raises, ends its thread unseen.

Used by the unit's link and by the station.  A client lives no longer than its connection, so all that its owner has to
know is that the connection is over and why; ``on_network_end`` says it in every case.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

_PROTOCOL_ERROR = 0x82
_MAX_TOLD = 120


class WatchedClient(Client):
    """A client that says when its network thread has ended, whatever ended it."""

    on_network_end: Callable[[str | None], None] | None = None
    """Called last in the network thread, with what was raised there, or None when nothing was."""

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
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}: {error!s:.{_MAX_TOLD}}"

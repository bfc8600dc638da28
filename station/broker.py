"""A broker inside the station's process (amqtt, MQTT 3.1.1), so that a first try needs nothing else.

For vehicles use a broker of its own with TLS and an ACL; this one has neither and stays on the loopback interface.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from station.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable

_START_S = 15.0
_STOP_S = 5.0


class EmbeddedBroker:
    """Runs in a thread of its own between ``start`` and ``close``."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0 takes a free one.  Raises BrokerError for an address other machines can reach."""
        try:
            loopback = ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
        except OSError as error:
            raise BrokerError(f"{host}: {error}") from error
        if not loopback:
            raise BrokerError(
                f"the embedded broker has no access control and listens on the loopback interface only, not on {host}; "
                "run a broker of its own (mosquitto) and give --broker"
            )
        self.host = host
        self.port = port or _free_port(host)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._broker: Any = None

    def start(self) -> int:
        """Listen; return the port.  Raises BrokerError."""
        try:
            from amqtt.broker import Broker  # noqa: PLC0415 - an extra: a station with a broker of its own needs none
        except ImportError as error:
            raise BrokerError(
                "the embedded broker needs the extra `station`: pip install 'patrol-lpr[station]'; or give --broker"
            ) from error
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        try:
            self._broker = self._call(_make(Broker, config))
            self._call(self._broker.start())
        except Exception as error:
            self.close()
            raise BrokerError(f"the embedded broker cannot listen on {self.host}:{self.port}: {error}") from error
        return self.port

    def close(self) -> None:
        """Disconnect everybody and end the thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        if self._broker is not None:
            self._call(self._broker.shutdown())
            self._broker = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_S)
        self._loop = self._thread = None

    def _run(self) -> None:
        loop = self._loop
        if loop is None:
            return
        asyncio.set_event_loop(loop)
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def _call(self, work: Awaitable[Any]) -> Any:
        if self._loop is None:
            raise BrokerError("the embedded broker is closed")
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result(_START_S)


async def _make(broker: Any, config: dict[str, Any]) -> Any:
    """Build the broker inside its loop, which it asks for."""
    return broker(config)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])

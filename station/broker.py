"""A broker inside the station's process (amqtt, MQTT 3.1.1), so that a first test needs nothing else.

It has neither TLS nor access control, stores nothing on disk and listens only on the loopback interface.  Vehicles need
a separate broker; see docs/station.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from station.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Coroutine

_START_S = 15.0
_STOP_S = 5.0


class EmbeddedBroker:
    """Runs in a thread of its own between ``start`` and ``close``."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0 selects a free one.  Raises BrokerError for an address that other machines can reach."""
        try:
            address = ipaddress.ip_address(socket.gethostbyname(host))
        except OSError as error:
            raise BrokerError(f"{host} is not an address: {error}") from error
        if not address.is_loopback:
            raise BrokerError(
                f"the embedded broker has no access control and listens only on the loopback interface, not on {host}; "
                "run a broker with access control, such as mosquitto, and name it with --broker"
            )
        self.host = host
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._broker: Any = None

    def start(self) -> int:
        """Listen; return the port.  Raises BrokerError."""
        try:
            from amqtt.broker import Broker  # noqa: PLC0415 - an extra: a station with a broker of its own needs none
        except ImportError as error:
            raise BrokerError(
                "the embedded broker needs the extra `station`: in the checkout, pip install -e '.[station]'; "
                "or name a broker with --broker"
            ) from error
        # It logs each lost connection with a traceback, which the station reports itself.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.port = self.port or _free_port(self.host)
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        try:
            self._broker = self._call(_listen(_closing(Broker), self.host, self.port), _START_S)
        except Exception as error:
            self.close()
            raise BrokerError(
                f"the embedded broker cannot listen on {self.host}:{self.port}: {error}; choose another --port"
            ) from error
        return self.port

    def close(self) -> None:
        """Disconnect all clients and end the thread; a second call does nothing."""
        if self._thread is None:
            return
        if self._broker is not None:
            # A client that does not respond must not prevent the station from ending.
            with suppress(TimeoutError):
                self._call(self._broker.shutdown(), _STOP_S)
            self._broker = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._thread = None

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        loop.run_forever()
        # A connection accepted in the last moment gets to where its cancellation closes it.
        loop.run_until_complete(asyncio.sleep(0))
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _call(self, work: Coroutine[Any, Any, Any], limit_s: float) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit_s)


def _closing(broker_class: Any) -> Any:
    """The broker class, closing each connection at the end of its task: of itself it leaves some open."""

    class ClosingBroker(broker_class):  # type: ignore[misc]
        async def stream_connected(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
        ) -> None:
            try:
                await super().stream_connected(reader, writer, listener_name)
            except asyncio.CancelledError:
                # What a client has not taken by now must not keep its socket open.
                writer.transport.abort()
                raise
            finally:
                writer.close()

    return ClosingBroker


async def _listen(broker_class: Any, host: str, port: int) -> Any:
    """Create the broker inside its event loop, as it requires."""
    broker = broker_class(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    return broker


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])

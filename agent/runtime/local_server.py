"""Serves the clients of a UNIX socket in one thread; none of them can block the agent, or the others.

Each client has a bounded queue: one that does not read is disconnected.  Connections and data are accepted at a bounded
rate, so that a hostile client takes a bounded share of the processor.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from agent.runtime.local_client import LocalClient
from agent.runtime.local_socket import LocalSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.runtime.supervisor import WorkerContext
    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)
_ROUND_S = 1.0
_RETRY_NS = 10 * 1_000_000_000
_WINDOW_NS = 1_000_000_000
_BELL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits of the clients of one socket."""

    max_clients: int = 8
    max_waiting_bytes: int = 256 * 1024
    """Queue of one client; the kernel buffers about as much again."""
    max_accepts_per_s: int = 64
    """Connections accepted per second; others wait in the kernel."""


@dataclass(slots=True)
class ClientCounts:
    """Since the start of the process."""

    accepted: int = 0
    """Clients that connected."""
    refused: int = 0
    """Clients refused because there were too many."""
    dropped: int = 0
    """Clients that were disconnected because they did not read."""
    failures: int = 0
    """Times that the socket could not be created, or accepted no more clients."""


class LocalServer:
    """The thread, its clients and their queues.  Subclasses say what is sent and accepted."""

    name = "socket"
    """Part of log events."""

    def __init__(self, path: Path, clock: Clock, limits: ClientLimits) -> None:
        """Creates no socket; the thread does."""
        self._path = path
        self._clock = clock
        self._client_limits = limits
        self._lock = threading.Lock()
        self._client_counts = ClientCounts()
        self._clients: list[LocalClient] = []
        self._selector = selectors.DefaultSelector()
        self._bell: socket.socket | None = None
        """Written to in order to wake the thread; set while it runs."""
        self._socket: LocalSocket | None = None
        self._retry_ns = 0
        self._window_ns = 0
        self._accepts_left = limits.max_accepts_per_s
        self._listening = False

    def connected(self, client: LocalClient) -> None:
        """Greet a client; does nothing unless overridden."""

    def received(self, client: LocalClient, data: bytes) -> bool:
        """Take data of a client; False disconnects it, which is the default."""
        _ = (client, data)
        return False

    def gone(self, client: LocalClient) -> None:
        """Forget a client; does nothing unless overridden."""

    def tend(self) -> None:
        """Do what is due, in each round before new clients are accepted; does nothing unless overridden."""

    def renew(self) -> None:
        """Begin a new second of the rates; does nothing unless overridden."""

    def wants_data(self, client: LocalClient) -> bool:
        """Return False while data of a client is left in the kernel; True unless overridden."""
        _ = client
        return True

    @property
    def client_counts(self) -> ClientCounts:
        """A snapshot."""
        return replace(self._client_counts)

    @property
    def connected_now(self) -> tuple[LocalClient, ...]:
        """The clients; the server's thread."""
        return tuple(self._clients)

    @property
    def clients(self) -> int:
        """Clients connected now."""
        return len(self._clients)

    def wake(self) -> None:
        """Wake the thread; any thread."""
        with self._lock:
            if self._bell is None:
                return
            with suppress(BlockingIOError):  # the socket is full: the thread wakes anyway
                self._bell.send(b"\0")

    def run(self, worker: WorkerContext) -> None:
        """Serve until asked to end; the thread's loop."""
        heard, bell = socket.socketpair()
        with heard, bell, self._selector:
            heard.setblocking(False)
            bell.setblocking(False)
            self._selector.register(heard, selectors.EVENT_READ, lambda _: None)
            with self._lock:
                self._bell = bell
            try:
                while not worker.stopping:
                    worker.beat()
                    self._listen()
                    self._serve(_ROUND_S, heard)
                self._serve(0, heard)
            finally:
                self._close()

    def offer(self, client: LocalClient, line: bytes) -> None:
        """Send or queue a line; a client whose queue is full is disconnected."""
        if client.offer(line):
            self._await(client)
        else:
            self._drop(client)

    def is_connected(self, client: LocalClient) -> bool:
        """Return False once a client is disconnected."""
        return client in self._clients

    def _listen(self) -> None:
        """Open the socket; retried after a while if it fails: the agent works without it."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._window_ns >= _WINDOW_NS:
            self._window_ns = now_ns
            self._accepts_left = self._client_limits.max_accepts_per_s
            self.renew()
            for client in tuple(self._clients):
                self._await(client)
        if self._socket is None and now_ns >= self._retry_ns:
            try:
                self._socket = LocalSocket(self._path)
            except OSError as error:
                self._give_up(error)
        if self._socket is not None and self._accepts_left and not self._listening:
            self._selector.register(self._socket.listener, selectors.EVENT_READ, self._accept)
            self._listening = True

    def _give_up(self, error: OSError) -> None:
        self._close_socket()
        self._retry_ns = self._clock.mono_ns() + _RETRY_NS
        self._client_counts.failures += 1
        _LOG.error(f"{self.name}_unavailable", path=str(self._path), reason=str(error))

    def _serve(self, timeout_s: float, heard: socket.socket) -> None:
        """One round: what is due first, so that a new client's greeting includes it."""
        ready = self._selector.select(timeout_s)
        # The wake-up is read before the events: an event posted in between wakes the thread again.
        with suppress(BlockingIOError):
            heard.recv(_BELL_BYTES)
        self.tend()
        for key, mask in ready:
            act: Callable[[int], None] = key.data
            act(mask)

    def _accept(self, _: int) -> None:
        try:
            connection = None if self._socket is None else self._socket.accept()
        except OSError as error:
            # For example out of descriptors: an immediate retry would fail endlessly.
            self._give_up(error)
            return
        if connection is None:
            return
        self._accepts_left -= 1
        if not self._accepts_left:
            self._stop_listening()
        if len(self._clients) >= self._client_limits.max_clients:
            self._client_counts.refused += 1
            connection.close()
            return
        client = LocalClient(connection, max_waiting_bytes=self._client_limits.max_waiting_bytes)
        self._client_counts.accepted += 1
        self._clients.append(client)
        self._await(client)
        self.connected(client)

    def _actor(self, client: LocalClient) -> Callable[[int], None]:
        def act(mask: int) -> None:
            if client not in self._clients:
                return  # dropped earlier in this round
            there = self._take(client) if mask & selectors.EVENT_READ else True
            if client in self._clients and there and mask & selectors.EVENT_WRITE:
                there = client.send()
            if client not in self._clients:
                return
            if there:
                self._await(client)
            else:
                self._forget(client)

        return act

    def _take(self, client: LocalClient) -> bool:
        """Take what a client sent; False if it is gone, or to be disconnected."""
        data = client.receive()
        return data is not None and (not data or self.received(client, data))

    def _await(self, client: LocalClient) -> None:
        reading = selectors.EVENT_READ if self.wants_data(client) else 0
        events = reading | (selectors.EVENT_WRITE if client.has_waiting else 0)
        self._watch(client, events)

    def _watch(self, client: LocalClient, events: int) -> None:
        """Have the client watched for these events; for none at all it is not watched."""
        key = self._selector.get_map().get(client.connection)
        if key is None:
            if events:
                self._selector.register(client.connection, events, self._actor(client))
        elif not events:
            self._selector.unregister(client.connection)
        elif key.events != events:
            self._selector.modify(client.connection, events, key.data)

    def _drop(self, client: LocalClient) -> None:
        """Disconnect a client that does not read, or is gone."""
        if client.receive() is not None:
            self._client_counts.dropped += 1
            _LOG.warning(f"{self.name}_client_dropped", clients=len(self._clients) - 1)
        self._forget(client)

    def _forget(self, client: LocalClient) -> None:
        self._clients.remove(client)
        self._watch(client, 0)
        client.close()
        self.gone(client)

    def _close(self) -> None:
        with self._lock:
            self._bell = None
        for client in tuple(self._clients):
            self._forget(client)
        self._close_socket()

    def _stop_listening(self) -> None:
        if self._listening and self._socket is not None:
            self._selector.unregister(self._socket.listener)
        self._listening = False

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._stop_listening()
            self._socket.close()
            self._socket = None

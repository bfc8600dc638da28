"""The feed's thread: takes the agent's events, maintains the snapshot, serves the clients without blocking.

It never blocks the agent: ``post`` returns at once, clients' queues are bounded, and a client that does not read is
disconnected; it may reconnect and gets a new snapshot.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from agent.runtime.feed_client import FeedClient
from agent.runtime.feed_documents import encode_line
from agent.runtime.feed_socket import FeedSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.runtime.feed_documents import Document, Json
    from agent.runtime.supervisor import WorkerContext
    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)
_ROUND_S = 1.0
_RETRY_NS = 10 * 1_000_000_000
_BELL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Limits of the feed."""

    max_clients: int = 8
    max_waiting_bytes: int = 256 * 1024
    """Queue of one client; the kernel buffers about as much again."""
    max_posts: int = 1024
    """Maximum number of events posted and not yet taken by the feed's thread."""
    latest_reads: int = 50
    """Number of reads in the snapshot."""


@dataclass(slots=True)
class FeedCounts:
    """Since the start of the process."""

    events: int = 0
    """Events posted."""
    events_lost: int = 0
    """Events lost because the feed's thread was too slow; the numbers of the events show the gap."""
    accepted: int = 0
    """Clients that connected."""
    refused: int = 0
    """Clients refused because there were too many."""
    dropped: int = 0
    """Clients that were disconnected because they did not read."""
    failures: int = 0
    """Times that the socket could not be created, or accepted no more clients."""


class FeedServer:
    """Snapshot and events for local clients."""

    def __init__(self, path: Path, clock: Clock, limits: FeedLimits | None = None) -> None:
        """Creates no socket; the thread does."""
        self._path = path
        self._clock = clock
        self._limits = limits or FeedLimits()
        self._lock = threading.Lock()
        self._posts: deque[tuple[int, Document]] = deque()
        self._number = 0
        self._taken = 0
        self._status: Document = {}
        self._reads: deque[Json] = deque(maxlen=self._limits.latest_reads)
        self._counts = FeedCounts()
        self._clients: list[FeedClient] = []
        self._selector = selectors.DefaultSelector()
        self._bell: socket.socket | None = None
        """Written to in order to wake the thread; set while it runs."""
        self._socket: FeedSocket | None = None
        self._retry_ns = 0

    @property
    def counts(self) -> FeedCounts:
        """A snapshot."""
        return replace(self._counts)

    @property
    def clients(self) -> int:
        """Clients connected now."""
        return len(self._clients)

    def set_status(self, status: Document) -> None:
        """Replace the state in the snapshot; any thread; the document must not be changed afterwards."""
        self._status = status

    def post(self, event: str, body: Document) -> None:
        """Send an event to all clients; returns at once.  Any thread."""
        with self._lock:
            self._number += 1
            self._counts.events += 1
            if len(self._posts) >= self._limits.max_posts:
                self._counts.events_lost += 1
            else:
                self._posts.append((self._number, {"event": event, "n": self._number, **body}))
        self.wake()

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

    def _listen(self) -> None:
        """Open the socket; retried after a while if it fails: the agent works without its feed."""
        if self._socket is not None or self._clock.mono_ns() < self._retry_ns:
            return
        try:
            self._socket = FeedSocket(self._path)
        except OSError as error:
            self._give_up(error)
            return
        self._selector.register(self._socket.listener, selectors.EVENT_READ, self._accept)

    def _give_up(self, error: OSError) -> None:
        self._close_socket()
        self._retry_ns = self._clock.mono_ns() + _RETRY_NS
        self._counts.failures += 1
        _LOG.error("feed_unavailable", path=str(self._path), reason=str(error))

    def _serve(self, timeout_s: float, heard: socket.socket) -> None:
        """One round: posted events first, so that a new client's snapshot includes them."""
        ready = self._selector.select(timeout_s)
        # The wake-up is read before the events: an event posted in between wakes the thread again.
        with suppress(BlockingIOError):
            heard.recv(_BELL_BYTES)
        self._take_posts()
        for key, mask in ready:
            act: Callable[[int], None] = key.data
            act(mask)

    def _take_posts(self) -> None:
        with self._lock:
            posts, self._posts = self._posts, deque()
        for self._taken, post in posts:
            if post["event"] == "read":
                self._reads.append(post["read"])
            line = encode_line(post)
            for client in tuple(self._clients):
                self._offer(client, line)

    def _offer(self, client: FeedClient, line: bytes) -> None:
        if client.offer(line):
            self._await(client)
        else:
            self._drop(client)

    def _accept(self, _: int) -> None:
        try:
            connection = None if self._socket is None else self._socket.accept()
        except OSError as error:
            # For example out of descriptors: an immediate retry would fail endlessly.
            self._give_up(error)
            return
        if connection is None:
            return
        if len(self._clients) >= self._limits.max_clients:
            self._counts.refused += 1
            connection.close()
            return
        client = FeedClient(connection, max_waiting_bytes=self._limits.max_waiting_bytes)
        self._counts.accepted += 1
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, self._actor(client))
        snapshot: Document = {"event": "snapshot", "n": self._taken, **self._status, "reads": list(self._reads)}
        self._offer(client, encode_line(snapshot))

    def _actor(self, client: FeedClient) -> Callable[[int], None]:
        def act(mask: int) -> None:
            if client not in self._clients:
                return  # dropped earlier in this round
            there = client.is_there() if mask & selectors.EVENT_READ else True
            if there and mask & selectors.EVENT_WRITE:
                there = client.send()
            if there:
                self._await(client)
            else:
                self._forget(client)

        return act

    def _await(self, client: FeedClient) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.has_waiting else 0)
        key = self._selector.get_key(client.connection)
        if key.events != events:
            self._selector.modify(client.connection, events, key.data)

    def _drop(self, client: FeedClient) -> None:
        """Disconnect a client that does not read, or is gone."""
        if client.is_there():
            self._counts.dropped += 1
            _LOG.warning("feed_client_dropped", clients=len(self._clients) - 1)
        self._forget(client)

    def _forget(self, client: FeedClient) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.close()

    def _close(self) -> None:
        with self._lock:
            self._bell = None
        for client in tuple(self._clients):
            self._forget(client)
        self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket.listener)
            self._socket.close()
            self._socket = None

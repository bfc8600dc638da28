"""The feed's thread: takes the agent's events, maintains the snapshot, sends both to the clients.

It never blocks the agent: ``post`` returns at once, and a client that does not read is disconnected; it may reconnect
and gets a new snapshot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent.hits.records import OPEN
from agent.runtime.feed_documents import encode_line
from agent.runtime.local_server import ClientCounts, ClientLimits, LocalServer

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.feed_documents import Document, Json
    from agent.runtime.local_client import LocalClient
    from hw.ports import Clock


_OPEN = frozenset(state.value for state in OPEN)


@dataclass(frozen=True, slots=True)
class FeedLimits(ClientLimits):
    """Limits of the feed."""

    max_posts: int = 1024
    """Maximum number of events posted and not yet taken by the feed's thread."""
    latest_reads: int = 50
    """Number of reads in the snapshot."""


@dataclass(slots=True)
class FeedCounts(ClientCounts):
    """Since the start of the process."""

    events: int = 0
    """Events posted."""
    events_lost: int = 0
    """Events lost because the feed's thread was too slow; the numbers of the events show the gap."""


class FeedServer(LocalServer):
    """Snapshot and events for local clients, which are disconnected if they send anything."""

    name = "feed"

    def __init__(self, path: Path, clock: Clock, limits: FeedLimits | None = None) -> None:
        """Creates no socket; the thread does."""
        self._limits = limits or FeedLimits()
        super().__init__(path, clock, self._limits)
        self._posts: deque[tuple[int, Document, int | None]] = deque()
        self._number = 0
        self._lost = 0
        self._taken = 0
        self._status: Document = {}
        self._reads: deque[tuple[int | None, Json]] = deque(maxlen=self._limits.latest_reads)
        """Each with the instant from which on nobody may see it."""
        self._hits: dict[str, Json] = {}
        """Open hits by id, in the order in which they were raised; the thread's."""

    @property
    def counts(self) -> FeedCounts:
        """A snapshot."""
        return FeedCounts(**asdict(self.client_counts), events=self._number, events_lost=self._lost)

    def set_status(self, status: Document) -> None:
        """Replace the state in the snapshot; any thread; the document must not be changed afterwards."""
        self._status = status

    def post(self, event: str, body: Document, *, ends_mono_ns: int | None = None) -> None:
        """Send an event to all clients; returns at once.  Any thread.

        From ``ends_mono_ns`` on a read is in no snapshot.
        """
        with self._lock:
            self._number += 1
            if len(self._posts) >= self._limits.max_posts:
                self._lost += 1
            else:
                self._posts.append((self._number, {"event": event, "n": self._number, **body}, ends_mono_ns))
        self.wake()

    def tend(self) -> None:
        """Send what was posted."""
        with self._lock:
            posts, self._posts = self._posts, deque()
        for self._taken, post, ends_mono_ns in posts:
            if post["event"] == "read":
                self._reads.append((ends_mono_ns, post["read"]))
            elif post["event"] == "hit":
                self._keep(post["hit"])
            line = encode_line(post)
            for client in self.connected_now:
                self.offer(client, line)
        self._forget_reads()

    def _forget_reads(self) -> None:
        """Forget reads whose period is over."""
        now_ns = self._clock.mono_ns()
        if any(end is not None and end <= now_ns for end, _ in self._reads):
            kept = [(end, read) for end, read in self._reads if end is None or end > now_ns]
            self._reads.clear()
            self._reads.extend(kept)

    def connected(self, client: LocalClient) -> None:
        """Send the snapshot."""
        self._forget_reads()
        snapshot: Document = {
            "event": "snapshot",
            "n": self._taken,
            **self._status,
            "reads": [read for _, read in self._reads],
            "hits": list(self._hits.values()),
        }
        self.offer(client, encode_line(snapshot))

    def _keep(self, hit: Json) -> None:
        """Keep a hit in the snapshot while it waits for a decision."""
        if not isinstance(hit, dict):
            return
        if hit["state"] in _OPEN:
            self._hits[str(hit["hit_id"])] = hit
        else:
            self._hits.pop(str(hit["hit_id"]), None)

"""The read-only feed of the agent's state and events, for views outside the process.  Off if no path is configured."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.runtime.component import Component
from agent.runtime.feed_documents import read_document, stamp
from agent.runtime.feed_server import FeedCounts, FeedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.commit import CommitResult
    from agent.hits.records import Hit
    from agent.runtime.component import Tick
    from agent.runtime.config import FeedTable
    from agent.runtime.feed_state import AgentState
    from agent.runtime.supervisor import Supervisor
    from hw.ports import Clock

_NS_PER_S = 1_000_000_000
_DEADLINE_S = 10.0
_STOP_S = 5.0


def build_feed_server(
    config: FeedTable, clock: Clock, environment: Mapping[str, str] | None = None
) -> FeedServer | None:
    """Create the server; None if the feed is off.

    ``auto`` is ``feed.sock`` in the runtime directory of the systemd service, and off without one.
    """
    if isinstance(config.path, Path):
        return FeedServer(config.path, clock)
    # systemd separates several directories by colons; the first is ours.
    folder = (os.environ if environment is None else environment).get("RUNTIME_DIRECTORY", "").split(":")[0]
    if config.path == "off" or not folder:
        return None
    return FeedServer(Path(folder, "feed.sock"), clock)


class Feed(Component):
    """Polls the other components and posts changes.  The server's thread does the rest."""

    name = "feed"

    def __init__(self, server: FeedServer | None, agent: AgentState, supervisor: Supervisor, clock: Clock) -> None:
        """``server`` is None if the feed is off."""
        self._server = server
        self._agent = agent
        self._supervisor = supervisor
        self._clock = clock
        self._about = agent.about()
        self._lamp = agent.lamp
        self._has_fix = False
        self._beat_due_ns = 0

    def start(self) -> None:
        """Start the thread."""
        if self._server is not None:
            self._server.set_status({**self._about, **self._agent.present(self._clock.mono_ns())})
            self._supervisor.spawn(self.name, self._server.run, deadline_s=_DEADLINE_S)

    def watch(self, tick: Tick) -> None:
        """Post what has changed, and a heartbeat every second."""
        if self._server is None:
            return
        now_ns = tick.t_mono_ns
        present = self._agent.present(now_ns)
        self._server.set_status({**self._about, **present})
        if self._agent.lamp is not self._lamp:
            self._lamp = self._agent.lamp
            self._server.post("lamp", {**stamp(now_ns), "lamp": self._lamp.value})
        if (found := self._agent.has_fix(now_ns)) is not self._has_fix:
            self._has_fix = found
            self._server.post("fix", {**stamp(now_ns), "found": found})
        if now_ns >= self._beat_due_ns:
            # Kept to its schedule, so that rounds of half a second give one heartbeat per second.
            self._beat_due_ns = max(self._beat_due_ns + _NS_PER_S, now_ns + _NS_PER_S // 2)
            self._server.post("heartbeat", {**present, "late": list(tick.late)})

    def quiesce(self) -> None:
        """Post that the agent is stopping; reads committed after this are still posted."""
        if self._server is not None:
            self._server.post("stopping", stamp(self._clock.mono_ns()))

    def stop(self) -> None:
        """Disconnect all clients, end the thread, remove the socket.  Raises ThreadStuckError."""
        if self._server is not None:
            self._supervisor.ask_to_stop(self.name)
            self._server.wake()
            self._supervisor.stop(self.name, timeout_s=_STOP_S)

    def on_commit(self, result: CommitResult) -> None:
        """Post committed reads; commit thread."""
        if self._server is None:
            return
        for read, seq in zip(result.reads, result.seqs, strict=True):
            document = {**stamp(self._clock.mono_ns()), "read": read_document(read, seq)}
            self._server.post("read", document, ends_mono_ns=read.ends_mono_ns)

    def on_hit(self, hit: Hit) -> None:
        """Post a changed hit; any thread."""
        if self._server is not None:
            now_ns = self._clock.mono_ns()
            self._server.post("hit", {**stamp(now_ns), "hit": self._agent.hit_document(hit, now_ns)})

    def on_link(self, up: bool, reason: str) -> None:
        """Post a change of the link; uplink thread."""
        if self._server is not None:
            self._server.post("link", {**stamp(self._clock.mono_ns()), "up": up, "reason": reason})

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`; zeros if the feed is off."""
        counts = FeedCounts() if self._server is None else self._server.counts
        return {f"feed.{name}": value for name, value in asdict(counts).items()}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {"feed.clients": 0 if self._server is None else self._server.clients}

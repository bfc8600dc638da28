"""The two queues between threads: towards the outbox, and towards the link.

Frames are dropped by the camera when recognition is late; tracks, sentences and receipts are never dropped: their queue
is bounded and makes the sender wait.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.buffer import Command
    from agent.records import Track
    from agent.runtime.supervisor import WorkerContext
    from hw.ports import LinkEvent, NmeaLine

_ROUND_S = 0.1
_DRAIN_MAX = 512


class ReadQueue:
    """The commit thread's queue: bounded, so a slow disk slows the camera's thread and never loses a track."""

    def __init__(self, limit: int = 256) -> None:
        self._queue: queue.Queue[NmeaLine | Track | Command] = queue.Queue(limit)
        self._lock = threading.Lock()
        self._waits = 0

    def put(self, message: NmeaLine | Track | Command, worker: WorkerContext) -> None:
        """Hand over; waits while the queue is full, still beating.  Any thread."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            with self._lock:
                self._waits += 1
        else:
            return
        while True:
            try:
                self._queue.put(message, timeout=_ROUND_S)
            except queue.Full:
                worker.beat()
            else:
                return

    def answer(self, command: Command) -> None:
        """Hand over what the station said; the uplink's thread, whose deadline covers the wait."""
        self._queue.put(command)

    def take(self) -> list[NmeaLine | Track | Command]:
        """Wait a moment for a message; return all there are."""
        try:
            messages = [self._queue.get(timeout=_ROUND_S)]
        except queue.Empty:
            return []
        while len(messages) < _DRAIN_MAX:
            try:
                messages.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return messages

    def done(self, count: int) -> None:
        """Say that messages that were taken are dealt with: committed, or waiting where the commit thread can tell."""
        for _ in range(count):
            self._queue.task_done()

    @property
    def empty(self) -> bool:
        """True when nothing waits."""
        return self._queue.empty()

    @property
    def all_done(self) -> bool:
        """True when nothing waits and all that was taken is dealt with; any thread."""
        return self._queue.unfinished_tasks == 0

    @property
    def waits(self) -> int:
        """Times that a message had to wait for the commit thread."""
        return self._waits


class UplinkQueue:
    """The uplink thread's queue: events of the link, payloads to send, and plain wake-ups.

    Unbounded, because the window bounds what the link can say and the rest comes once a minute.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[LinkEvent | tuple[str, bytes] | None] = queue.SimpleQueue()

    def event(self, event: LinkEvent) -> None:
        """Hand in an event of the link; any thread."""
        self._queue.put(event)

    def health(self, payload: bytes) -> None:
        """Hand in a health message; any thread."""
        self._queue.put(("health", payload))

    def status(self, payload: bytes) -> None:
        """Hand in a status message; any thread."""
        self._queue.put(("status", payload))

    def report(self, payload: bytes) -> None:
        """Hand in a report on updates; any thread."""
        self._queue.put(("report", payload))

    def wake(self) -> None:
        """Something new waits; any thread."""
        self._queue.put(None)

    def take(self) -> list[LinkEvent | tuple[str, bytes]]:
        """Wait a moment; return all that came."""
        came = []
        try:
            came.append(self._queue.get(timeout=_ROUND_S))
            while True:
                came.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return [item for item in came if item is not None]

"""The queues between threads: to the hit thread, to the commit thread and to the uplink.

Frames are dropped by the camera when recognition is too slow; tracks, sentences and receipts are never dropped: their
queue is bounded, and blocks the cameras and the receiver.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from agent.buffer import Command, Receipted
from agent.records import Track
from hw.ports import NmeaLine, Received

if TYPE_CHECKING:
    from agent.audit import AuditDraft
    from agent.commit import LateRecord
    from agent.runtime.supervisor import WorkerContext
    from hw.ports import LinkEvent

_Item = TypeVar("_Item")
_ROUND_S = 0.1
_DRAIN_MAX = 512
_UPLINK_MAX = 64


Message = NmeaLine | Track | Command
"""What goes to the commit thread, besides records and entries of the audit log."""


class WorkQueue(Generic[_Item]):
    """A bounded queue of one thread: it blocks its senders and never loses an item."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._items: deque[tuple[int, _Item]] = deque()
        """Each with its weight; 0 for those that are bounded by ``limit``, the others are bounded by their sender."""
        self._unbounded = 0
        self._weight = 0
        self._unfinished = 0
        self._waits = 0

    def put(self, message: _Item, worker: WorkerContext) -> None:
        """Put a message; waits while the queue is full, with heartbeats.  Any thread."""
        with self._changed:
            if not self._has_room():
                self._waits += 1
                while not self._changed.wait_for(self._has_room, _ROUND_S):
                    worker.beat()
            self._append(message, 0)

    def _has_room(self) -> bool:
        return len(self._items) - self._unbounded < self._limit

    def _append(self, message: _Item, weight: int) -> None:
        self._items.append((weight, message))
        self._unbounded += weight > 0
        self._weight += weight
        self._unfinished += 1
        self._changed.notify_all()

    def take(self) -> list[_Item]:
        """Wait briefly for a message; return all messages, up to a limit."""
        with self._changed:
            self._changed.wait_for(lambda: not self.empty, _ROUND_S)
            taken = [self._items.popleft() for _ in range(min(len(self._items), _DRAIN_MAX))]
            self._unbounded -= sum(weight > 0 for weight, _ in taken)
            self._weight -= sum(weight for weight, _ in taken)
            self._changed.notify_all()
        return [message for _, message in taken]

    def done(self, count: int) -> None:
        """Say that messages that were taken are dealt with, or waiting where their thread can tell."""
        with self._changed:
            self._unfinished -= count

    @property
    def empty(self) -> bool:
        """True when nothing waits."""
        return not self._items

    @property
    def all_done(self) -> bool:
        """True when nothing waits and all that was taken is dealt with; any thread."""
        return self._unfinished == 0

    @property
    def waits(self) -> int:
        """Number of messages that had to wait for the thread."""
        return self._waits


class ReadQueue(WorkQueue[Message]):
    """The commit thread's queue: bounded, so a slow disk slows the camera's thread and never loses a track.

    Commands of the uplink never wait: they are bounded by the uplink, which takes no answers of the station while
    ``takes_commands`` is false.
    """

    def __init__(self, limit: int = 256, *, max_named: int = 16_384) -> None:
        """``max_named`` records and pictures in waiting commands: a receipt names up to 256 of them."""
        super().__init__(limit)
        self._max_named = max_named
        self._records: deque[LateRecord] = deque()
        self._drafts: deque[AuditDraft] = deque()

    def add_command(self, command: Command) -> None:
        """Put a receipt or nack without waiting; the uplink's thread."""
        with self._changed:
            self._append(command, len(command.records) if isinstance(command, Receipted) else 1)

    @property
    def takes_commands(self) -> bool:
        """False while so many commands wait that the uplink is to take no more answers."""
        return self._weight < self._max_named

    def add_record(self, record: LateRecord) -> None:
        """Put a record other than a read; any thread, never waits: they are few and small."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def take_records(self) -> list[LateRecord]:
        """Return the records that wait; the commit thread."""
        with self._changed:
            return [self._records.popleft() for _ in range(len(self._records))]

    def add_audit(self, draft: AuditDraft) -> None:
        """Put an entry of the audit log; any thread, never waits.

        Entries are few and short, so their number is not bounded; a full queue must not stop the main thread.
        """
        self._drafts.append(draft)

    def take_audit(self) -> list[AuditDraft]:
        """Return the entries that wait; the commit thread."""
        return [self._drafts.popleft() for _ in range(len(self._drafts))]

    @property
    def empty(self) -> bool:
        """True when nothing waits."""
        return super().empty and not self._records and not self._drafts

    @property
    def all_done(self) -> bool:
        """True when nothing waits and all that was taken is dealt with; any thread."""
        return super().all_done and not self._records and not self._drafts


class UplinkQueue:
    """The uplink thread's queue: events of the link, payloads to send, and plain wake-ups.

    Messages from the broker are bounded in number and bytes: if the queue is full, the link's thread waits up to
    ``patience_s`` and then drops the message.  Nothing is lost by that, because the station answers again.  All other
    items are bounded by the window, or arrive once a minute.
    """

    def __init__(self, *, max_messages: int = 1024, max_bytes: int = 8 * 2**20, patience_s: float = 1.0) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._items: deque[LinkEvent | tuple[str, bytes]] = deque()
        self._messages = 0
        self._bytes = 0
        self._woken = False
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Messages of the broker that were dropped."""
        return self._dropped

    def event(self, event: LinkEvent) -> None:
        """Put an event of the link; any thread."""
        if not isinstance(event, Received):
            self._put(event)
            return
        size = len(event.payload)
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(size), self._patience_s):
                self._dropped += 1
                return
            if not self._closed:
                self._messages += 1
                self._bytes += size
                self._items.append(event)
                self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return self._messages < self._max_messages and self._bytes + size <= self._max_bytes

    def health(self, payload: bytes) -> None:
        """Put a health message; any thread."""
        self._put(("health", payload))

    def status(self, payload: bytes) -> None:
        """Put a status message; any thread."""
        self._put(("status", payload))

    def report(self, payload: bytes) -> None:
        """Put a report on updates; any thread."""
        self._put(("report", payload))

    def wake(self) -> None:
        """Wake the uplink: a new record waits; any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop accepting messages: blocked threads continue."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, item: LinkEvent | tuple[str, bytes]) -> None:
        with self._changed:
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()

    def take(self) -> list[LinkEvent | tuple[str, bytes]]:
        """Wait briefly; return a limited number of messages, so that the uplink's thread beats in between."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._woken, _ROUND_S)
            self._woken = False
            came = [self._items.popleft() for _ in range(min(len(self._items), _UPLINK_MAX))]
            for item in came:
                if isinstance(item, Received):
                    self._messages -= 1
                    self._bytes -= len(item.payload)
            self._changed.notify_all()
        return came

"""The two queues between threads: to the commit thread and to the uplink.

Frames are dropped by the camera when recognition is too slow; tracks, sentences and receipts are never dropped: their
queue is bounded, and blocks the cameras and the receiver.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from agent.buffer import Receipted
from hw.ports import Received

if TYPE_CHECKING:
    from agent.audit import AuditDraft
    from agent.buffer import Command
    from agent.commit import LateRecord
    from agent.records import Track
    from agent.runtime.supervisor import WorkerContext
    from hw.ports import LinkEvent, NmeaLine

_ROUND_S = 0.1
_DRAIN_MAX = 512
_UPLINK_MAX = 64


class ReadQueue:
    """The commit thread's queue: bounded, so a slow disk slows the camera's thread and never loses a track.

    Commands of the uplink never wait: they are bounded by the uplink, which takes no answers of the station while
    ``takes_commands`` is false.
    """

    def __init__(self, limit: int = 256, *, max_named: int = 16_384) -> None:
        """``max_named`` records and pictures in waiting commands: a receipt names up to 256 of them."""
        self._limit = limit
        self._max_named = max_named
        self._changed = threading.Condition()
        self._items: deque[tuple[int, NmeaLine | Track | Command]] = deque()
        """With the number of records that a command names; 0 for what is no command."""
        self._commands = 0
        self._named = 0
        self._unfinished = 0
        self._waits = 0
        self._records: deque[LateRecord] = deque()
        self._drafts: deque[AuditDraft] = deque()

    def put(self, message: NmeaLine | Track, worker: WorkerContext) -> None:
        """Put a message; waits while the queue is full, with heartbeats.  Any thread."""
        with self._changed:
            if not self._has_room():
                self._waits += 1
                while not self._changed.wait_for(self._has_room, _ROUND_S):
                    worker.beat()
            self._append(message, 0)

    def add_command(self, command: Command) -> None:
        """Put a receipt or nack without waiting; the uplink's thread."""
        with self._changed:
            self._append(command, len(command.records) if isinstance(command, Receipted) else 1)

    @property
    def takes_commands(self) -> bool:
        """False while so many commands wait that the uplink is to take no more answers."""
        return self._named < self._max_named

    def _has_room(self) -> bool:
        return len(self._items) - self._commands < self._limit

    def _append(self, message: NmeaLine | Track | Command, named: int) -> None:
        self._items.append((named, message))
        self._commands += named > 0
        self._named += named
        self._unfinished += 1
        self._changed.notify_all()

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

    def take(self) -> list[NmeaLine | Track | Command]:
        """Wait briefly for a message; return all messages, up to a limit."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._records, _ROUND_S)
            taken = [self._items.popleft() for _ in range(min(len(self._items), _DRAIN_MAX))]
            self._commands -= sum(named > 0 for named, _ in taken)
            self._named -= sum(named for named, _ in taken)
            self._changed.notify_all()
        return [message for _, message in taken]

    def done(self, count: int) -> None:
        """Say that messages that were taken are dealt with: committed, or waiting where the commit thread can tell."""
        with self._changed:
            self._unfinished -= count

    @property
    def empty(self) -> bool:
        """True when nothing waits."""
        return not self._items and not self._records and not self._drafts

    @property
    def all_done(self) -> bool:
        """True when nothing waits and all that was taken is dealt with; any thread."""
        return self._unfinished == 0 and not self._records and not self._drafts

    @property
    def waits(self) -> int:
        """Number of messages that had to wait for the commit thread."""
        return self._waits


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

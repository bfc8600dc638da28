"""Chooses the next record and tracks those without a receipt: most urgent priority first, oldest first within each.

There is a cursor per priority, so a more urgent record is always sent before the next less urgent one.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.sync.pauses import Holds
from protocol.wire.codec import payload_ref

if TYPE_CHECKING:
    from agent.buffer.rows import OutboxRow
    from agent.sync.ports import Waiting

_LOOKED_AT = 16
"""Number of oldest records that are checked for a missing receipt while later ones were receipted."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A record that was sent."""

    ref: bytes
    t_mono_ns: int


class _PriorityQueue:
    """The records of one priority, in the order of their numbers."""

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.cursor = 0
        self.ready: deque[OutboxRow] = deque()
        self.is_at_end = False
        """True if the outbox had no more at its last change."""
        self.unreceipted: OrderedDict[int, _Sent] = OrderedDict()

    def outbox_changed(self, *, some_left: bool) -> None:
        """The outbox has changed: there may be more records, and fetched ones may have been deleted unsent."""
        if some_left:
            self.ready.clear()
        self.is_at_end = False

    def head(self, waiting: Waiting, fetch: int) -> OutboxRow | None:
        """Return the next record; None at the end."""
        if not self.ready and not self.is_at_end:
            self.ready.extend(waiting.records_of(self.priority, after_seq=self.cursor, limit=fetch))
            self.is_at_end = len(self.ready) < fetch
        return self.ready[0] if self.ready else None

    def pass_over(self) -> OutboxRow:
        """Move past the next record and return it."""
        row = self.ready.popleft()
        self.cursor = row.seq
        return row

    def overdue(self, t_mono_ns: int, timeout_ns: int) -> bool:
        """True if the oldest receipt is overdue by more than this."""
        oldest = next(iter(self.unreceipted.values()), None)
        return oldest is not None and t_mono_ns - oldest.t_mono_ns > timeout_ns

    def go_back(self, cursor: int) -> None:
        """Publish again from the record after this number."""
        self.cursor = cursor
        self.unreceipted.clear()
        self.outbox_changed(some_left=True)


class RecordSender:
    """Cursors over the outbox.  Part of the uplink, used only by its thread."""

    def __init__(self, waiting: Waiting, *, fetch: int, max_unreceipted: int) -> None:
        """``max_unreceipted`` is per priority: a backlog that waits for receipts does not delay urgent records."""
        self._waiting = waiting
        self._fetch = fetch
        self._max_unreceipted = max_unreceipted
        self._queues: dict[int, _PriorityQueue] = {}
        """By priority, the most urgent first."""
        self._changes: int | None = None
        self._given_up: int | None = None
        self._current: tuple[_PriorityQueue, OutboxRow] | None = None
        self._holds = Holds()
        self._lane_of_held: dict[int, _PriorityQueue] = {}
        self._queue_of_seq: dict[int, _PriorityQueue] = {}
        self._seq_of_ref: dict[bytes, int] = {}

    @property
    def unreceipted(self) -> int:
        """Records published and not yet receipted."""
        return len(self._queue_of_seq)

    @property
    def held(self) -> int:
        """Records that the broker does not accept at present."""
        return len(self._holds)

    def next(self, t_mono_ns: int) -> OutboxRow | None:
        """Return the record to publish, to be followed by ``sent`` or ``skipped``; None if none may be sent."""
        for queue in self._queues.values():
            if len(queue.unreceipted) < self._max_unreceipted:
                row = self._head(queue, t_mono_ns)
                if row is not None:
                    self._current = queue, row
                    return row
        return self._next_held(t_mono_ns)

    def _head(self, queue: _PriorityQueue, t_mono_ns: int) -> OutboxRow | None:
        while (row := queue.head(self._waiting, self._fetch)) is not None:
            if not self._holds.is_held(row.seq, t_mono_ns):
                return row
            queue.pass_over()
        return None

    def _next_held(self, t_mono_ns: int) -> OutboxRow | None:
        while (seq := self._holds.due(t_mono_ns)) is not None:
            queue = self._lane_of_held[seq]
            rows = self._waiting.records_of(queue.priority, after_seq=seq - 1, limit=1)
            if rows and rows[0].seq == seq:
                self._current = queue, rows[0]
                return rows[0]
            self._forget_hold(seq)
        return None

    def hold(self, seq: int, t_mono_ns: int) -> bool:
        """Hold back a record that the broker does not accept, and retry it after a growing pause.

        False if there are too many already.
        """
        queue = self._queue_of_seq.get(seq)
        if queue is None or not self._holds.add(seq, t_mono_ns):
            return False
        self._lane_of_held[seq] = queue
        self._no_longer_sent(seq)
        return True

    def reconnected(self, t_mono_ns: int) -> None:
        """A new connection may accept what the last did not."""
        self._holds.reconnected(t_mono_ns)

    def refresh(self) -> None:
        """Check whether the outbox has changed, and may have more urgent records; before each burst of records."""
        changes = self._waiting.changes()
        if changes == self._changes:
            return
        found = {*self._queues, *self._waiting.priorities()}
        self._queues = {
            priority: self._queues.get(priority) or _PriorityQueue(priority) for priority in sorted(found)
        }
        given_up = self._waiting.given_up()
        for queue in self._queues.values():
            queue.outbox_changed(some_left=given_up != self._given_up)
        self._changes, self._given_up = changes, given_up

    def skipped(self) -> None:
        """Skip the next record without publishing it."""
        self._forget_hold(self._take()[1].seq)

    def sent(self, t_mono_ns: int) -> None:
        """Note that the next record was sent."""
        queue, row = self._take()
        ref = payload_ref(row.payload)
        queue.unreceipted[row.seq] = _Sent(ref, t_mono_ns)
        self._queue_of_seq[row.seq] = queue
        self._seq_of_ref[ref] = row.seq
        self._holds.sent(row.seq)

    def _take(self) -> tuple[_PriorityQueue, OutboxRow]:
        current, self._current = self._current, None
        if current is None:
            raise RuntimeError("there is no next record")
        queue, row = current
        if queue.ready and queue.ready[0] is row:
            queue.pass_over()
        return current

    def done(self, seq: int) -> None:
        """Stop waiting for this record's receipt."""
        self._forget_hold(seq)
        self._no_longer_sent(seq)

    def _forget_hold(self, seq: int) -> None:
        self._holds.done(seq)
        self._lane_of_held.pop(seq, None)

    def _no_longer_sent(self, seq: int) -> None:
        queue = self._queue_of_seq.pop(seq, None)
        if queue is not None:
            self._seq_of_ref.pop(queue.unreceipted.pop(seq).ref, None)

    def seq_of(self, ref: bytes) -> int | None:
        """Return the record without receipt that has these bytes."""
        return self._seq_of_ref.get(ref)

    def hold_passed_over(self, t_mono_ns: int, timeout_ns: int, last_receipt_ns: int) -> int:
        """Hold back records that are overdue although later ones were receipted: only these get lost.

        Return how many.
        """
        late = [
            seq
            for queue in self._queues.values()
            for seq, sent in itertools.islice(queue.unreceipted.items(), _LOOKED_AT)
            if t_mono_ns - sent.t_mono_ns > timeout_ns and last_receipt_ns - sent.t_mono_ns > timeout_ns // 2
        ]
        return sum(self.hold(seq, t_mono_ns) for seq in late)

    def rewind_overdue(self, t_mono_ns: int, timeout_ns: int) -> int:
        """Publish again all unreceipted records of a priority whose oldest is overdue; return how many."""
        late = [queue for queue in self._queues.values() if queue.overdue(t_mono_ns, timeout_ns)]
        return sum(map(self._rewind, late))

    def rewind(self) -> int:
        """Publish again all unreceipted records, in order; return how many."""
        return sum(map(self._rewind, self._queues.values()))

    def start_over(self) -> int:
        """As ``rewind``, from the oldest records of the outbox on."""
        again = self.rewind()
        for queue in self._queues.values():
            queue.go_back(0)
        return again

    def _rewind(self, queue: _PriorityQueue) -> int:
        again = len(queue.unreceipted)
        for seq, sent in queue.unreceipted.items():
            del self._queue_of_seq[seq]
            self._seq_of_ref.pop(sent.ref, None)
        queue.go_back(min(queue.unreceipted, default=queue.cursor + 1) - 1)
        return again

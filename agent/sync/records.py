"""Which record goes next, and which wait for their receipts: the most urgent first, each priority from its oldest on.

A cursor for each priority: whatever waits, a record of a lower number leaves before the next one of a higher number.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.codec import payload_ref

if TYPE_CHECKING:
    from agent.buffer.rows import OutboxRow
    from agent.sync.ports import Waiting


@dataclass(frozen=True, slots=True)
class _Sent:
    """A record on its way."""

    ref: bytes
    t_mono_ns: int


class _Lane:
    """The records of one priority, in the order of their numbers."""

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.cursor = 0
        self.ready: deque[OutboxRow] = deque()
        self.is_at_end = False
        """True when the outbox held no more the last time it changed."""
        self.unreceipted: OrderedDict[int, _Sent] = OrderedDict()

    def look_again(self, *, some_left: bool) -> None:
        """The outbox has changed: more may have come, and of what was fetched some may have left unsent."""
        if some_left:
            self.ready.clear()
        self.is_at_end = False

    def head(self, waiting: Waiting, fetch: int) -> OutboxRow | None:
        """Return the next record; None at the end."""
        if not self.ready and not self.is_at_end:
            self.ready.extend(waiting.records_of(self.priority, after_seq=self.cursor, limit=fetch))
            self.is_at_end = len(self.ready) < fetch
        return self.ready[0] if self.ready else None

    def overdue(self, t_mono_ns: int, patience_ns: int) -> bool:
        """True when the oldest has waited longer than this for its receipt."""
        oldest = next(iter(self.unreceipted.values()), None)
        return oldest is not None and t_mono_ns - oldest.t_mono_ns > patience_ns

    def go_back(self, cursor: int) -> None:
        """Publish again what comes after this number."""
        self.cursor = cursor
        self.unreceipted.clear()
        self.look_again(some_left=True)


class RecordSender:
    """Walks through the outbox.  Part of the uplink, used by its thread alone."""

    def __init__(self, waiting: Waiting, *, fetch: int, max_unreceipted: int) -> None:
        """``max_unreceipted`` is for each priority: a backlog that waits for receipts holds up nothing urgent."""
        self._waiting = waiting
        self._fetch = fetch
        self._max_unreceipted = max_unreceipted
        self._lanes: dict[int, _Lane] = {}
        """By priority, the most urgent first."""
        self._changes: int | None = None
        self._given_up: int | None = None
        self._current: _Lane | None = None
        self._lane_of_seq: dict[int, _Lane] = {}
        self._seq_of_ref: dict[bytes, int] = {}

    @property
    def unreceipted(self) -> int:
        """Records published and not yet receipted."""
        return len(self._lane_of_seq)

    def next(self) -> OutboxRow | None:
        """Return the record to publish, to be followed by ``sent`` or ``skipped``; None when none may go."""
        for lane in self._lanes.values():
            if len(lane.unreceipted) < self._max_unreceipted:
                row = lane.head(self._waiting, self._fetch)
                if row is not None:
                    self._current = lane
                    return row
        return None

    def look(self) -> None:
        """See whether the outbox has changed: something more urgent may have come.  Before each burst of records."""
        changes = self._waiting.changes()
        if changes == self._changes:
            return
        found = {*self._lanes, *self._waiting.priorities()}
        self._lanes = {priority: self._lanes.get(priority) or _Lane(priority) for priority in sorted(found)}
        given_up = self._waiting.given_up()
        for lane in self._lanes.values():
            lane.look_again(some_left=given_up != self._given_up)
        self._changes, self._given_up = changes, given_up

    def skipped(self) -> None:
        """Go past the record that is next without publishing it."""
        self._take()

    def sent(self, t_mono_ns: int) -> None:
        """Note that the record that was next went out."""
        lane, row = self._take()
        ref = payload_ref(row.payload)
        lane.unreceipted[row.seq] = _Sent(ref, t_mono_ns)
        self._lane_of_seq[row.seq] = lane
        self._seq_of_ref[ref] = row.seq

    def _take(self) -> tuple[_Lane, OutboxRow]:
        lane, self._current = self._current, None
        if lane is None:
            raise RuntimeError("no record was next")
        row = lane.ready.popleft()
        lane.cursor = row.seq
        return lane, row

    def done(self, seq: int) -> None:
        """Wait no longer for this one."""
        lane = self._lane_of_seq.pop(seq, None)
        if lane is not None:
            self._seq_of_ref.pop(lane.unreceipted.pop(seq).ref, None)

    def seq_of(self, ref: bytes) -> int | None:
        """Return which of the records that wait has these bytes."""
        return self._seq_of_ref.get(ref)

    def rewind_overdue(self, t_mono_ns: int, patience_ns: int) -> int:
        """Publish again what of a priority has no receipt, where its oldest waits too long; return how many."""
        late = [lane for lane in self._lanes.values() if lane.overdue(t_mono_ns, patience_ns)]
        return sum(map(self._rewind, late))

    def rewind(self) -> int:
        """Publish again what has no receipt, in order; return how many those are."""
        return sum(map(self._rewind, self._lanes.values()))

    def start_over(self) -> int:
        """As ``rewind``, from the oldest records of the outbox on."""
        again = self.rewind()
        for lane in self._lanes.values():
            lane.go_back(0)
        return again

    def _rewind(self, lane: _Lane) -> int:
        again = len(lane.unreceipted)
        for seq, sent in lane.unreceipted.items():
            del self._lane_of_seq[seq]
            self._seq_of_ref.pop(sent.ref, None)
        lane.go_back(min(lane.unreceipted, default=lane.cursor + 1) - 1)
        return again

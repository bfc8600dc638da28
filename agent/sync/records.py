"""Which record goes next, and which wait for their receipts: oldest first, again from the oldest when in doubt."""

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


class RecordSender:
    """Walks through the outbox.  Part of the uplink, used by its thread alone."""

    def __init__(self, waiting: Waiting, *, fetch: int, max_unreceipted: int) -> None:
        self._waiting = waiting
        self._fetch = fetch
        self._max_unreceipted = max_unreceipted
        self._ready: deque[OutboxRow] = deque()
        self._cursor = 0
        self._unreceipted: OrderedDict[int, _Sent] = OrderedDict()
        self._seq_of_ref: dict[bytes, int] = {}

    @property
    def unreceipted(self) -> int:
        """Records published and not yet receipted."""
        return len(self._unreceipted)

    def next(self) -> OutboxRow | None:
        """Return the record to publish, the same one until ``sent`` or ``skipped``; None when none may go."""
        if len(self._unreceipted) >= self._max_unreceipted:
            return None
        if not self._ready:
            self._ready.extend(self._waiting.records(after_seq=self._cursor, limit=self._fetch))
        return self._ready[0] if self._ready else None

    def skipped(self) -> None:
        """Go past the record that is next without publishing it."""
        self._cursor = self._ready.popleft().seq

    def sent(self, t_mono_ns: int) -> None:
        """Note that the record that was next went out."""
        row = self._ready.popleft()
        self._cursor = row.seq
        ref = payload_ref(row.payload)
        self._unreceipted[row.seq] = _Sent(ref, t_mono_ns)
        self._seq_of_ref[ref] = row.seq

    def done(self, seq: int) -> None:
        """Wait no longer for this one."""
        sent = self._unreceipted.pop(seq, None)
        if sent is not None:
            self._seq_of_ref.pop(sent.ref, None)

    def seq_of(self, ref: bytes) -> int | None:
        """Return which of the records that wait has these bytes."""
        return self._seq_of_ref.get(ref)

    def overdue(self, t_mono_ns: int, patience_ns: int) -> bool:
        """True when the oldest has waited longer than this."""
        oldest = next(iter(self._unreceipted.values()), None)
        return oldest is not None and t_mono_ns - oldest.t_mono_ns > patience_ns

    def rewind(self) -> int:
        """Publish again what has no receipt, in order; return how many those are."""
        again = len(self._unreceipted)
        self._cursor = min(self._unreceipted, default=self._cursor + 1) - 1
        self._unreceipted.clear()
        self._seq_of_ref.clear()
        self._ready.clear()
        return again

    def start_over(self) -> int:
        """As ``rewind``, from the oldest record of the outbox on."""
        again = self.rewind()
        self._cursor = 0
        return again

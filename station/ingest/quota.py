"""What a unit may send in a day: the rest is refused for now, and the unit keeps it and sends it again.

A stolen card has a valid certificate until it is revoked.  It may fill its own share of the disk, not the disk.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.enums import NackCode
from station.ingest.answers import nack
from station.store.rows import Usage

if TYPE_CHECKING:
    from station.ingest.batch import Answer, Batch, Taken
    from station.store import Store

_KNOWN = 4_096


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one unit on one day, UTC."""

    records: int = 200_000
    """Ten times what an outbox holds after a week without a link."""
    size_bytes: int = 16 * 2**30
    """Records and pictures; twice the budget of an outbox."""
    loose_bytes: int = 64 * 2**20
    """Pictures of records that are not stored; a unit sends a record before its pictures."""


class QuotaGate:
    """Lets messages of a batch through, or refuses them; used by one thread, inside the store's transaction."""

    def __init__(self, store: Store, quota: Quota) -> None:
        self._store = store
        self._quota = quota
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        """Records that are stored: a picture has several chunks."""
        self._added: dict[str, Usage] = {}

    def sift(self, batch: Batch, now_us: int) -> list[Answer]:
        """Take messages beyond the quota out of the batch; return one nack for each of their units."""
        self._added = {}
        units = {taken.unit for taken in batch.records} | {chunk.unit for chunk, _ in batch.chunks}
        if not units:
            return []
        day = _Day(self._quota, self._store.usage(units, now_us))
        refused: dict[str, bytes] = {}
        records = [taken for taken in batch.records if day.takes_record(taken) or _note(refused, taken)]
        there = self._stored({(chunk.unit, chunk.read_id) for chunk, _ in batch.chunks}, records)
        chunks = []
        for chunk, payload in batch.chunks:
            if day.takes_chunk(chunk.unit, len(chunk.data), is_loose=(chunk.unit, chunk.read_id) not in there):
                chunks.append((chunk, payload))
            else:
                refused[chunk.unit] = payload
        batch.records, batch.chunks = records, chunks
        self._added = day.added
        return [
            nack(unit, payload, NackCode.QUOTA, day.why[unit], retry=True)
            for unit, payload in sorted(refused.items())
        ]

    def settle(self, now_us: int) -> None:
        """Count what was let through, at the end of the transaction: another worker's may wait for its rows."""
        if self._added:
            self._store.add_usage(self._added, now_us)

    def _stored(self, wanted: set[tuple[str, bytes]], arriving: list[Taken]) -> set[tuple[str, bytes]]:
        with_batch = {(taken.unit, taken.new.record.envelope.record_id) for taken in arriving}
        there = {key for key in wanted if key in self._known or key in with_batch}
        found = self._store.stored_records(wanted - there) if wanted - there else set()
        for key in found:
            self._known[key] = None
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return there | found


def _note(refused: dict[str, bytes], taken: Taken) -> bool:
    refused[taken.unit] = taken.payload
    return False


class _Day:
    """The day so far of the units in a batch."""

    def __init__(self, quota: Quota, used: dict[str, Usage]) -> None:
        self._quota = quota
        self._used = used
        self.added: dict[str, Usage] = {}
        self.why: dict[str, str] = {}

    def takes_record(self, taken: Taken) -> bool:
        return self._takes(taken.unit, Usage(records=1, size_bytes=len(taken.payload)))

    def takes_chunk(self, unit: str, size_bytes: int, *, is_loose: bool) -> bool:
        return self._takes(unit, Usage(size_bytes=size_bytes, loose_bytes=size_bytes if is_loose else 0))

    def _takes(self, unit: str, more: Usage) -> bool:
        added = self.added.get(unit, Usage())
        total = self._used.get(unit, Usage()) + added + more
        quota = self._quota
        if more.records and total.records > quota.records:
            self.why[unit] = f"more than {quota.records:,} records in a day"
        elif more.loose_bytes and total.loose_bytes > quota.loose_bytes:
            self.why[unit] = (
                f"more than {quota.loose_bytes / 2**20:,.0f} MiB of pictures of unknown records in a day"
            )
        elif total.size_bytes > quota.size_bytes:
            self.why[unit] = f"more than {quota.size_bytes / 2**20:,.0f} MiB in a day"
        else:
            self.added[unit] = added + more
            return True
        self.added[unit] = added + Usage(refused=1)
        return False

"""Messages in, receipts out: a pure object around the store.

``take`` looks at a message, ``commit`` makes everything taken durable in one transaction and only then returns the
receipts.  Whatever the network sends, nothing is raised: it is refused and counted by its reason.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.errors import WireError
from agent.sync.topics import Channel, build, parse
from agent.sync.wire import (
    MAX_MESSAGE_BYTES,
    MAX_RECEIPT_PICTURES,
    MAX_RECEIPT_RECORDS,
    HealthMessage,
    Nack,
    NackCode,
    PictureChunk,
    PictureStatus,
    ReadMessage,
    Receipt,
    RecordMessage,
    StatusMessage,
    decode_chunk,
    decode_health,
    decode_record,
    decode_status,
    encode_nack,
    encode_picture_status,
    encode_receipt,
    payload_ref,
)
from station.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from station.store import Store

Answer = tuple[str, bytes]
"""Topic and payload."""
_DETAIL = 100


@dataclass(slots=True)
class IngestCounts:
    """Since the start of the process."""

    reads: int = 0
    doubles: int = 0
    """Records that were here already; they are receipted again and stored once."""
    others: int = 0
    chunks: int = 0
    health: int = 0
    status: int = 0
    malformed: int = 0
    foreign_topic: int = 0
    not_authorised: int = 0
    """Messages of units that are not on the list, or in the name of another unit."""
    oversized: int = 0
    storage_failures: int = 0
    commits: int = 0


@dataclass(slots=True)
class _Batch:
    records: list[tuple[RecordMessage, bytes]] = field(default_factory=list)
    chunks: list[PictureChunk] = field(default_factory=list)
    health: list[tuple[HealthMessage, bytes]] = field(default_factory=list)
    status: list[StatusMessage] = field(default_factory=list)
    refusals: list[Answer] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.chunks) + len(self.health) + len(self.status) + len(self.refusals)


class Ingest:
    """One per process; used by one thread."""

    def __init__(
        self,
        store: Store,
        station: str,
        clock_us: Callable[[], int],
        *,
        units: frozenset[str] | None = None,
        on_read: Callable[[ReadMessage], None] | None = None,
    ) -> None:
        """``units`` are those that may send, None for all; ``on_read`` hears every new read after its commit."""
        self._store = store
        self._station = station
        self._clock_us = clock_us
        self._units = units
        self._on_read = on_read
        self._batch = _Batch()
        self.counts = IngestCounts()

    @property
    def pending(self) -> int:
        """Messages taken and not yet committed."""
        return len(self._batch)

    def handle(self, topic: str, payload: bytes) -> list[Answer]:
        """Take one message and commit at once."""
        self.take(topic, payload)
        return self.commit()

    def take(self, topic: str, payload: bytes) -> None:
        """Look at a message and keep it for the next commit."""
        try:
            where = parse(topic)
        except WireError:
            self.counts.foreign_topic += 1
            return
        if self._units is not None and where.unit not in self._units:
            self._refuse(where.unit, payload, NackCode.NOT_AUTHORISED, "unit is not on the list")
            self.counts.not_authorised += 1
            return
        if len(payload) > MAX_MESSAGE_BYTES:
            self._refuse(where.unit, payload, NackCode.MALFORMED, f"{len(payload)} bytes are too many")
            self.counts.oversized += 1
            return
        try:
            self._sort(where.unit, where.channel, payload)
        except WireError as error:
            self._refuse(where.unit, payload, NackCode.MALFORMED, str(error)[:_DETAIL])
            self.counts.malformed += 1

    def _sort(self, unit: str, channel: Channel, payload: bytes) -> None:
        if channel is Channel.READ:
            record = decode_record(payload)
            if self._is_own(unit, record.unit, payload):
                self._batch.records.append((record, payload))
        elif channel is Channel.PICTURE:
            chunk = decode_chunk(payload)
            if self._is_own(unit, chunk.unit, payload):
                self._batch.chunks.append(chunk)
        elif channel is Channel.HEALTH:
            health = decode_health(payload)
            if self._is_own(unit, health.unit, payload):
                self._batch.health.append((health, payload))
        elif channel is Channel.STATUS:
            status = decode_status(payload)
            if self._is_own(unit, status.unit, payload):
                self._batch.status.append(status)
        else:
            self.counts.foreign_topic += 1

    def _is_own(self, topic_unit: str, message_unit: str, payload: bytes) -> bool:
        """The broker checks who may publish on a topic; the message must not speak for anybody else."""
        if topic_unit == message_unit:
            return True
        self._refuse(topic_unit, payload, NackCode.NOT_AUTHORISED, "message in the name of another unit")
        self.counts.not_authorised += 1
        return False

    def _refuse(self, unit: str, payload: bytes, code: NackCode, detail: str, *, retry: bool = False) -> None:
        nack = Nack(unit, payload_ref(payload), code, retry, detail)
        self._batch.refusals.append((build(unit, Channel.RECEIPT), encode_nack(nack)))

    def commit(self) -> list[Answer]:
        """Make everything taken durable; return receipts, picture statuses and refusals."""
        batch, self._batch = self._batch, _Batch()
        if not len(batch):
            return []
        now_us = self._clock_us()
        try:
            with self._store.transaction():
                fresh = [self._store.add_record(message, payload, now_us) for message, payload in batch.records]
                stored = [self._store.add_chunk(chunk) for chunk in batch.chunks]
                for health, payload in batch.health:
                    self._store.note_health(health, payload, now_us)
                for status in batch.status:
                    self._store.note_status(status, now_us)
        except StoreError as error:
            return batch.refusals + self._storage_failed(batch, error)
        self._count(batch, fresh)
        answers = list(self._receipts(batch.records, now_us))
        answers += self._picture_answers(batch.chunks, stored, now_us)
        return batch.refusals + answers

    def _storage_failed(self, batch: _Batch, error: StoreError) -> list[Answer]:
        """Nothing was stored: say so once a unit, so that it waits and sends again."""
        self.counts.storage_failures += 1
        answers = {}
        for message, payload in batch.records:
            nack = Nack(message.unit, payload_ref(payload), NackCode.STORAGE, True, str(error)[:_DETAIL])
            answers[message.unit] = (build(message.unit, Channel.RECEIPT), encode_nack(nack))
        return list(answers.values())

    def _count(self, batch: _Batch, fresh: list[bool]) -> None:
        self.counts.commits += 1
        self.counts.chunks += len(batch.chunks)
        self.counts.health += len(batch.health)
        self.counts.status += len(batch.status)
        for (message, _), is_new in zip(batch.records, fresh, strict=True):
            if not is_new:
                self.counts.doubles += 1
            elif isinstance(message, ReadMessage):
                self.counts.reads += 1
                if self._on_read is not None:
                    self._on_read(message)
            else:
                self.counts.others += 1

    def _receipts(self, records: list[tuple[RecordMessage, bytes]], now_us: int) -> Iterable[Answer]:
        by_unit: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for message, _ in records:
            record_id = message.read_id if isinstance(message, ReadMessage) else message.record_id
            by_unit[message.unit].append((message.seq, record_id))
        for unit, named in by_unit.items():
            for start in range(0, len(named), MAX_RECEIPT_RECORDS):
                part = tuple(named[start : start + MAX_RECEIPT_RECORDS])
                yield build(unit, Channel.RECEIPT), encode_receipt(Receipt(unit, self._station, now_us, part))

    def _picture_answers(self, chunks: list[PictureChunk], stored: list[int], now_us: int) -> list[Answer]:
        answers: list[Answer] = []
        by_unit: dict[str, dict[bytes, int]] = defaultdict(dict)
        for chunk, stored_bytes in zip(chunks, stored, strict=True):
            if stored_bytes < chunk.offset + len(chunk.data) and stored_bytes < chunk.total_bytes:
                status = PictureStatus(chunk.unit, chunk.sha256, stored_bytes)
                answers.append((build(chunk.unit, Channel.RECEIPT), encode_picture_status(status)))
            else:
                by_unit[chunk.unit][chunk.sha256] = stored_bytes
        for unit, pictures in by_unit.items():
            named = list(pictures.items())
            for start in range(0, len(named), MAX_RECEIPT_PICTURES):
                part = tuple(named[start : start + MAX_RECEIPT_PICTURES])
                receipt = Receipt(unit, self._station, now_us, (), part)
                answers.append((build(unit, Channel.RECEIPT), encode_receipt(receipt)))
        return answers

"""Messages in, receipts and nacks out: a plain object around the store.

``take`` checks a message, ``commit`` stores all checked messages durably in one transaction and only then returns the
receipts.  Invalid messages raise nothing: they are refused and counted by reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from protocol.errors import KeyUnknownError, SealError, UnknownSchemaError, WireError
from protocol.seal.envelope import SEALED, sealed_of
from protocol.wire.codec import MAX_MESSAGE_BYTES, decode, schema_of, unpack
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.log_checkpoint import LogWitness
from protocol.wire.control.transfer import ChunkRequest, UpdateReport
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import NackCode
from protocol.wire.record import decode_record, record_of
from protocol.wire.records.read import Read
from protocol.wire.topics import Channel, check_unit, parse
from station.errors import StoreError
from station.ingest.answers import nack, picture_answers, receipts, try_again
from station.ingest.batch import Batch, Taken
from station.ingest.quota import Quota, QuotaGate
from station.store import NewRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.seal import Opener
    from protocol.seal.head import Head
    from protocol.wire.record import Record
    from station.audit_log.witnessing import Witnessing
    from station.ingest.batch import Answer
    from station.store import ChunkResult, Store


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Limits for units."""

    message_bytes: int = MAX_MESSAGE_BYTES
    picture_bytes: int = 16 * 1024 * 1024
    """Maximum size of a picture."""
    quota: Quota = field(default_factory=Quota)
    """What a unit may send in a day."""


@dataclass(slots=True)
class IngestCounts:
    """Since the start of the process."""

    reads: int = 0
    """New reads stored."""
    duplicates: int = 0
    """Records that were already stored; they are receipted again and stored once."""
    others: int = 0
    """New time anchors, tombstones and other records stored."""
    opaque: int = 0
    """New records stored whose type this station does not know."""
    chunks: int = 0
    health: int = 0
    invalid_heads: int = 0
    """Health messages whose signed head of the series no key of the unit signed; the rest of them is stored."""
    name_conflicts: int = 0
    """Commits that showed that two units use one name."""
    status: int = 0
    reports: int = 0
    """Reports of units on their releases."""
    witnesses: int = 0
    """Answers of units to checkpoints of the audit log."""
    chunk_requests: int = 0
    """Requests for bytes of offered files."""
    malformed: int = 0
    unknown_schema: int = 0
    """Messages other than records, of a schema that this station does not know."""
    foreign_topic: int = 0
    """Messages on topics that no unit sends to a station."""
    not_authorised: int = 0
    """Messages of units that are not on the list, or that name another unit."""
    oversized: int = 0
    """Messages, or pictures announced in messages, above the limits."""
    unsealed: int = 0
    """Unencrypted records, although this station accepts only sealed ones."""
    key_unknown: int = 0
    """Sealed records whose key is not in the key ring; the units keep them and send them again."""
    hopeless_pictures: int = 0
    """Pictures that were received completely several times and never matched their hash."""
    storage_failures: int = 0
    """Failed commits; nothing of them was receipted."""
    over_quota: int = 0
    """Nacks to units that sent more than a unit may in a day; they keep it and send it again."""
    commits: int = 0


class Ingest:
    """One per process; used by one thread."""

    def __init__(
        self,
        store: Store,
        station_id: str,
        clock_us: Callable[[], int],
        *,
        units: frozenset[str] | None = None,
        limits: IngestLimits | None = None,
        on_read: Callable[[Record], None] | None = None,
        opener: Opener | None = None,
        sealed_only: bool | None = None,
        witnessing: Witnessing | None = None,
    ) -> None:
        """``units`` are those that may send, None for all; ``on_read`` is called with every new read after its commit.

        With an ``opener`` receipts and nacks are signed, sealed records are opened and verified, and unencrypted ones
        are refused unless ``sealed_only`` is false.  With ``witnessing`` units get checkpoints of
        the audit log.

        Raises WireError if the station's id is not 1 to 36 letters, digits, ``_`` or ``-``.
        """
        self._store = store
        self._station_id = check_unit(station_id)
        self._clock_us = clock_us
        self._units = units
        self._limits = limits or IngestLimits()
        self._gate = QuotaGate(store, self._limits.quota)
        self._on_read = on_read
        self._opener = opener
        self._sealed_only = opener is not None if sealed_only is None else sealed_only
        self._witnessing = witnessing
        self._batch = Batch()
        self.counts = IngestCounts()
        self.last_failure = ""
        """Reason of the last failed commit."""
        self.conflicting: set[str] = set()
        """Names that two units use, by what was received since the start."""

    @property
    def pending(self) -> int:
        """Number of messages taken, and nacks made, since the last commit."""
        return self._batch.to_store + len(self._batch.refusals)

    def handle(self, topic: str, payload: bytes) -> list[Answer]:
        """Handle one message and commit at once."""
        self.take(topic, payload)
        return self.commit()

    def take(self, topic: str, payload: bytes) -> None:
        """Check a message and keep it for the next commit."""
        try:
            where = parse(topic)
        except WireError:
            self.counts.foreign_topic += 1
            return
        if where.channel in {Channel.RECEIPT, Channel.COMMAND, Channel.PART, Channel.LOG}:
            self.counts.foreign_topic += 1
        elif self._units is not None and where.unit not in self._units:
            self.counts.not_authorised += 1
            self._refuse(where.unit, payload, NackCode.NOT_AUTHORISED, "unit is not on the station's list")
        elif len(payload) > self._limits.message_bytes:
            self.counts.oversized += 1
            self._refuse(where.unit, payload, NackCode.MALFORMED, f"{len(payload)} bytes are above the limit")
        elif where.channel is Channel.STATUS and not payload:
            return  # a retained status was cleared
        else:
            self._decode(where.unit, where.channel, payload)

    def _decode(self, unit: str, channel: Channel, payload: bytes) -> None:
        try:
            self._sort(unit, channel, payload)
        except UnknownSchemaError as error:
            self.counts.unknown_schema += 1
            self._refuse(unit, payload, NackCode.UNKNOWN_SCHEMA, str(error))
        except WireError as error:
            self.counts.malformed += 1
            self._refuse(unit, payload, NackCode.MALFORMED, str(error))

    def _sort(self, unit: str, channel: Channel, payload: bytes) -> None:
        batch = self._batch
        match channel:
            case Channel.WITNESS:
                self._sort_witness(unit, payload)
            case Channel.READ:
                new = self._record(unit, payload)
                if new is not None and self._is_own(unit, new.record.envelope.unit, payload):
                    batch.records.append(Taken(new, payload))
            case Channel.PICTURE:
                self._sort_chunk(unit, payload)
            case Channel.HEALTH:
                health = decode(payload, Health)
                if self._is_own(unit, health.unit, payload):
                    batch.health.append((health, payload, self._head(health)))
            case Channel.UPDATE:
                self._sort_update(unit, payload)
            case Channel.STATUS:
                status = decode(payload, Status)
                if self._is_own(unit, status.unit, payload):
                    batch.status.append(status)

    def _sort_chunk(self, unit: str, payload: bytes) -> None:
        chunk = decode(payload, PictureChunk)
        if self._is_own(unit, chunk.unit, payload) and self._is_small_enough(chunk, payload):
            self._batch.chunks.append((chunk, payload))

    def _sort_witness(self, unit: str, payload: bytes) -> None:
        witness = decode(payload, LogWitness)
        if self._is_own(unit, witness.unit, payload):
            self._batch.witnesses.append(witness)

    def _head(self, health: Health) -> Head | None:
        """The verified head of the series in a health message; an invalid one is counted, and the rest is stored."""
        if not health.head or self._opener is None:
            return None
        try:
            head = self._opener.head(health.unit, health.head)
            if (head.boot_id, head.life) == (health.boot_id, health.life):
                return head
        except (KeyUnknownError, WireError):
            pass
        self.counts.invalid_heads += 1
        return None

    def _sort_update(self, unit: str, payload: bytes) -> None:
        update = decode(payload, ChunkRequest, UpdateReport)
        if self._is_own(unit, update.unit, payload):
            self._batch.updates.append((update, payload))

    def _record(self, unit: str, payload: bytes) -> NewRecord | None:
        """Open a sealed record; None if it was refused.  Raises WireError for anything but a record."""
        fields = unpack(payload)
        if schema_of(fields) != SEALED:
            record = record_of(fields, payload, self._store.registry)
            if self._sealed_only:
                self.counts.unsealed += 1
                self._refuse(unit, payload, NackCode.NOT_AUTHORISED, "this station accepts sealed records only")
                return None
            return NewRecord(record)
        try:
            if self._opener is None:
                raise KeyUnknownError("this station has no keys: start it with --keys")  # noqa: TRY301 - one way out
            opened = self._opener.record(sealed_of(fields))
        except KeyUnknownError as error:
            self.counts.key_unknown += 1
            self._batch.refusals.append(nack(unit, payload, NackCode.NOT_AUTHORISED, str(error), retry=True))
            return None
        record = decode_record(opened.record, self._store.registry)
        inside = record.envelope
        if (inside.unit, inside.seq, inside.record_id) != (opened.unit, opened.seq, opened.record_id):
            raise SealError("the record inside the seal does not match its header")
        return NewRecord(record, opened)

    def _is_own(self, topic_unit: str, message_unit: str, payload: bytes) -> bool:
        """The broker checks who may publish on a topic; the message must be of the same unit."""
        if topic_unit == message_unit:
            return True
        self.counts.not_authorised += 1
        self._refuse(topic_unit, payload, NackCode.NOT_AUTHORISED, "message of another unit")
        return False

    def _is_small_enough(self, chunk: PictureChunk, payload: bytes) -> bool:
        max_bytes = self._limits.picture_bytes
        if chunk.total_bytes <= max_bytes:
            return True
        self.counts.oversized += 1
        self._refuse(
            chunk.unit, payload, NackCode.QUOTA, f"picture of {chunk.total_bytes} bytes, at most {max_bytes}"
        )
        return False

    def _refuse(self, unit: str, payload: bytes, code: NackCode, detail: str) -> None:
        self._batch.refusals.append(nack(unit, payload, code, detail))

    def commit(self) -> list[Answer]:
        """Store all checked messages; return receipts, picture statuses and nacks, signed if there is a key."""
        answers = self._commit()
        return answers if self._opener is None else [(topic, self._opener.answer(told)) for topic, told in answers]

    def _commit(self) -> list[Answer]:
        batch, self._batch = self._batch, Batch()
        if not batch.to_store:
            return batch.refusals
        now_us = self._clock_us()
        try:
            self._store.check_room()
            with self._store.transaction():
                over = self._gate.sift(batch, now_us)
                fresh = self._store.add_records([taken.new for taken in batch.records], now_us)
                results = self._add_chunks(batch, now_us)
                self._note_units(batch, now_us)
                self._take_witnesses(batch, now_us)
                self._gate.settle(now_us)
        except StoreError as error:
            self.counts.storage_failures += 1
            self.last_failure = str(error)
            return batch.refusals + try_again(batch)
        self.counts.over_quota += len(over)
        conflicts = self._store.name_conflicts()
        self.counts.name_conflicts += len(conflicts)
        self.conflicting |= conflicts
        self._count(batch, fresh)
        pictures = picture_answers(batch, results)
        self.counts.hopeless_pictures += len(pictures.refusals)
        return batch.refusals + over + receipts(batch, pictures, self._station_id, now_us) + self._granted(batch)

    def _add_chunks(self, batch: Batch, now_us: int) -> list[ChunkResult]:
        """Picture by picture in a fixed order, so that two workers never wait for each other."""
        order = sorted(
            range(len(batch.chunks)), key=lambda n: (batch.chunks[n][0].unit, batch.chunks[n][0].sha256)
        )
        results = {n: self._store.add_chunk(batch.chunks[n][0], now_us) for n in order}
        return [results[n] for n in range(len(batch.chunks))]

    def _note_units(self, batch: Batch, now_us: int) -> None:
        """Unit by unit in a fixed order, as above; of one unit, in the order of arrival."""
        notes: list[tuple[str, Callable[[], None]]] = [
            *(
                (m.unit, partial(self._store.note_health, m, payload, now_us, head))
                for m, payload, head in batch.health
            ),
            *(
                (m.unit, partial(self._store.note_report, m.unit, payload))
                for m, payload in batch.updates
                if isinstance(m, UpdateReport)
            ),
            *((m.unit, partial(self._store.note_status, m, now_us)) for m in batch.status),
        ]
        for _, note in sorted(notes, key=itemgetter(0)):
            note()
        self._store.note_seen(batch.senders(), now_us)

    def _take_witnesses(self, batch: Batch, now_us: int) -> None:
        if self._witnessing is not None:
            for witness in sorted(batch.witnesses, key=lambda answer: answer.unit):
                self._witnessing.take(witness, now_us)

    def _granted(self, batch: Batch) -> list[Answer]:
        """Return requested bytes of files; an unreadable file is this station's fault: the units ask again."""
        answers: list[Answer] = []
        for update, _ in batch.updates:
            if not isinstance(update, ChunkRequest):
                continue
            try:
                answer = self._store.file_bytes(update)
            except StoreError as error:
                self.counts.storage_failures += 1
                self.last_failure = str(error)
            else:
                answers += [] if answer is None else [answer]
        return answers

    def offers(self) -> list[Answer]:
        """Return what must be retained at the broker, with empty payloads to be cleared; raises StoreError."""
        offers = [offered.message() for offered in self._store.offers()]
        if self._witnessing is None:
            return offers
        checkpoints = self._witnessing.messages(self._clock_us())
        opener = self._opener
        return offers + (
            checkpoints if opener is None else [(topic, opener.answer(told)) for topic, told in checkpoints]
        )

    def _count(self, batch: Batch, fresh: list[bool]) -> None:
        self.counts.commits += 1
        self.counts.chunks += len(batch.chunks)
        self.counts.health += len(batch.health)
        self.counts.status += len(batch.status)
        self.counts.witnesses += len(batch.witnesses)
        reports = sum(isinstance(update, UpdateReport) for update, _ in batch.updates)
        self.counts.reports += reports
        self.counts.chunk_requests += len(batch.updates) - reports
        for taken, is_new in zip(batch.records, fresh, strict=True):
            record = taken.new.record
            if not is_new:
                self.counts.duplicates += 1
                continue
            if isinstance(record.body, Read):
                self.counts.reads += 1
                if self._on_read is not None:
                    self._on_read(record)
            elif record.body is None:
                self.counts.opaque += 1
            else:
                self.counts.others += 1

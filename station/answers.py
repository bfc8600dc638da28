"""What a commit takes in, and what units are told of it: receipts, picture statuses, refusals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

from agent.sync.topics import Channel, build
from agent.sync.wire import (
    MAX_RECEIPT_PICTURES,
    MAX_RECEIPT_RECORDS,
    Nack,
    NackCode,
    PictureStatus,
    ReadMessage,
    Receipt,
    encode_nack,
    encode_picture_status,
    encode_receipt,
    payload_ref,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.seal import OpenedRecord
    from agent.sync.wire import (
        HealthMessage,
        PictureChunk,
        RecordMessage,
        StatusMessage,
        UpdateReport,
        UpdateWish,
    )
    from station.album import ChunkResult

Answer = tuple[str, bytes]
"""Topic and payload."""
_Item = TypeVar("_Item")
_DETAIL = 100


@dataclass(frozen=True, slots=True)
class Record:
    """A record on its way into the store."""

    message: RecordMessage
    content: bytes
    """Its own bytes, opened."""
    payload: bytes
    """As it came: what a nack names."""
    proof: OpenedRecord | None


@dataclass(slots=True)
class Batch:
    """What was taken since the last commit."""

    records: list[Record] = field(default_factory=list)
    chunks: list[tuple[PictureChunk, bytes]] = field(default_factory=list)
    health: list[tuple[HealthMessage, bytes]] = field(default_factory=list)
    status: list[StatusMessage] = field(default_factory=list)
    updates: list[tuple[UpdateWish | UpdateReport, bytes]] = field(default_factory=list)
    refusals: list[Answer] = field(default_factory=list)

    @property
    def to_store(self) -> int:
        """Messages that the disk must take."""
        return len(self.records) + len(self.chunks) + len(self.health) + len(self.status) + len(self.updates)

    def senders(self) -> set[str]:
        """The units that spoke themselves: a status may be retained, or a will."""
        others = {m.unit for pairs in (self.chunks, self.health, self.updates) for m, _ in pairs}
        return others | {record.message.unit for record in self.records}


class PictureAnswers:
    """What there is to say of the pictures of a batch that was stored."""

    def __init__(self, batch: Batch, results: list[ChunkResult]) -> None:
        """``results`` are the album's, chunk by chunk."""
        self.stored: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
        """By unit: hashes and how many bytes of each are here, for its receipt."""
        self.gaps: list[Answer] = []
        """Where units must go back to: their chunks could not be joined on."""
        self.refusals: list[Answer] = []
        """Pictures that came whole several times and never matched their hash."""
        self._sort(batch, results)

    def _sort(self, batch: Batch, results: list[ChunkResult]) -> None:
        reached: dict[tuple[str, bytes], int] = {}
        stored: dict[tuple[str, bytes], int] = {}
        hopeless: set[tuple[str, bytes]] = set()
        for (chunk, payload), result in zip(batch.chunks, results, strict=True):
            key = (chunk.unit, chunk.sha256)
            reached[key] = max(reached.get(key, 0), chunk.offset + len(chunk.data))
            stored[key] = result.stored_bytes
            if result.hopeless:
                hopeless.add(key)
                self.refusals.append(
                    nack(chunk.unit, payload, NackCode.MALFORMED, "picture does not match its hash")
                )
        for (unit, sha256), stored_bytes in stored.items():
            if (unit, sha256) in hopeless:
                continue
            if stored_bytes < reached[unit, sha256]:
                status = PictureStatus(unit, sha256, stored_bytes)
                self.gaps.append((build(unit, Channel.RECEIPT), encode_picture_status(status)))
            else:
                self.stored[unit].append((sha256, stored_bytes))


def receipts(batch: Batch, pictures: PictureAnswers, station_id: str, now_us: int) -> list[Answer]:
    """Answers to a batch that was stored: refusals and gaps of pictures, then a receipt to each unit."""
    records: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for message in (r.message for r in batch.records):
        record_id = message.read_id if isinstance(message, ReadMessage) else message.record_id
        records[message.unit].append((message.seq, record_id))
    answers = pictures.refusals + pictures.gaps
    for unit in sorted(records.keys() | pictures.stored.keys()):
        parts = zip_longest(
            _parts(records[unit], MAX_RECEIPT_RECORDS),
            _parts(pictures.stored[unit], MAX_RECEIPT_PICTURES),
            fillvalue=(),
        )
        for named_records, named_pictures in parts:
            receipt = Receipt(unit, station_id, now_us, tuple(named_records), tuple(named_pictures))
            answers.append((build(unit, Channel.RECEIPT), encode_receipt(receipt)))
    return answers


def try_again(batch: Batch) -> list[Answer]:
    """Nothing was stored: say so once to each unit, so that it waits and sends again."""
    last = {m.unit: payload for m, payload in batch.chunks}
    last |= {r.message.unit: r.payload for r in batch.records}
    return [
        nack(unit, payload, NackCode.STORAGE, "the station's disk does not take it", retry=True)
        for unit, payload in sorted(last.items())
    ]


def nack(unit: str, payload: bytes, code: NackCode, detail: str, *, retry: bool = False) -> Answer:
    """A refusal of one message."""
    refusal = Nack(unit, payload_ref(payload), code, retry, detail[:_DETAIL])
    return build(unit, Channel.RECEIPT), encode_nack(refusal)


def _parts(items: Sequence[_Item], most: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]

"""The messages to units after a commit: receipts, picture statuses, nacks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

from protocol.wire.codec import encode, payload_ref
from protocol.wire.control.receipt import (
    MAX_RECEIPT_PICTURES,
    MAX_RECEIPT_RECORDS,
    Nack,
    PictureStatus,
    Receipt,
)
from protocol.wire.enums import NackCode
from protocol.wire.topics import Channel, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from station.ingest.batch import Answer, Batch
    from station.store import ChunkResult

_Item = TypeVar("_Item")
_DETAIL = 100


@dataclass(frozen=True, slots=True)
class PictureAnswers:
    """Results for the pictures of a stored batch."""

    stored: dict[str, list[tuple[bytes, int]]]
    """By unit: hashes and number of bytes stored of each, for its receipt."""
    gaps: list[Answer]
    """Offsets from which units must continue: their chunks could not be joined."""
    refusals: list[Answer]
    """Pictures that were received completely several times and never matched their hash."""


def picture_answers(batch: Batch, results: list[ChunkResult]) -> PictureAnswers:
    """Group the results of chunks by the messages for their units.

    A chunk after a gap is kept, and the bytes before the gap are receipted: another consumer may have what fills it.
    A unit is asked to go back once its last chunk has arrived and bytes are missing, or if a chunk could not be kept.
    """
    said = PictureAnswers(defaultdict(list), [], [])
    stored: dict[tuple[str, bytes], int] = {}
    wanting: set[tuple[str, bytes]] = set()
    hopeless: set[tuple[str, bytes]] = set()
    for (chunk, payload), result in zip(batch.chunks, results, strict=True):
        key = (chunk.unit, chunk.sha256)
        stored[key] = result.stored_bytes
        if not result.kept or chunk.offset + len(chunk.data) == chunk.total_bytes > result.stored_bytes:
            wanting.add(key)
        elif result.stored_bytes == chunk.total_bytes:
            wanting.discard(key)
        if result.hopeless:
            hopeless.add(key)
            said.refusals.append(nack(chunk.unit, payload, NackCode.MALFORMED, "picture does not match its hash"))
    for (unit, sha256), stored_bytes in stored.items():
        if (unit, sha256) in hopeless:
            continue
        if (unit, sha256) in wanting:
            status = PictureStatus(unit=unit, sha256=sha256, offset=stored_bytes)
            said.gaps.append((build(unit, Channel.RECEIPT), encode(status)))
        else:
            said.stored[unit].append((sha256, stored_bytes))
    return said


def receipts(batch: Batch, pictures: PictureAnswers, station_id: str, now_us: int) -> list[Answer]:
    """Messages after a stored batch: nacks and picture statuses, then a receipt to each unit."""
    records: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for taken in batch.records:
        envelope = taken.new.record.envelope
        records[envelope.unit].append((envelope.seq, envelope.record_id))
    answers = pictures.refusals + pictures.gaps
    for unit in sorted(records.keys() | pictures.stored.keys()):
        parts = zip_longest(
            _parts(records[unit], MAX_RECEIPT_RECORDS),
            _parts(pictures.stored[unit], MAX_RECEIPT_PICTURES),
            fillvalue=(),
        )
        for named_records, named_pictures in parts:
            receipt = Receipt(
                unit=unit,
                station=station_id,
                stored_us=now_us,
                records=tuple(named_records),
                pictures=tuple(named_pictures),
            )
            answers.append((build(unit, Channel.RECEIPT), encode(receipt)))
    return answers


def try_again(batch: Batch) -> list[Answer]:
    """Messages after a failed commit: one nack to each unit, so that it waits and sends again."""
    last = {m.unit: payload for m, payload in batch.chunks}
    last |= {taken.unit: taken.payload for taken in batch.records}
    return [
        nack(unit, payload, NackCode.STORAGE, "the station cannot write to its database", retry=True)
        for unit, payload in sorted(last.items())
    ]


def nack(unit: str, payload: bytes, code: NackCode, detail: str, *, retry: bool = False) -> Answer:
    """Return the nack of one message."""
    # A detail may quote received text: only printable characters are sent.
    shown = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in detail[:_DETAIL])
    refusal = Nack(unit=unit, ref=payload_ref(payload), code=code, retry=retry, detail=shown)
    return build(unit, Channel.RECEIPT), encode(refusal)


def _parts(items: Sequence[_Item], limit: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), limit):
        yield items[start : start + limit]

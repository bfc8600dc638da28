"""Signed records of a unit in a station's store, as tests of evidence and reports need them."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from agent.geotag.read_maker import picture_ref
from agent.records import Picture
from protocol.seal import KeyRing, OpenedRecord, SigningKey
from protocol.seal.evidence import START, decode_signed, sign
from protocol.seal.keys import StationKey
from protocol.wire.control.chunk import MAX_CHUNK_BYTES, PictureChunk
from protocol.wire.enums import DispositionAction, HitStage, PictureKind
from station.store import NewRecord
from tests.builders import BOOT, UTC_NS, make_read_record, make_record
from tests.hit_builders import make_disposition, make_hit_body

if TYPE_CHECKING:
    from protocol.wire.record import Record
    from protocol.wire.registry import RecordBody
    from station.store import Store

NOW_US = UTC_NS // 1000 + 86_400_000_000
READ_ID = bytes(range(64, 80))
HIT_ID = bytes(range(32, 48))


def jpeg(text: str, width: int = 160, height: int = 40) -> bytes:
    """A small picture that differs by its text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    shades = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(shades.repeat(8, axis=0).repeat(8, axis=1)).save(out, "JPEG", quality=85)
    return out.getvalue()


class SignedUnit:
    """A unit that signs and chains its records, and a station that has them."""

    def __init__(self, store: Store, unit: str = "unit-07", *, now_us: int = NOW_US) -> None:
        self.store = store
        self.unit = unit
        self.key = SigningKey.generate()
        self.seq = 0
        self.now_us = now_us
        self._link = START

    def ring(self, *, receipts: SigningKey | None = None) -> KeyRing:
        station = StationKey.generate()
        return KeyRing({station.id: station}, receipts=receipts).with_unit(self.unit, self.key.public)

    def add(self, *bodies: RecordBody, record_id: bytes | None = None, boot_id: bytes = BOOT) -> list[Record]:
        """Sign and store records of these bodies."""
        made = []
        for body in bodies:
            self.seq += 1
            made.append(make_record(body, seq=self.seq, unit=self.unit, boot_id=boot_id, record_id=record_id))
        self.store_signed(made)
        return made

    def store_signed(self, records: list[Record]) -> None:
        new = []
        for record in records:
            e = record.envelope
            salt = hashlib.sha256(f"{self.unit}{e.seq}".encode()).digest()[:16]
            signed, self._link = sign(self.key, e.unit, e.seq, self._link, record=record.payload, salt=salt)
            evidence = decode_signed(signed).evidence(e.unit, e.seq)
            new.append(NewRecord(record, OpenedRecord(e.unit, e.seq, e.record_id, record.payload, salt, evidence)))
        with self.store.transaction():
            self.store.add_records(new, self.now_us)
            self.store.note_seen([self.unit], self.now_us)

    def picture(self, kind: PictureKind, content: bytes) -> Picture:
        """A picture that the station has."""
        sha256 = hashlib.sha256(content).digest()
        with self.store.transaction():
            for at in range(0, len(content), MAX_CHUNK_BYTES):
                part = content[at : at + MAX_CHUNK_BYTES]
                chunk = PictureChunk(
                    unit=self.unit, boot_id=BOOT, read_id=READ_ID, kind=kind, sha256=sha256,
                    total_bytes=len(content), offset=at, data=part,
                )  # fmt: skip
                self.store.add_chunk(chunk, self.now_us)
        with Image.open(io.BytesIO(content)) as opened:
            width_px, height_px = opened.size
        return Picture(kind, sha256, content, width_px, height_px)

    def read(self, number: int = 1, **other: Any) -> Record:
        self.seq += 1
        record = make_read_record(number, seq=self.seq, unit=self.unit, **other)
        self.store_signed([record])
        return record

    def hit_with_story(self, text: str = "7ABC123", **other: Any) -> bytes:
        """A read, both stages of its hit, and what an officer decided; returns the read's id."""
        pictures = (
            self.picture(PictureKind.PLATE, jpeg(f"plate {text}")),
            self.picture(PictureKind.OVERVIEW, jpeg(f"scene {text}", 640, 360)),
        )
        self.read(1, text=text, retention="hit", read_id=READ_ID, pictures=pictures, **other)
        ids: dict[str, Any] = {"hit_id": HIT_ID, "read_id": READ_ID, "pictures": tuple(map(picture_ref, pictures))}
        self.add(make_hit_body(text, **ids), make_hit_body(text, **{**ids, "stage": HitStage.FINAL}))
        self.add(
            make_disposition(DispositionAction.ACKNOWLEDGED, hit_id=HIT_ID, officer=""),
            make_disposition(hit_id=HIT_ID),
            make_disposition(DispositionAction.OUTCOME, hit_id=HIT_ID),
        )
        return READ_ID

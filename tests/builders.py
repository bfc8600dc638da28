"""Records for tests: everything has a sensible default, each test names what it is about."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.geotag.read_maker import box_px, picture_ref
from agent.geotag.units import place_of, probability_u8, time_quality, to_us
from agent.records import (
    Box,
    CharRead,
    Detection,
    Fix,
    Geotag,
    Picture,
    PlateText,
    Read,
    Sighting,
    TimeTag,
    Track,
)
from agent.sync.encoder import RecordEncoder
from hw.ports import Frame
from protocol.wire.enums import FixQuality, GeotagMethod, Lost, LostReason, PictureKind, TimeSource
from protocol.wire.parts import Retention
from protocol.wire.record import Envelope, Record, derived_record_id, encode_record
from protocol.wire.records.audit import AUDIT_START, Audit
from protocol.wire.records.purge import Purge
from protocol.wire.records.read import Read as ReadBody
from protocol.wire.records.time_anchor import TimeAnchor
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.released import released_registry

if TYPE_CHECKING:
    from protocol.wire.registry import RecordBody

NS_PER_S = 1_000_000_000
UTC_NS = 1_780_000_000 * NS_PER_S
BOOT = bytes(range(16))
WHEN = TimeTag(UTC_NS, TimeSource.GNSS, 150.0)
WHERE = Geotag(GeotagMethod.INTERPOLATED, 45.0, -100.0, 4.5, 100, 10.0, 90.0, 12.0, 0.9, 9, FixQuality.GNSS)


def make_frame(
    *, seq: int = 0, t_mono_ns: int = 0, camera: str = "front", width: int = 64, height: int = 48
) -> Frame:
    rgb = np.full((height, width, 3), 90, np.uint8)
    return Frame(seq, camera, t_mono_ns, rgb, 8000, 1.0)


def make_plate(text: str = "7ABC123", *, confidence: float = 0.95, region: str = "US-CA") -> PlateText:
    return PlateText(tuple(CharRead(c, 0.98) for c in text), confidence, region, 0.9)


def make_sighting(text: str = "7ABC123", *, t_mono_ns: int = 0, box: Box | None = None, **plate: Any) -> Sighting:
    frame = make_frame(t_mono_ns=t_mono_ns)
    box = box or Box(10, 10, 42, 26)
    crop = frame.rgb[10:26, 10:42]
    return Sighting(frame, Detection(box, 0.9), make_plate(text, **plate), crop)


def make_track(text: str = "7ABC123", *, t_mono_ns: int = 0, n: int = 3, **plate: Any) -> Track:
    best = make_sighting(text, t_mono_ns=t_mono_ns, **plate)
    return Track(1, "front", best.plate, best, n, n, t_mono_ns, t_mono_ns)


def make_fix(t_mono_ns: int = 0, *, lat_deg: float = 45.0, lon_deg: float = -100.0, **other: Any) -> Fix:
    values: dict[str, Any] = {
        "utc_ns": UTC_NS + t_mono_ns,
        "alt_m": 12.0,
        "speed_mps": 10.0,
        "course_deg": 90.0,
        "hdop": 0.9,
        "satellites": 9,
        "quality": FixQuality.GNSS,
        "error_m": 4.5,
    }
    return Fix(t_mono_ns=t_mono_ns, lat_deg=lat_deg, lon_deg=lon_deg, **{**values, **other})


def make_picture(kind: PictureKind = PictureKind.PLATE, *, content: bytes = b"jpeg") -> Picture:
    return Picture(kind, hashlib.sha256(content).digest(), content, 32, 16)


def make_read(
    number: int = 1, *, text: str = "7ABC123", pictures: tuple[Picture, ...] | None = None, **other: Any
) -> Read:
    """Different numbers give different ids and pictures.

    ``when`` (TimeTag), ``where`` (Geotag), ``box`` (Box) and ``retention`` are given as the stages have them, anything
    else as the body's fields.
    """
    if pictures is None:
        pictures = (
            make_picture(content=b"plate %d" % number * 40),
            make_picture(PictureKind.OVERVIEW, content=b"scene %d" % number * 400),
        )
    when = other.pop("when", WHEN)
    time_us = number * NS_PER_S // 1000
    if when is WHEN:
        when = replace(WHEN, utc_ns=UTC_NS + number * NS_PER_S)
    read_id = other.pop("read_id", number.to_bytes(16, "big"))
    plate = make_plate(text)
    values: dict[str, Any] = {
        "camera": "front",
        "camera_role": "front",
        "utc_us": None if when.utc_ns is None else to_us(when.utc_ns),
        "time": time_quality(when.source, when.uncertainty_ms),
        "mono_us": time_us,
        "mono_first_us": time_us,
        "mono_last_us": time_us + 400_000,
        "n_sightings": 3,
        "n_agreeing": 3,
        "single_frame": False,
        "text": text,
        "raw": text,
        "confidence_e4": 9500,
        "char_confidence_u8": bytes([probability_u8(0.98)] * len(text)),
        "alternatives": (("7A8C123", 200),),
        "region": "US-CA",
        "region_confidence_e4": 9000,
        "box_px": box_px(other.pop("box", Box(10, 10, 42, 26)), 64, 48),
        "frame_px": (64, 48),
        "place": place_of(other.pop("where", WHERE)),
        "track_id": number,
        "pictures": tuple(picture_ref(picture) for picture in pictures),
        "software": "patrol-lpr test",
        "models": ("plate-det@00000000", "plate-ocr@00000000"),
        "retention": Retention(policy_class=other.pop("retention", "nonhit")),
    }
    return Read(read_id, plate, ReadBody(**{**values, **other}), pictures)


def make_record(
    body: RecordBody,
    *,
    seq: int = 1,
    unit: str = "unit-07",
    boot_id: bytes = BOOT,
    record_id: bytes | None = None,
    life: bytes = b"",
) -> Record:
    """A record as a station decodes it."""
    envelope = Envelope(
        schema_id=body.SCHEMA,
        unit=unit,
        agency="Example Sheriff",
        boot_id=boot_id,
        seq=seq,
        record_id=record_id or derived_record_id(boot_id, seq, life),
        life=life,
    )
    return Record(envelope, body, encode_record(envelope, body))


def make_read_record(
    number: int = 1, *, seq: int = 1, unit: str = "unit-07", boot_id: bytes = BOOT, life: bytes = b"", **other: Any
) -> Record:
    """The record of ``make_read(number, **other)``."""
    read = make_read(number, **other)
    return make_record(read.body, seq=seq, unit=unit, boot_id=boot_id, record_id=read.read_id, life=life)


def make_time_anchor(t_mono_ns: int = 0, *, boot_id: bytes = BOOT, utc_us: int | None = None) -> TimeAnchor:
    return TimeAnchor(
        anchored_boot_id=boot_id,
        mono_us=to_us(t_mono_ns),
        utc_us=to_us(UTC_NS + t_mono_ns) if utc_us is None else utc_us,
        time=time_quality(TimeSource.GNSS, 150.0),
    )


def make_tombstone(*ranges: tuple[int, int], lost: Lost = Lost.READ, **other: Any) -> Tombstone:
    values: dict[str, Any] = {
        "lost": lost,
        "reason": LostReason.BUDGET,
        "count": sum(last - first + 1 for first, last in ranges),
        "size_bytes": 1000,
        "ranges": ranges,
    }
    return Tombstone(**{**values, **other})


def make_audit(n: int = 1, *, prev: bytes = AUDIT_START, **other: Any) -> Audit:
    values: dict[str, Any] = {
        "who": "4711",
        "action": "look_up",
        "obj": "7ABC123",
        "purpose": "stolen vehicle",
        "case_number": "2026-0042",
        "outcome": "ok",
        "mono_us": 60_000_000,
        "utc_us": UTC_NS // 1000,
        "time": time_quality(TimeSource.GNSS, 150.0),
    }
    return Audit(n=n, prev=prev, **{**values, **other})


def make_purge(**other: Any) -> Purge:
    values: dict[str, Any] = {
        "policy": "us-xx/3",
        "records": (("read/1", 12),),
        "pictures": 24,
        "first_due_us": UTC_NS // 1000 - 4_000_000,
        "deleted_us": UTC_NS // 1000,
        "time": time_quality(TimeSource.GNSS, 150.0),
        "mono_us": 60_000_000,
        "reason": "expired",
    }
    return Purge(**{**values, **other})


def make_encoder(unit: str = "unit-07", *, boot_id: bytes = BOOT) -> RecordEncoder:
    return RecordEncoder(unit, "Example Sheriff", boot_id, released_registry())

"""Records for tests: everything has a sensible default, each test names what it is about."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

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
    TimeAnchor,
    TimeTag,
    Track,
)
from agent.sync.encoder import RecordEncoder
from hw.ports import Frame
from protocol.wire.enums import FixQuality, GeotagMethod, PictureKind, TimeSource

NS_PER_S = 1_000_000_000
UTC_NS = 1_780_000_000 * NS_PER_S
BOOT = bytes(range(16))


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
    """Different numbers give different ids and pictures."""
    if pictures is None:
        pictures = (
            make_picture(content=b"plate %d" % number * 40),
            make_picture(PictureKind.OVERVIEW, content=b"scene %d" % number * 400),
        )
    values: dict[str, Any] = {
        "read_id": number.to_bytes(16, "big"),
        "camera": "front",
        "camera_role": "front",
        "text": text,
        "raw": text,
        "confidence": 0.95,
        "char_confidence": (0.98,) * len(text),
        "alternatives": (("7A8C123", 0.02),),
        "region": "US-CA",
        "region_confidence": 0.9,
        "single_frame": False,
        "n_sightings": 3,
        "n_agreeing": 3,
        "t_mono_ns": number * NS_PER_S,
        "t_first_mono_ns": number * NS_PER_S,
        "t_last_mono_ns": number * NS_PER_S + 400_000_000,
        "when": TimeTag(UTC_NS + number * NS_PER_S, TimeSource.GNSS, 150.0),
        "where": Geotag(
            GeotagMethod.INTERPOLATED, 45.0, -100.0, 4.5, 100, 10.0, 90.0, 12.0, 0.9, 9, FixQuality.GNSS
        ),
        "box": Box(10, 10, 42, 26),
        "frame_width_px": 64,
        "frame_height_px": 48,
        "track_id": number,
        "pictures": pictures,
        "models": ("plate-det@00000000", "plate-ocr@00000000"),
        "software": "patrol-lpr test",
    }
    return Read(**{**values, **other})


def make_dating(t_mono_ns: int = 0) -> TimeAnchor:
    return TimeAnchor(BOOT, t_mono_ns, UTC_NS + t_mono_ns, TimeSource.GNSS, 150.0)


def make_encoder(unit: str = "unit-07", *, boot_id: bytes = BOOT) -> RecordEncoder:
    return RecordEncoder(unit, "Example Sheriff", boot_id)

"""``read/1``: one plate that passed once, with geotag, time and pictures.

Numbers are integers, which hash and compare the same everywhere: microseconds, 1e-7 degrees, centimetres, probabilities
times 10,000.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import (
    E4,
    U16,
    U16_MAX,
    U32,
    U63,
    Flag,
    Text16,
    Text32,
    Text36,
    Text64,
    Text128,
    key,
)
from protocol.wire.enums import Lost, MotionKind
from protocol.wire.parts import PictureRef, Place, Retention, TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

Extent = Annotated[int, Field(strict=True, ge=1, le=U16_MAX)]


class Read(RecordBody):
    """The body of a read; its record id is the read's id."""

    SCHEMA: ClassVar[str] = "read/1"

    camera: Annotated[Text36, key("cam")]
    camera_role: Annotated[Text36, key("cam_role")]
    utc_us: Annotated[U63 | None, key("t")]
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    """Start of the exposure of the frame that was read."""
    mono_first_us: Annotated[U63, key("mono0")]
    mono_last_us: Annotated[U63, key("mono1")]
    n_sightings: Annotated[U16, key("n")]
    n_agreeing: Annotated[U16, key("na")]
    single_frame: Annotated[Flag, key("one")]
    text: Annotated[Text32, key("pl")]
    raw: Annotated[Text64, key("raw")]
    """Text of the best frame, before fusion."""
    confidence_e4: Annotated[E4, key("cf")]
    char_confidence_u8: Annotated[bytes, Field(strict=True, max_length=64), key("cc")]
    """One byte per character: probability times 255."""
    alternatives: Annotated[tuple[tuple[Text64, E4], ...], Field(max_length=8), key("alt")]
    """Alternative texts with their probabilities."""
    region: Annotated[Text16, key("js")]
    region_confidence_e4: Annotated[E4, key("jc")]
    box_px: Annotated[tuple[U16, U16, U16, U16], key("box")]
    frame_px: Annotated[tuple[Extent, Extent], key("frm")]
    """Width and height of the frame."""
    place: Annotated[Place, key("gps")]
    track_id: Annotated[U32, key("trk")]
    pictures: Annotated[tuple[PictureRef, ...], Field(max_length=8), key("img")]
    software: Annotated[Text64, key("sw")]
    models: Annotated[tuple[Text128, ...], Field(max_length=8), key("mdl")]
    retention: Annotated[Retention, key("ret")]
    motion: Annotated[Text16, key("mot")] = MotionKind.UNKNOWN.value
    """How the vehicle moved relative to the unit: one of :class:`~protocol.wire.enums.MotionKind`, or of a later
    version."""
    motion_confidence_e4: Annotated[E4, key("mot_c")] = 0
    policy: Annotated[Text64, key("pol")] = ""
    """Id and version of the policy under which it was kept, such as ``us-va/3``; empty for none."""
    expires_utc_us: Annotated[U63, key("exp")] = 0
    """UTC from which on no one may keep it; 0 if there was no policy, or the time was unknown."""
    text_hash: Annotated[bytes, Field(strict=True, max_length=16), key("hsh")] = b""
    """16 bytes: keyed hash in place of the text, which is then empty; see ``docs/privacy.md``."""
    masked: Annotated[Flag, key("msk")] = False
    """True if everything but the vehicle was removed from the overview."""

    @model_validator(mode="after")
    def _box_is_one(self) -> Self:
        x0, y0, x1, y1 = self.box_px
        if x1 < x0 or y1 < y0:
            raise ValueError("box ends before it begins")
        return self


def _when(read: Read) -> RecordTime:
    return RecordTime(read.mono_us, read.utc_us, read.time.source, read.time.uncertainty_ms)


def _export(read: Read) -> dict[str, Value]:
    return {
        "camera": read.camera,
        "role": read.camera_role,
        "plate": read.text,
        "raw": read.raw,
        "confidence": read.confidence_e4 / 1e4,
        "region": read.region,
        "region_confidence": read.region_confidence_e4 / 1e4,
        "single_look": read.single_frame,
        "sightings": read.n_sightings,
        "agreeing": read.n_agreeing,
        "motion": read.motion,
        "motion_confidence": read.motion_confidence_e4 / 1e4,
        "place_method": read.place.method.value,
        "lat_deg": read.place.lat_deg,
        "lon_deg": read.place.lon_deg,
        "error_m": read.place.error_m,
        "retention": read.retention.policy_class,
        "policy": read.policy,
        "expires_utc_us": read.expires_utc_us or None,
        "text_hash": read.text_hash.hex(),
        "masked": read.masked,
    }


RECORD_TYPE = RecordType(
    schema="read/1",
    model=Read,
    priority=Priority.NORMAL,
    evictable=True,
    lost=Lost.READ,
    retention=lambda read: read.retention.policy_class,
    when=_when,
    pictures=lambda read: read.pictures,
    projection=Projection(
        "reads",
        (
            Column("text", str, lambda read: read.text, indexed=True),
            Column("region", str, lambda read: read.region),
            Column("camera", str, lambda read: read.camera),
            Column("confidence_e4", int, lambda read: read.confidence_e4),
            Column("lat_e7", int, lambda read: read.place.lat_e7),
            Column("lon_e7", int, lambda read: read.place.lon_e7),
            Column("expires_us", int, lambda read: read.expires_utc_us),
        ),
    ),
    export=_export,
)

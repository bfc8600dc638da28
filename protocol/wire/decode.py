"""Bytes -> messages: everything is checked, and WireError is all that is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from protocol.errors import WireError
from protocol.wire.enums import (
    FixQuality,
    GeotagMethod,
    Lost,
    LostReason,
    NackCode,
    PictureKind,
    TimeSource,
    UnitState,
)
from protocol.wire.fields import I32, I63, U8, U16, U32, Fields, unpack
from protocol.wire.messages import (
    HealthMessage,
    Nack,
    PictureChunk,
    PictureRef,
    PictureStatus,
    Place,
    ReadMessage,
    Receipt,
    StatusMessage,
    TimeAnchorMessage,
    TimeQuality,
    Tombstone,
    TombstoneMessage,
)
from protocol.wire.topics import check_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

MAX_RECEIPT_RECORDS = 1_024
MAX_RECEIPT_PICTURES = 256
MAX_RANGES = 256
"""Most ranges in one tombstone."""
MAX_CHUNK_BYTES = 32_768
MAX_COUNTERS = 512
ID_BYTES = 16
SHA_BYTES = 32

RecordMessage = ReadMessage | TimeAnchorMessage | TombstoneMessage
"""What comes on ``up/read``."""
DownMessage = Receipt | Nack | PictureStatus
"""What comes on ``dn/receipt``."""

_Kind = TypeVar("_Kind", bound="StrEnum")
_Message = TypeVar("_Message")


def decode_record(payload: bytes) -> RecordMessage:
    """Decode what comes on ``up/read``; raises WireError."""
    schemas: dict[str, Callable[[Fields], RecordMessage]] = {
        "read/1": _read,
        "dating/1": _dating,
        "tomb/1": _tombstone,
    }
    return _decode(payload, schemas)


def decode_chunk(payload: bytes) -> PictureChunk:
    """Decode what comes on ``up/pic``; raises WireError."""
    return _decode(payload, {"chunk/1": _chunk})


def decode_health(payload: bytes) -> HealthMessage:
    """Decode what comes on ``up/health``; raises WireError."""
    return _decode(payload, {"health/1": _health})


def decode_status(payload: bytes) -> StatusMessage:
    """Decode what comes on ``st``; raises WireError."""
    return _decode(payload, {"status/1": _status})


def decode_down(payload: bytes) -> DownMessage:
    """Decode what comes on ``dn/receipt``; raises WireError."""
    schemas: dict[str, Callable[[Fields], DownMessage]] = {
        "receipt/1": _receipt,
        "nack/1": _nack,
        "picstat/1": _picture_status,
    }
    return _decode(payload, schemas)


def _decode(payload: bytes, schemas: Mapping[str, Callable[[Fields], _Message]]) -> _Message:
    f = Fields(unpack(payload), "message")
    schema = f.text("v", 32)
    decode = schemas.get(schema)
    if decode is None:
        raise WireError(f"schema {schema!r} is not one of {', '.join(sorted(schemas))}")
    return decode(f)


def _enum(f: Fields, key: str, kinds: type[_Kind]) -> _Kind:
    value = f.text(key, 32)
    try:
        return kinds(value)
    except ValueError:
        f.fail(key, f"is {value!r}, not one of {', '.join(kinds)}")


def _unit(f: Fields) -> str:
    return check_unit(f.text("dev", 36))


def _time(f: Fields) -> TimeQuality:
    q = f.submap("tq")
    return TimeQuality(_enum(q, "src", TimeSource), q.optional_integer("unc_ms", 0, U32))


def _read(f: Fields) -> ReadMessage:
    x0, y0, x1, y1 = f.integers("box", 4, 0, U16)
    width, height = f.integers("frm", 2, 1, U16)
    if x1 < x0 or y1 < y0:
        f.fail("box", "ends before it begins")
    return ReadMessage(
        unit=_unit(f),
        agency=f.text("agy", 36),
        boot_id=f.binary("boot", ID_BYTES, ID_BYTES),
        seq=f.integer("seq", 1, I63),
        read_id=f.binary("id", ID_BYTES, ID_BYTES),
        camera=f.text("cam", 36),
        camera_role=f.text("cam_role", 36),
        utc_us=f.optional_integer("t", 0, I63),
        time=_time(f),
        mono_us=f.integer("mono", 0, I63),
        mono_first_us=f.integer("mono0", 0, I63),
        mono_last_us=f.integer("mono1", 0, I63),
        n_sightings=f.integer("n", 0, U16),
        n_agreeing=f.integer("na", 0, U16),
        single_frame=f.flag("one"),
        text=f.text("pl", 32),
        raw=f.text("raw", 64),
        confidence_e4=f.integer("cf", 0, 10_000),
        char_confidence_u8=f.binary("cc", 0, 64),
        alternatives=tuple((row.text("0", 64), row.integer("1", 0, 10_000)) for row in f.rows("alt", 8, 2)),
        region=f.text("js", 16),
        region_confidence_e4=f.integer("jc", 0, 10_000),
        box_px=(x0, y0, x1, y1),
        frame_px=(width, height),
        place=_geotag(f.submap("gps")),
        track_id=f.integer("trk", 0, U32),
        pictures=tuple(_picture(p) for p in f.submaps("img", 8)),
        software=f.text("sw", 64),
        models=f.texts("mdl", 8, 128),
        retention=f.submap("ret").text("cls", 32),
        extra=f.extra(),
    )


def _geotag(g: Fields) -> Place:
    place = Place(
        method=_enum(g, "how", GeotagMethod),
        lat_e7=g.optional_integer("lat", -900_000_000, 900_000_000),
        lon_e7=g.optional_integer("lon", -1_800_000_000, 1_800_000_000),
        error_cm=g.optional_integer("acc_cm", 0, U32),
        fix_age_ms=g.optional_integer("age_ms", 0, U32),
        speed_cmps=g.optional_integer("spd_cms", 0, U16),
        course_cdeg=g.optional_integer("crs_cdeg", 0, 36_000),
        alt_cm=g.optional_integer("alt_cm", -I32, I32),
        hdop_c=g.optional_integer("hdop_c", 0, U16),
        satellites=g.optional_integer("sats", 0, U8),
        quality=_enum(g, "fix", FixQuality),
    )
    if (place.lat_e7 is None) != (place.lon_e7 is None):
        g.fail("lat", "and lon must both be there or both be nil")
    return place


def _picture(p: Fields) -> PictureRef:
    return PictureRef(
        kind=_enum(p, "kind", PictureKind),
        sha256=p.binary("sha", SHA_BYTES, SHA_BYTES),
        size_bytes=p.integer("len", 1, U32),
        width_px=p.integer("w", 0, U16),
        height_px=p.integer("h", 0, U16),
    )


def _dating(f: Fields) -> TimeAnchorMessage:
    return TimeAnchorMessage(
        unit=_unit(f),
        agency=f.text("agy", 36),
        boot_id=f.binary("boot", ID_BYTES, ID_BYTES),
        seq=f.integer("seq", 1, I63),
        record_id=f.binary("id", ID_BYTES, ID_BYTES),
        dated_boot_id=f.binary("of", ID_BYTES, ID_BYTES),
        mono_us=f.integer("mono", 0, I63),
        utc_us=f.integer("t", 0, I63),
        time=_time(f),
        extra=f.extra(),
    )


def _tombstone(f: Fields) -> TombstoneMessage:
    ranges = tuple((row.integer("0", 1, I63), row.integer("1", 1, I63)) for row in f.rows("rng", MAX_RANGES, 2))
    if any(last < first for first, last in ranges):
        f.fail("rng", "has a range that ends before it begins")
    tombstone = Tombstone(
        lost=_enum(f, "lost", Lost),
        reason=_enum(f, "why", LostReason),
        count=f.integer("cnt", 0, I63),
        size_bytes=f.integer("bytes", 0, I63),
        ranges=ranges,
    )
    return TombstoneMessage(
        unit=_unit(f),
        agency=f.text("agy", 36),
        boot_id=f.binary("boot", ID_BYTES, ID_BYTES),
        seq=f.integer("seq", 1, I63),
        record_id=f.binary("id", ID_BYTES, ID_BYTES),
        tombstone=tombstone,
        extra=f.extra(),
    )


def _chunk(f: Fields) -> PictureChunk:
    chunk = PictureChunk(
        unit=_unit(f),
        boot_id=f.binary("boot", ID_BYTES, ID_BYTES),
        read_id=f.binary("rid", ID_BYTES, ID_BYTES),
        kind=_enum(f, "kind", PictureKind),
        sha256=f.binary("sha", SHA_BYTES, SHA_BYTES),
        total_bytes=f.integer("len", 1, U32),
        offset=f.integer("off", 0, U32),
        data=f.binary("data", 1, MAX_CHUNK_BYTES),
        extra=f.extra(),
    )
    if chunk.offset + len(chunk.data) > chunk.total_bytes:
        f.fail("off", "and data reach beyond len")
    return chunk


def _health(f: Fields) -> HealthMessage:
    return HealthMessage(
        unit=_unit(f),
        boot_id=f.binary("boot", ID_BYTES, ID_BYTES),
        mono_us=f.integer("mono", 0, I63),
        utc_us=f.optional_integer("t", 0, I63),
        seq_high=f.integer("seq", 0, I63),
        counters=f.numbers("cnt", MAX_COUNTERS),
        gauges=f.numbers("gau", MAX_COUNTERS),
        extra=f.extra(),
    )


def _status(f: Fields) -> StatusMessage:
    return StatusMessage(
        unit=_unit(f),
        boot_id=f.binary("boot", ID_BYTES, ID_BYTES),
        state=_enum(f, "state", UnitState),
        reason=f.text("why", 256),
        software=f.text("sw", 64),
        models=f.texts("mdl", 8, 128),
        extra=f.extra(),
    )


def _receipt(f: Fields) -> Receipt:
    return Receipt(
        unit=_unit(f),
        station=f.text("sta", 36),
        stored_us=f.integer("t", 0, I63),
        records=tuple(
            (row.integer("0", 1, I63), row.binary("1", ID_BYTES, ID_BYTES))
            for row in f.rows("rec", MAX_RECEIPT_RECORDS, 2)
        ),
        pictures=tuple(
            (row.binary("0", SHA_BYTES, SHA_BYTES), row.integer("1", 0, U32))
            for row in f.rows("pic", MAX_RECEIPT_PICTURES, 2)
        ),
        extra=f.extra(),
    )


def _nack(f: Fields) -> Nack:
    return Nack(
        unit=_unit(f),
        ref=f.binary("ref", SHA_BYTES, SHA_BYTES),
        code=_enum(f, "code", NackCode),
        retry=f.flag("retry"),
        detail=f.text("why", 256),
        extra=f.extra(),
    )


def _picture_status(f: Fields) -> PictureStatus:
    return PictureStatus(
        unit=_unit(f),
        sha256=f.binary("sha", SHA_BYTES, SHA_BYTES),
        offset=f.integer("off", 0, U32),
        extra=f.extra(),
    )

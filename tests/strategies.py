"""Records and messages drawn by hypothesis, and the builders of single ones; see ``tests/builders.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from agent.records import Box, CharRead, Fix, Geotag, Picture, PlateText, Read, TimeAnchor, TimeTag, Track
from agent.sync import convert
from protocol.wire import wire
from protocol.wire.enums import FixQuality, GeotagMethod, PictureKind, TimeSource
from protocol.wire.fields import I32, I63, U8, U16, U32, pack
from tests.builders import (
    BOOT,
    NS_PER_S,
    UTC_NS,
    make_dating,
    make_encoder,
    make_fix,
    make_frame,
    make_picture,
    make_plate,
    make_read,
    make_sighting,
    make_track,
)

__all__ = [
    "BOOT",
    "NS_PER_S",
    "UTC_NS",
    "chunks",
    "datings",
    "extras",
    "fixes",
    "geotags",
    "healths",
    "make_dating",
    "make_dating_message",
    "make_encoder",
    "make_fix",
    "make_frame",
    "make_picture",
    "make_plate",
    "make_read",
    "make_read_message",
    "make_sighting",
    "make_track",
    "nacks",
    "picture_statuses",
    "plates",
    "read_messages",
    "reads",
    "receipts",
    "statuses",
    "time_tags",
    "tombstones",
    "tracks",
]

UNITS = st.text("ABCXYZabcxyz0189_-", min_size=1, max_size=36)
IDS = st.binary(min_size=16, max_size=16)
HASHES = st.binary(min_size=32, max_size=32)
SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PLATE_TEXTS = st.text(SYMBOLS, max_size=10)
UTC_US = st.integers(0, I63)
PROBABILITIES = st.floats(0, 1)


def printable(limit: int, *, least: int = 0) -> st.SearchStrategy[str]:
    """What the wire takes as text, beyond ASCII included."""
    characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))
    return st.text(characters.filter(str.isprintable), min_size=least, max_size=limit)


# Records of the agent


@st.composite
def plates(draw: st.DrawFn, texts: st.SearchStrategy[str] = PLATE_TEXTS) -> PlateText:
    """Plate texts whose characters have probabilities that sum to at most one."""
    chars = []
    for symbol in draw(texts):
        others = draw(st.lists(st.sampled_from(["", *SYMBOLS]), max_size=4, unique=True))
        weights = [draw(st.floats(0.01, 1)) for _ in range(len(others) + 1)]
        total = sum(weights)
        shares = sorted((w / total for w in weights), reverse=True)
        kept = tuple((o, p) for o, p in zip(others, shares[1:], strict=True) if o != symbol)
        chars.append(CharRead(symbol, shares[0], kept))
    return PlateText(
        tuple(chars), draw(PROBABILITIES), draw(st.sampled_from(["?", "US-CA", "MX", "EU"])), draw(PROBABILITIES)
    )


def fixes() -> st.SearchStrategy[Fix]:
    """Any fix a receiver may give, poles and antimeridian included."""
    return st.builds(
        make_fix,
        st.integers(0, 10**15),
        lat_deg=st.floats(-90, 90),
        lon_deg=st.floats(-180, 180),
        speed_mps=st.floats(0, 60),
        course_deg=st.none() | st.floats(0, 360, exclude_max=True),
        quality=st.sampled_from([q for q in FixQuality if q is not FixQuality.NONE]),
        error_m=st.floats(0.1, 100),
    )


@st.composite
def geotags(draw: st.DrawFn) -> Geotag:
    """Any place a stage may give; numbers without bounds, because the wire must clamp them."""
    method = draw(st.sampled_from(GeotagMethod))
    if method is GeotagMethod.NONE:
        return Geotag(method)
    numbers = st.none() | st.floats()
    return Geotag(
        method=method,
        lat_deg=draw(st.floats(-90, 90)),
        lon_deg=draw(st.floats(-180, 180)),
        error_m=draw(numbers),
        fix_age_ms=draw(st.none() | st.integers(0, 10**12)),
        speed_mps=draw(numbers),
        course_deg=draw(st.none() | st.floats(0, 360, exclude_max=True)),
        alt_m=draw(numbers),
        hdop=draw(numbers),
        satellites=draw(st.none() | st.integers(0, 10**6)),
        quality=draw(st.sampled_from(FixQuality)),
    )


@st.composite
def time_tags(draw: st.DrawFn) -> TimeTag:
    source = draw(st.sampled_from(TimeSource))
    if source is TimeSource.NONE:
        return TimeTag(None, source, None)
    return TimeTag(draw(st.integers(0, 2**63)), source, draw(st.floats(0)))


def pictures() -> st.SearchStrategy[Picture]:
    return st.builds(make_picture, st.sampled_from(PictureKind), content=st.binary(min_size=1, max_size=64))


def reads() -> st.SearchStrategy[Read]:
    """Any read the stages may make."""
    return st.builds(
        make_read,
        st.integers(1, 2**40),
        text=PLATE_TEXTS,
        raw=PLATE_TEXTS,
        confidence=PROBABILITIES,
        char_confidence=st.lists(PROBABILITIES, max_size=10).map(tuple),
        alternatives=st.lists(st.tuples(PLATE_TEXTS, PROBABILITIES), max_size=5).map(tuple),
        region_confidence=PROBABILITIES,
        single_frame=st.booleans(),
        n_sightings=st.integers(1, 10**6),
        n_agreeing=st.integers(0, 10**6),
        t_mono_ns=st.integers(0, 2**63),
        when=time_tags(),
        where=geotags(),
        box=st.builds(Box, *[st.floats(-1e6, 1e6)] * 4),
        frame_width_px=st.integers(1, 10**6),
        frame_height_px=st.integers(1, 10**6),
        track_id=st.integers(0, 2**40),
        pictures=st.lists(pictures(), max_size=2).map(tuple),
    )


@st.composite
def tracks(draw: st.DrawFn, texts: st.SearchStrategy[str] = PLATE_TEXTS) -> Track:
    n = draw(st.integers(1, 20))
    track = make_track(draw(texts), t_mono_ns=draw(st.integers(0, 10**12)), n=n, confidence=draw(PROBABILITIES))
    return replace(track, n_agreeing=draw(st.integers(1, n)))


# Messages of the wire

PLAIN_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text("añb☂", max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=3), inner, max_size=3),
    max_leaves=4,
)


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def unknown_keys() -> st.SearchStrategy[dict[str, Any]]:
    """Keys of a version to come: no key of today starts with ``x_``."""
    shallow = PLAIN_VALUES.filter(lambda value: _depth(value) <= 4).map(_sorted)
    return st.dictionaries(st.text("abc", max_size=4).map(lambda name: f"x_{name}"), shallow, max_size=3)


def extras() -> st.SearchStrategy[bytes]:
    return unknown_keys().map(lambda keys: pack(keys) if keys else b"")


def _optional(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(low, high)


TIMES = st.builds(wire.TimeQuality, st.sampled_from(TimeSource), _optional(0, U32))


@st.composite
def places(draw: st.DrawFn) -> wire.Place:
    known = draw(st.booleans())
    return wire.Place(
        method=draw(st.sampled_from(GeotagMethod)),
        lat_e7=draw(st.integers(-900_000_000, 900_000_000)) if known else None,
        lon_e7=draw(st.integers(-1_800_000_000, 1_800_000_000)) if known else None,
        error_cm=draw(_optional(0, U32)),
        fix_age_ms=draw(_optional(0, U32)),
        speed_cmps=draw(_optional(0, U16)),
        course_cdeg=draw(_optional(0, 36_000)),
        alt_cm=draw(_optional(-I32, I32)),
        hdop_c=draw(_optional(0, U16)),
        satellites=draw(_optional(0, U8)),
        quality=draw(st.sampled_from(FixQuality)),
    )


PICTURE_REFS = st.builds(
    wire.PictureRef,
    st.sampled_from(PictureKind),
    HASHES,
    st.integers(1, U32),
    st.integers(0, U16),
    st.integers(0, U16),
)
BOXES = st.tuples(*[st.integers(0, U16)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def read_messages() -> st.SearchStrategy[wire.ReadMessage]:
    return st.builds(
        wire.ReadMessage,
        unit=UNITS,
        agency=printable(36),
        boot_id=IDS,
        seq=st.integers(1, I63),
        read_id=IDS,
        camera=printable(36),
        camera_role=printable(36),
        utc_us=st.none() | UTC_US,
        time=TIMES,
        mono_us=st.integers(0, I63),
        mono_first_us=st.integers(0, I63),
        mono_last_us=st.integers(0, I63),
        n_sightings=st.integers(0, U16),
        n_agreeing=st.integers(0, U16),
        single_frame=st.booleans(),
        text=printable(32),
        raw=printable(64),
        confidence_e4=st.integers(0, 10_000),
        char_confidence_u8=st.binary(max_size=64),
        alternatives=st.lists(st.tuples(printable(64), st.integers(0, 10_000)), max_size=8).map(tuple),
        region=printable(16),
        region_confidence_e4=st.integers(0, 10_000),
        box_px=BOXES,
        frame_px=st.tuples(st.integers(1, U16), st.integers(1, U16)),
        place=places(),
        track_id=st.integers(0, U32),
        pictures=st.lists(PICTURE_REFS, max_size=8).map(tuple),
        software=printable(64),
        models=st.lists(printable(128), max_size=8).map(tuple),
        retention=printable(32),
        extra=extras(),
    )


def datings() -> st.SearchStrategy[wire.TimeAnchorMessage]:
    return st.builds(
        wire.TimeAnchorMessage,
        unit=UNITS,
        agency=printable(36),
        boot_id=IDS,
        seq=st.integers(1, I63),
        record_id=IDS,
        dated_boot_id=IDS,
        mono_us=st.integers(0, I63),
        utc_us=UTC_US,
        time=TIMES,
        extra=extras(),
    )


RANGES = st.tuples(st.integers(1, I63), st.integers(1, I63)).map(lambda r: (min(r), max(r)))


def tombstones() -> st.SearchStrategy[wire.TombstoneMessage]:
    return st.builds(
        wire.TombstoneMessage,
        unit=UNITS,
        agency=printable(36),
        boot_id=IDS,
        seq=st.integers(1, I63),
        record_id=IDS,
        tombstone=st.builds(
            wire.Tombstone,
            st.sampled_from(wire.Lost),
            st.sampled_from(wire.LostReason),
            st.integers(0, I63),
            st.integers(0, I63),
            st.lists(RANGES, max_size=8).map(tuple),
        ),
        extra=extras(),
    )


@st.composite
def chunks(draw: st.DrawFn) -> wire.PictureChunk:
    data = draw(st.binary(min_size=1, max_size=256))
    offset = draw(st.integers(0, U32 - len(data)))
    return wire.PictureChunk(
        unit=draw(UNITS),
        boot_id=draw(IDS),
        read_id=draw(IDS),
        kind=draw(st.sampled_from(PictureKind)),
        sha256=draw(HASHES),
        total_bytes=draw(st.integers(offset + len(data), U32)),
        offset=offset,
        data=data,
        extra=draw(extras()),
    )


NUMBERS = st.dictionaries(printable(64, least=1), st.integers(-I63, I63), max_size=8).map(
    lambda numbers: tuple(sorted(numbers.items()))
)


def healths() -> st.SearchStrategy[wire.HealthMessage]:
    return st.builds(
        wire.HealthMessage,
        unit=UNITS,
        boot_id=IDS,
        mono_us=st.integers(0, I63),
        utc_us=st.none() | UTC_US,
        seq_high=st.integers(0, I63),
        counters=NUMBERS,
        gauges=NUMBERS,
        extra=extras(),
    )


def statuses() -> st.SearchStrategy[wire.StatusMessage]:
    return st.builds(
        wire.StatusMessage,
        unit=UNITS,
        boot_id=IDS,
        state=st.sampled_from(wire.UnitState),
        reason=printable(64),
        software=printable(64),
        models=st.lists(printable(128), max_size=8).map(tuple),
        extra=extras(),
    )


def receipts() -> st.SearchStrategy[wire.Receipt]:
    return st.builds(
        wire.Receipt,
        unit=UNITS,
        station=printable(36),
        stored_us=UTC_US,
        records=st.lists(st.tuples(st.integers(1, I63), IDS), max_size=8).map(tuple),
        pictures=st.lists(st.tuples(HASHES, st.integers(0, U32)), max_size=8).map(tuple),
        extra=extras(),
    )


def nacks() -> st.SearchStrategy[wire.Nack]:
    return st.builds(
        wire.Nack,
        unit=UNITS,
        ref=HASHES,
        code=st.sampled_from(wire.NackCode),
        retry=st.booleans(),
        detail=printable(64),
        extra=extras(),
    )


def picture_statuses() -> st.SearchStrategy[wire.PictureStatus]:
    return st.builds(wire.PictureStatus, unit=UNITS, sha256=HASHES, offset=st.integers(0, U32), extra=extras())


def offers() -> st.SearchStrategy[wire.UpdateOffer]:
    return st.builds(
        wire.UpdateOffer,
        unit=UNITS,
        release=st.integers(1, U32),
        sha256=HASHES,
        size_bytes=st.integers(1, I63),
        attempt=st.integers(0, U32),
        parts=st.lists(printable(16), max_size=8).map(tuple),
        extra=extras(),
    )


def update_bytes() -> st.SearchStrategy[wire.UpdateBytes]:
    return st.builds(
        wire.UpdateBytes,
        unit=UNITS,
        sha256=HASHES,
        offset=st.integers(0, I63),
        data=st.binary(min_size=1, max_size=256),
        extra=extras(),
    )


def chunk_requests() -> st.SearchStrategy[wire.ChunkRequest]:
    return st.builds(
        wire.ChunkRequest, unit=UNITS, boot_id=IDS, sha256=HASHES, offset=st.integers(0, I63), extra=extras()
    )


def update_reports() -> st.SearchStrategy[wire.UpdateReport]:
    return st.builds(
        wire.UpdateReport,
        unit=UNITS,
        boot_id=IDS,
        running=st.integers(0, U32),
        committed=st.integers(0, U32),
        release=st.integers(0, U32),
        state=st.sampled_from(wire.UpdateState),
        reason=printable(64),
        fetched_bytes=st.integers(0, I63),
        config_sha256=HASHES,
        extra=extras(),
    )


def make_read_message(number: int = 1, *, seq: int = 1, unit: str = "unit-07", **other: Any) -> wire.ReadMessage:
    """The message of ``make_read(number, **other)``."""
    read = make_read(number, **other)
    return convert.read_message(read, unit=unit, agency="Example Sheriff", boot_id=BOOT, seq=seq)


def make_dating_message(
    t_mono_ns: int = 0, *, seq: int = 1, dating: TimeAnchor | None = None
) -> wire.TimeAnchorMessage:
    told = dating or make_dating(t_mono_ns)
    return convert.time_anchor_message(told, unit="unit-07", agency="Example Sheriff", boot_id=BOOT, seq=seq)

"""Records and messages drawn by hypothesis, and the builders of single ones; see ``tests/builders.py``."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from agent.geotag.read_maker import ReadMaker
from agent.pictures import PictureMaker
from agent.read_id import ReadIdMint
from agent.records import CharRead, Fix, Geotag, Picture, PlateText, Read, TimeTag, Track
from protocol.wire.codec import I63_MAX, U16_MAX, U32_MAX, Message, Part
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.log_checkpoint import LogCheckpoint, LogWitness
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart, UpdateReport
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import FixQuality, GeotagMethod, PictureKind, TimeSource
from protocol.wire.record import Envelope, Record, encode_record
from protocol.wire.records.coverage import Coverage
from protocol.wire.records.hit import Hit as HitBody
from protocol.wire.records.read import Read as ReadBody
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.records.track_point import TrackPoints
from protocol.wire.released import released_registry
from tests.builders import make_fix, make_picture, make_track

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.wire.registry import RecordBody

UNITS = st.text("ABCXYZabcxyz0189_-", min_size=1, max_size=36)
IDS = st.binary(min_size=16, max_size=16)
HASHES = st.binary(min_size=32, max_size=32)
SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PLATE_TEXTS = st.text(SYMBOLS, max_size=10)
PROBABILITIES = st.floats(0, 1)


def printable(limit: int, *, minimum: int = 0) -> st.SearchStrategy[str]:
    """What the wire takes as text, beyond ASCII included."""
    characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))
    return st.text(characters.filter(str.isprintable), min_size=minimum, max_size=limit)


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
    """Any read the stages may make: tracks of any kind, made into reads by the product's own maker."""
    maker = ReadMaker(ReadIdMint(bytes), PictureMaker(), ("ocr@00000000",), "patrol-lpr test", {"front": "front"})
    return st.builds(maker.make, tracks(), time_tags(), geotags())


@st.composite
def tracks(draw: st.DrawFn, texts: st.SearchStrategy[str] = PLATE_TEXTS) -> Track:
    n = draw(st.integers(1, 20))
    track = make_track(draw(texts), t_mono_ns=draw(st.integers(0, 10**12)), n=n, confidence=draw(PROBABILITIES))
    return replace(track, n_agreeing=draw(st.integers(1, n)))


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


# Messages of the wire: drawn from their declarations


_OVERRIDES: dict[tuple[type, str], st.SearchStrategy[Any]] = {}
_FITTED: dict[type, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Makes fields that belong together fit, where drawing again until they do would take long."""


def _integers(metadata: list[Any]) -> st.SearchStrategy[int]:
    low = next((m.ge for m in metadata if isinstance(m, annotated_types.Ge)), None)
    high = next((m.le for m in metadata if isinstance(m, annotated_types.Le)), None)
    return st.integers(low, high)


def _lengths(metadata: list[Any], limit: int) -> tuple[int, int]:
    low = next((m.min_length for m in metadata if getattr(m, "min_length", None) is not None), 0)
    high = next((m.max_length for m in metadata if getattr(m, "max_length", None) is not None), limit)
    return low, max(low, min(high, limit))


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    """Constraints of an annotation, those inside pydantic's own groups included."""
    found: list[Any] = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            found += _flat(tuple(item.metadata))
        else:
            found.append(item)
    return found


def values(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Values that a field so declared takes."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(args[0], (*metadata, *args[1:]))
    if origin is not None:
        return _containers(origin, args, _flat(metadata))
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if issubclass(annotation, Part):
        return messages(annotation)
    return _scalars(annotation, _flat(metadata))


def _containers(origin: Any, args: tuple[Any, ...], found: list[Any]) -> st.SearchStrategy[Any]:
    if origin in {Union, UnionType}:
        return st.one_of([values(arg) for arg in args])
    if origin is dict:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=4)
    if args[1:] == (Ellipsis,):
        low, high = _lengths(found, 4)
        return st.lists(values(args[0]), min_size=low, max_size=high).map(tuple)
    return st.tuples(*(values(arg) for arg in args))


def _scalars(kind: type, found: list[Any]) -> st.SearchStrategy[Any]:
    if kind in {type(None), bool}:
        return st.none() if kind is type(None) else st.booleans()
    if kind is int:
        return _integers(found)
    low, high = _lengths(found, 64)
    if kind is bytes:
        return st.binary(min_size=low, max_size=high)
    pattern = next((m.pattern for m in found if getattr(m, "pattern", None)), "")
    return UNITS if "A-Za-z0-9" in str(pattern) else printable(high, minimum=low)


_Part = TypeVar("_Part", bound=Part)


def messages(model: type[_Part]) -> st.SearchStrategy[_Part]:
    """Any message of a model, with keys of a version to come where the model keeps those."""

    def build(drawn: dict[str, Any], unknown: dict[str, Any]) -> _Part | None:
        try:
            return model(**_FITTED.get(model, dict)(drawn), **unknown)
        except ValidationError:
            return None

    fields = {
        name: _OVERRIDES[model, name]
        if (model, name) in _OVERRIDES
        else values(info.annotation, tuple(info.metadata))
        for name, info in model.model_fields.items()
    }
    unknown = unknown_keys() if model.model_config["extra"] == "allow" else st.just({})
    return st.builds(build, st.fixed_dictionaries(fields), unknown).filter(lambda message: message is not None)


def _box(corners: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    (x0, x1), (y0, y1) = sorted(corners[::2]), sorted(corners[1::2])
    return x0, y0, x1, y1


RANGES = st.tuples(st.integers(1, I63_MAX), st.integers(1, I63_MAX)).map(lambda r: (min(r), max(r)))
_OVERRIDES[ReadBody, "box_px"] = st.tuples(*[st.integers(0, U16_MAX)] * 4).map(_box)
_OVERRIDES[Tombstone, "ranges"] = st.lists(RANGES, max_size=8).map(tuple)
_OVERRIDES[Coverage, "mono_first_us"] = st.integers(0, 2**62)
_OVERRIDES[Coverage, "mono_us"] = st.integers(2**62, I63_MAX)
_POINTS = st.tuples(
    st.integers(0, U32_MAX),
    st.integers(-900_000_000, 900_000_000),
    st.integers(-1_800_000_000, 1_800_000_000),
    st.integers(0, U32_MAX),
    st.none() | st.integers(0, U16_MAX),
)
_OVERRIDES[TrackPoints, "points"] = st.lists(_POINTS, min_size=1, max_size=4).map(
    lambda points: ((0, *points[0][1:]), *sorted(points[1:], key=lambda point: point[0]))
)
_OVERRIDES[HitBody, "char_confidence_u8"] = st.binary(min_size=64, max_size=64)
_FITTED[HitBody] = lambda drawn: {**drawn, "char_confidence_u8": drawn["char_confidence_u8"][: len(drawn["text"])]}
_OVERRIDES[PictureChunk, "total_bytes"] = st.integers(2**31, U32_MAX)
_OVERRIDES[PictureChunk, "offset"] = st.integers(0, 2**30)


@st.composite
def record_messages(draw: st.DrawFn, model: type[RecordBody]) -> Record:
    """Any record of a type, in any envelope."""
    body = draw(messages(model))
    envelope = Envelope(
        schema_id=model.SCHEMA,
        unit=draw(UNITS),
        agency=draw(printable(36)),
        boot_id=draw(IDS),
        seq=draw(st.integers(1, I63_MAX)),
        record_id=draw(IDS),
    )
    return Record(envelope, body, encode_record(envelope, body))


CONTROL_MESSAGES: tuple[type[Message], ...] = (
    Receipt, Nack, PictureStatus, PictureChunk, Health, Status, FileOffer, FilePart, ChunkRequest, UpdateReport,
    LogCheckpoint, LogWitness,
)  # fmt: skip
RECORD_MODELS: tuple[type[RecordBody], ...] = tuple(known.model for known in released_registry())

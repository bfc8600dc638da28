"""The wire: encoding round-trips, anything else is refused with WireError, and the bytes are pinned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.records import Box, Geotag, TimeTag
from protocol.errors import UnknownSchemaError, WireError
from protocol.wire.codec import (
    MAX_EXTRA_DEPTH,
    MAX_ITEMS,
    MAX_MESSAGE_BYTES,
    MAX_STR_BYTES,
    Message,
    decode,
    encode,
    pack,
    unpack,
)
from protocol.wire.control.chunk import MAX_CHUNK_BYTES, PictureChunk
from protocol.wire.control.log_checkpoint import LogCheckpoint, LogWitness
from protocol.wire.control.receipt import MAX_RECEIPT_RECORDS, Nack, PictureStatus, Receipt
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart, UpdateReport
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import (
    FixQuality,
    GeotagMethod,
    Lost,
    LostCause,
    NackCode,
    PictureKind,
    TimeSource,
    UnitState,
    UpdateState,
    WitnessAnswer,
)
from protocol.wire.record import Record, decode_record, derived_record_id, encode_record
from protocol.wire.registry import RecordBody
from protocol.wire.released import released_registry
from tests import shift_builders as on_duty
from tests import strategies as drawn
from tests.builders import (
    BOOT,
    UTC_NS,
    WHEN,
    WHERE,
    make_audit,
    make_encoder,
    make_purge,
    make_read,
    make_read_record,
    make_record,
    make_time_anchor,
    make_tombstone,
)
from tests.hit_builders import make_disposition, make_hit_body

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from protocol.wire.codec import Plain

TYPES = released_registry()
HASH = bytes(range(32))


@dataclass(frozen=True)
class Kind:
    """One schema: its example, and how it is drawn, encoded and decoded."""

    model: type[Message]
    example: bytes

    @property
    def is_record(self) -> bool:
        return issubclass(self.model, RecordBody)

    def draw(self) -> SearchStrategy[Record | Message]:
        return drawn.record_messages(self.model) if self.is_record else drawn.messages(self.model)

    def decode(self, payload: bytes) -> Record | Message:
        return decode_record(payload, TYPES) if self.is_record else decode(payload, self.model)

    @staticmethod
    def encode(message: Record | Message) -> bytes:
        """Anew from what was decoded, never from the bytes that came."""
        return encode_record(message.envelope, message.body) if isinstance(message, Record) else encode(message)


EXAMPLES = {
    "read": make_read_record().payload,
    "read_motion": make_read_record(motion="approaching", motion_confidence_e4=9700).payload,
    "read_of_policy": make_read_record(
        policy="us-xx/3", expires_utc_us=UTC_NS // 1000 + 180_000_000, text_hash=HASH[:16], masked=True
    ).payload,
    "read_of_life": make_read_record(life=HASH[:16]).payload,
    "dating": make_record(make_time_anchor(5_000_000_000), seq=2).payload,
    "tombstone": make_record(
        make_tombstone((1, 1), (7, 9), lost=Lost.OVERVIEW, count=2, size_bytes=81_920), seq=3
    ).payload,
    "tombstone_expired": make_record(make_tombstone((5, 5), cause=LostCause.EXPIRED), seq=4).payload,
    "hit": make_record(make_hit_body(), seq=9).payload,
    "disposition": make_record(make_disposition(), seq=10).payload,
    "shift": make_record(on_duty.make_shift(), seq=5).payload,
    "coverage": make_record(on_duty.make_coverage(), seq=6).payload,
    "track_point": make_record(on_duty.make_track_points(), seq=7).payload,
    "incident": make_record(on_duty.make_incident(), seq=8).payload,
    "audit": make_record(make_audit(), seq=5).payload,
    "purge": make_record(make_purge(), seq=6).payload,
    "purge_by_class": make_record(
        make_purge(classes=(("hit/1", "hit", 1), ("read/1", "?", 4), ("read/1", "nonhit", 8))), seq=6
    ).payload,
    "chunk": encode(
        PictureChunk(
            unit="unit-07", boot_id=BOOT, read_id=BOOT[::-1], kind=PictureKind.PLATE, sha256=HASH, total_bytes=10,
            offset=4, data=b"jpeg",
        )
    ),
    "health": encode(
        Health(
            unit="unit-07", boot_id=BOOT, mono_us=60_000_000, utc_us=None, seq_high=17, counters={"reads": 3},
            gauges={"temperature_mc": -4_500},
        )
    ),
    "health_with_head": encode(
        Health(
            unit="unit-07", boot_id=BOOT, mono_us=60_000_000, utc_us=None, seq_high=17, counters={}, gauges={},
            life=HASH[:16], head=b"head/1",
        )
    ),
    "status": encode(
        Status(
            unit="unit-07", boot_id=BOOT, state=UnitState.BIRTH, reason="", software="patrol-lpr test",
            models=("ocr@00000000",),
        )
    ),
    "receipt": encode(
        Receipt(
            unit="unit-07", station="station-1", stored_us=1_780_000_001_000_000, records=((1, BOOT),),
            pictures=((HASH, 8),),
        )
    ),
    "nack": encode(Nack(unit="unit-07", ref=HASH, code=NackCode.QUOTA, retry=True, detail="too many")),
    "picture_status": encode(PictureStatus(unit="unit-07", sha256=HASH, offset=4096)),
    "offer": encode(
        FileOffer(
            unit="unit-07", release=42, sha256=HASH, size_bytes=5_000_000, attempt=0, parts=("code", "models")
        )
    ),
    "offer_of_maps": encode(
        FileOffer(
            unit="unit-07", release=3, sha256=HASH, size_bytes=40_000, attempt=0, parts=(), kind="maps"
        )
    ),
    "part": encode(FilePart(unit="unit-07", sha256=HASH, offset=32_768, data=b"bytes")),
    "wish": encode(ChunkRequest(unit="unit-07", boot_id=BOOT, sha256=HASH, offset=32_768)),
    "report": encode(
        UpdateReport(
            unit="unit-07", boot_id=BOOT, running=41, committed=41, release=42, state=UpdateState.ROLLED_BACK,
            reason="not well in time", fetched_bytes=5_000_000, config_sha256=HASH,
        )
    ),
    "log_checkpoint": encode(
        LogCheckpoint(unit="unit-07", public_key=HASH, note=b"name\n3\nroot\n", old=2, proof=(HASH, HASH[::-1]))
    ),
    "log_witness": encode(
        LogWitness(unit="unit-07", answer=WitnessAnswer.SIGNED, size=3, note=b"", line=b"a line")
    ),
}  # fmt: skip
MODELS = {model.SCHEMA: model for model in (*drawn.RECORD_MODELS, *drawn.CONTROL_MESSAGES)}
ADDED = {
    "cause": "",
    "kind": "update",
    "mot": "unknown",
    "mot_c": 0,
    "pol": "",
    "exp": 0,
    "hsh": b"",
    "msk": False,
    "life": b"",
    "head": b"",
    "cls": [],
}
"""Top-level keys that the first release does not know, with what they mean when they are left out."""
KINDS = {name: Kind(MODELS[unpack(payload)["v"]], payload) for name, payload in EXAMPLES.items()}
"""By the name of the golden file."""
CONTROLS = {name: kind for name, kind in KINDS.items() if not kind.is_record}
RECORDS = {name: kind for name, kind in KINDS.items() if kind.is_record}
PICTURE = {"kind": "plate", "sha": HASH, "len": 1, "w": 1, "h": 1}
NESTED = [
    *(("hit", inside) for inside in ("tq", "gps", "img", "ret", "more")),
    *(("disposition", inside) for inside in ("chk", "tq", "gps", "ret")),
    *(("read", "gps"), ("read", "tq"), ("read", "ret"), ("read", "img"), ("dating", "tq")),
    *((name, inside) for name in ("shift", "coverage", "track_point") for inside in ("tq", "ret")),
    *(("incident", inside) for inside in ("gps", "tq", "ret")),
    *(("audit", "tq"), ("purge", "tq")),
]
"""Maps inside messages."""


def with_keys(payload: bytes, keys: dict[str, Plain], inside: str | None = None) -> bytes:
    """The message with more or other keys, at the top or in a map inside; of ``img`` in each picture."""
    fields = unpack(payload)
    if inside is None:
        return pack({**fields, **keys})
    part = fields[inside]
    changed = [{**item, **keys} for item in part] if isinstance(part, list) else {**part, **keys}
    return pack({**fields, inside: changed})


def test_every_message_has_an_example():
    """Whoever declares a message pins its bytes: all tests here run over the examples."""
    assert len(MODELS) == len(drawn.RECORD_MODELS) + len(drawn.CONTROL_MESSAGES)
    assert {kind.model for kind in KINDS.values()} == set(MODELS.values())
    assert set(_maps_inside()) == set(NESTED)


def test_every_optional_key_has_an_example():
    """Only keys of the examples are compared with the document."""
    for model in MODELS.values():
        optional = {
            info.validation_alias or name for name, info in model.model_fields.items() if not info.is_required()
        }
        examples = [unpack(kind.example) for kind in KINDS.values() if kind.model is model]
        assert optional <= {key for sent in examples for key in sent} & set(ADDED)


def _maps_inside() -> list[tuple[str, str]]:
    """Maps with declared keys, in the first example of each message."""
    found = []
    firsts = {kind.model: name for name, kind in reversed(KINDS.items())}
    for name in firsts.values():
        for key, value in unpack(EXAMPLES[name]).items():
            first = value[0] if isinstance(value, list) and value else value
            if isinstance(first, dict) and key not in {"cnt", "gau"}:
                found.append((name, key))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_encode_decode_round_trip(name, data):
    """Round trip for each message with all its unknown keys; the bytes are canonical, so hashes can name them."""
    kind = KINDS[name]
    message = data.draw(kind.draw())
    payload = kind.encode(message)
    assert message == kind.decode(payload)
    assert payload == kind.encode(kind.decode(payload))


@pytest.mark.parametrize("name", KINDS)
def test_golden_bytes_of_each_message(name, bless, repo):
    """An old station must read a new unit: the bytes of the examples change only on purpose."""
    path = repo / "tests" / "golden" / "wire" / f"{name}.hex"
    if bless:
        path.write_text(EXAMPLES[name].hex(" ", 16).replace(" ", "\n") + "\n", encoding="ascii")
    assert path.read_text(encoding="ascii").split() == EXAMPLES[name].hex(" ", 16).split()


@pytest.mark.parametrize("name", KINDS)
def test_golden_bytes_decode(name, repo):
    """Bytes that were once sent can be decoded for ever."""
    pinned = bytes.fromhex((repo / "tests" / "golden" / "wire" / f"{name}.hex").read_text(encoding="ascii"))
    assert pinned == KINDS[name].encode(KINDS[name].decode(pinned))


@given(st.binary(max_size=400), st.sampled_from(list(KINDS.values())))
def test_any_bytes_are_refused_with_a_wire_error(payload, kind):
    """No input raises anything else."""
    with pytest.raises(WireError):
        kind.decode(payload)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_damaged_message_is_refused_or_valid(name, data):
    """One byte changed, bytes cut off, doubled or added: WireError, or a message that encodes to those very fields."""
    payload = EXAMPLES[name]
    at = data.draw(st.integers(0, len(payload) - 1))
    until = data.draw(st.integers(at, min(len(payload), at + 8)))
    damaged = payload[:at] + data.draw(st.binary(max_size=4)) + payload[until:]
    _refused_or_kept(KINDS[name], damaged)


def _was_added(name: str, key: str) -> bool:
    return key in ADDED and key not in unpack(EXAMPLES[name.split("_", maxsplit=1)[0]])


def _refused_or_kept(kind: Kind, payload: bytes) -> None:
    try:
        message = kind.decode(payload)
    except WireError:
        return
    if isinstance(message, Record) and message.body is None:
        assert message.envelope.schema_id == unpack(payload)["v"] != kind.model.SCHEMA
        assert message.payload == payload
    else:
        fields = unpack(payload)
        optional = {info.validation_alias for info in kind.model.model_fields.values() if not info.is_required()}
        left_out = {key for key in optional & ADDED.keys() if fields.get(key) == ADDED[key]}
        assert kind.encode(message) == pack({key: value for key, value in fields.items() if key not in left_out})
        again = kind.decode(kind.encode(message))
        assert again == (replace(message, payload=again.payload) if isinstance(message, Record) else message)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_any_field_value_is_refused_or_in_range(name, data):
    """Well-formed msgpack with wrong values in right places: the deeper checks raise nothing but WireError."""
    fields = unpack(EXAMPLES[name])
    key = data.draw(st.sampled_from(sorted(fields)))
    values = drawn.PLAIN_VALUES | st.floats() | st.text(max_size=3)
    _refused_or_kept(KINDS[name], msgpack.packb({**fields, key: data.draw(values)}))


@pytest.mark.parametrize("name", KINDS)
def test_values_of_other_types_are_refused(name):
    """Neither 1 for true, nor true, "1" and 1.0 for 1, nor text for bytes: stations in other languages are strict."""
    kind = KINDS[name]
    for key, value in unpack(EXAMPLES[name]).items():
        others: list[object] = {
            bool: [int(value) if isinstance(value, bool) else 0, "true"],
            int: [True, str(value), b"1", str(value).encode()],
            str: [value.encode() if isinstance(value, str) else b""],
            bytes: [value.hex() if isinstance(value, bytes) else "", list(value) if isinstance(value, bytes) else []],
            list: [{}, "", b"", dict.fromkeys("ab")],
            dict: [[], [["how", "none"]]],
        }.get(type(value), ["", b""])  # fmt: skip
        for other in others:
            with pytest.raises(WireError):
                kind.decode(pack({**unpack(EXAMPLES[name]), key: other}))


@pytest.mark.parametrize("name", KINDS)
def test_missing_key_is_refused(name):
    """A message with a key missing is refused by its name: nothing is guessed.  Keys that were added may be missing."""
    fields = unpack(EXAMPLES[name])
    assert KINDS[name].decode(pack({key: value for key, value in fields.items() if not _was_added(name, key)}))
    for key in [key for key in fields if not _was_added(name, key)]:
        says = r"message\.v: must be a schema id" if key == "v" else rf"^[\w/]+\.{key}: Field required"
        if key == "v" and KINDS[name].is_record:
            says = r"^record\.v: Field required"
        with pytest.raises(WireError, match=says):
            KINDS[name].decode(pack({k: v for k, v in fields.items() if k != key}))


@pytest.mark.parametrize(("name", "inside"), NESTED)
def test_missing_key_of_an_inner_map_is_refused(name, inside):
    """The same for places, time qualities, pictures and retention."""
    part = unpack(EXAMPLES[name])[inside]
    for key in part[0] if isinstance(part, list) else part:
        less = [
            {k: v for k, v in item.items() if k != key} for item in (part if isinstance(part, list) else [part])
        ]
        payload = pack({**unpack(EXAMPLES[name]), inside: less if isinstance(part, list) else less[0]})
        with pytest.raises(WireError, match=rf"\.{inside}(\[0\])?\.{key}: Field required"):
            KINDS[name].decode(payload)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@given(keys=drawn.unknown_keys())
def test_unknown_keys_are_preserved(name, keys):
    """A newer sender's keys pass through an older unit or station untouched."""
    newer = with_keys(EXAMPLES[name], keys)
    assert newer == KINDS[name].encode(KINDS[name].decode(newer))


@pytest.mark.parametrize(("name", "inside"), NESTED)
@given(keys=drawn.unknown_keys())
def test_unknown_keys_of_inner_maps_are_preserved(name, inside, keys):
    """A newer sender may say more of a place, a time, a picture or the retention as well."""
    newer = with_keys(EXAMPLES[name], keys, inside)
    assert newer == KINDS[name].encode(KINDS[name].decode(newer))


@pytest.mark.parametrize("name", KINDS)
def test_python_field_name_is_an_unknown_key(name):
    """What the fields are called here means nothing on the wire: such a key replaces none and changes nothing."""
    kind = KINDS[name]
    for field, info in kind.model.model_fields.items():
        key = info.validation_alias
        if field == key:
            continue
        fields = unpack(EXAMPLES[name])
        if info.is_required():
            with pytest.raises(WireError, match=rf"\.{key}: Field required"):
                kind.decode(pack({**{k: v for k, v in fields.items() if k != key}, field: fields[key]}))
        if field not in fields:
            _same_but_for(kind, {field: "another"}, field, None)


@pytest.mark.parametrize("name", RECORDS)
def test_python_field_name_of_the_envelope_is_an_unknown_key(name):
    """``unit`` is not ``dev``."""
    fields = unpack(EXAMPLES[name])
    for field, key in (
        ("unit", "dev"),
        ("agency", "agy"),
        ("boot_id", "boot"),
        ("record_id", "id"),
        ("schema_id", "v"),
    ):
        with pytest.raises(WireError, match=rf"^record\.{key}: Field required"):
            KINDS[name].decode(pack({**{k: v for k, v in fields.items() if k != key}, field: fields[key]}))
        _same_but_for(KINDS[name], {field: "another"}, field, None)


@pytest.mark.parametrize(("name", "inside"), NESTED)
def test_python_field_name_of_an_inner_map_is_an_unknown_key(name, inside):
    """The same in places, time qualities, pictures and retention."""
    field = {"gps": "lat_e7", "tq": "source", "ret": "policy_class", "img": "sha256"}.get(inside)
    field = field or {"more": "list_id", "chk": "characters"}[inside]
    _same_but_for(KINDS[name], {field: "another"}, field, inside)


def _same_but_for(kind: Kind, keys: dict[str, Plain], field: str, inside: str | None) -> None:
    """The keys are handed on, and every field has the value that it has without them."""
    newer = with_keys(kind.example, keys, inside)
    old, new = kind.decode(kind.example), kind.decode(newer)
    assert kind.encode(new) == newer
    if isinstance(old, Record):
        assert new.envelope == old.envelope
        old, new = old.body, new.body
    if inside is not None:
        name = next(n for n, info in kind.model.model_fields.items() if info.validation_alias == inside)
        old, new = getattr(old, name), getattr(new, name)
        old, new = (old[0], new[0]) if isinstance(old, tuple) else (old, new)
    assert getattr(new, field, "another") == getattr(old, field, "another")
    assert {n: getattr(new, n) for n in type(new).model_fields} == {
        n: getattr(old, n) for n in type(old).model_fields
    }


@pytest.mark.parametrize("name", CONTROLS)
def test_other_schema_is_refused_and_the_error_lists_the_valid_ones(name):
    """The error has the received schema and the valid ones, and is sent in a nack."""
    other = pack({**unpack(EXAMPLES[name]), "v": "read/2"})
    with pytest.raises(UnknownSchemaError, match=rf"schema 'read/2' is not one of {CONTROLS[name].model.SCHEMA}"):
        CONTROLS[name].decode(other)


def test_messages_on_one_topic_are_distinguished_by_schema():
    """An unknown one is refused with a list of all valid ones."""
    taken = (Receipt, Nack, PictureStatus)
    assert [type(decode(EXAMPLES[name], *taken)) for name in ("receipt", "nack", "picture_status")] == list(taken)
    with pytest.raises(UnknownSchemaError, match=r"'health/1' is not one of nack/1, picstat/1, receipt/1"):
        decode(EXAMPLES["health"], *taken)


@pytest.mark.parametrize("name", RECORDS)
def test_record_of_an_unknown_type_has_an_envelope(name):
    """It can be stored and receipted; what it says is for whoever knows the type, in the bytes as they came."""
    fields = unpack(EXAMPLES[name])
    for newer in (
        {**fields, "v": "read/2"},
        {**{k: fields[k] for k in ("dev", "agy", "boot", "seq", "id", "life") if k in fields}, "v": "x"},
    ):
        record = decode_record(pack(newer), TYPES)
        assert record.body is None
        assert record.payload == pack(newer)
        assert record.envelope.schema_id == newer["v"]
        known = decode_record(EXAMPLES[name], TYPES).envelope
        assert record.envelope.model_copy(update={"schema_id": known.schema_id}) == known


def test_control_message_is_not_a_record():
    """It has no agency and no number of its own."""
    for name in CONTROLS:
        with pytest.raises(WireError, match=r"^record\.\w+: Field required"):
            decode_record(EXAMPLES[name], TYPES)


@pytest.mark.parametrize("schema", [None, 1, b"read/1", "", "a\nb", "x" * 33, ["read/1"]])
def test_a_schema_is_a_short_printable_text(schema):
    """An invalid schema id is reported as such, and not shown."""
    for name, kind in KINDS.items():
        with pytest.raises(WireError) as refused:
            kind.decode(pack({**unpack(EXAMPLES[name]), "v": schema}))
        assert str(refused.value).isprintable()


def _refused(payload: bytes, match: str) -> None:
    for kind in KINDS.values():
        with pytest.raises(WireError, match=match):
            kind.decode(payload)


def test_a_message_larger_than_the_limit_is_refused_before_it_is_decoded():
    """A foreign client cannot cause useless work."""
    _refused(b"\x81\xa1v" + b"\x00" * MAX_MESSAGE_BYTES, r"larger than 65536")


@pytest.mark.parametrize("nest", [b"\x91", b"\x81\xa1x"], ids=["arrays", "maps"])
def test_deep_nesting_is_refused(nest):
    """Thousands of opening brackets are an attack, not a message."""
    _refused(b"\x81\xa1x" + nest * 5000 + b"\xc0", r"not valid msgpack")


@pytest.mark.parametrize("depth", [MAX_EXTRA_DEPTH, MAX_EXTRA_DEPTH + 1])
@pytest.mark.parametrize(("name", "inside"), [*((name, None) for name in KINDS), *NESTED])
def test_unknown_values_may_be_nested_as_deep_as_promised(name, inside, depth):
    """The bound of the contract holds on both sides, at the top and in maps inside."""
    for nest in (lambda inner: [inner], lambda inner: {"k": inner}):
        value: Plain = 1
        for _ in range(depth):
            value = nest(value)
        payload = with_keys(EXAMPLES[name], {"x": value}, inside)
        if depth <= MAX_EXTRA_DEPTH:
            assert payload == KINDS[name].encode(KINDS[name].decode(payload))
        else:
            with pytest.raises(WireError, match="nested deeper"):
                KINDS[name].decode(payload)


def test_duplicate_keys_are_refused_at_any_depth():
    """Two decoders could use two different values."""
    _refused(b"\x82\xa1v\x01\xa1v\x01", r"'v' is duplicated")
    _refused(b"\x81\xa1v\x82\xa1a\x01\xa1a\x02", r"'a' is duplicated")


@pytest.mark.parametrize("key", [b"\x01", b"\xc4\x01v", b"\xc0", b"\x90"], ids=["int", "bin", "nil", "array"])
def test_keys_that_are_no_strings_are_refused(key):
    """Keys are strings in every language."""
    _refused(b"\x81" + key + b"\x01", r"key|not valid msgpack")


@pytest.mark.parametrize("code", [-1, 0, 5, 127])
@pytest.mark.parametrize("size", [1, 4, 8, 12])
def test_extension_types_are_refused(code, size):
    """Timestamps (-1) and private types are not part of the protocol, in known keys and in unknown ones."""
    value = (
        msgpack.ExtType(code, b"\0" * size) if code >= 0 else msgpack.Timestamp(size * 2**30 * (size == 12), size)
    )
    for name, kind in KINDS.items():
        for key in ("v", "x"):
            with pytest.raises(WireError):
                kind.decode(msgpack.packb({**unpack(EXAMPLES[name]), key: value}))


@given(st.floats(), st.sampled_from(list(KINDS)))
def test_floats_are_refused(number, name):
    """They hash and print differently on different machines."""
    fields = unpack(EXAMPLES[name])
    for key in (*fields, "x"):
        with pytest.raises(WireError):
            KINDS[name].decode(msgpack.packb({**fields, key: number}))


@pytest.mark.parametrize(("name", "inside"), NESTED)
def test_floats_are_refused_in_maps_inside(name, inside):
    fields = unpack(EXAMPLES[name])
    part = fields[inside]
    first = part[0] if isinstance(part, list) else part
    for key in (*first, "x"):
        changed = {**first, key: 1.0}
        with pytest.raises(WireError):
            KINDS[name].decode(msgpack.packb({**fields, inside: [changed] if isinstance(part, list) else changed}))


def test_a_text_longer_than_the_limit_is_refused_in_any_key():
    """The decoder itself stops there."""
    for name, kind in KINDS.items():
        assert kind.decode(with_keys(EXAMPLES[name], {"x": "x" * MAX_STR_BYTES}))
        with pytest.raises(WireError, match="not valid msgpack"):
            kind.decode(with_keys(EXAMPLES[name], {"x": "x" * (MAX_STR_BYTES + 1)}))


@given(st.text(min_size=1, max_size=200), st.sampled_from(list(KINDS)), st.sampled_from([1.5, [[[[[[1]]]]]]]))
@example("\n", "nack", 1.5)
@example("\n", "nack", [[[[[[1]]]]]])
@example("x" * 4000, "nack", 1.5)
@example("x" * 4000, "read", [[[[[[1]]]]]])
def test_any_error_text_is_valid_in_a_nack(key, name, value):
    """The error goes back over the wire: printable and short, whatever keys a stranger invents."""
    with pytest.raises(WireError) as caught:
        KINDS[name].decode(msgpack.packb({**unpack(EXAMPLES[name]), f"x{key}": value}))
    _fits_a_nack(str(caught.value))


@pytest.mark.parametrize("key", ["\n", "x" * 4000, "☂" * 300, "\u202e", ""])
def test_error_text_about_counter_names_is_valid_in_a_nack(key):
    """The one map whose keys a stranger chooses and that is checked inside."""
    for wrong in ({key: "1"}, {f"a{key}\n": 1}):
        with pytest.raises(WireError) as caught:
            decode(with_keys(EXAMPLES["health"], {"cnt": wrong}), Health)
        _fits_a_nack(str(caught.value))


def _fits_a_nack(detail: str) -> None:
    nack = Nack(unit="unit-07", ref=HASH, code=NackCode.MALFORMED, retry=False, detail=detail)
    assert nack == decode(encode(nack), Nack)


@pytest.mark.parametrize("payload", [b"", b"\xc0", b"\x90", b"\x01", b"\xa1v", b"\xc1", b"\x80\x80"])
def test_anything_but_one_map_is_refused(payload):
    """Nothing, scalars, arrays, reserved bytes, two maps."""
    for kind in KINDS.values():
        with pytest.raises(WireError):
            kind.decode(payload)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("read", {"seq": 0}, r"record\.seq: .*greater than or equal to 1"),
        ("read", {"seq": 2**63}, r"record\.seq: .*less than or equal to 9223372036854775807"),
        ("read", {"seq": True}, r"record\.seq: .*valid integer"),
        ("read", {"id": b"short"}, r"record\.id: .*at least 16 bytes"),
        ("read", {"id": bytes(17)}, r"record\.id: .*at most 16 bytes"),
        ("read", {"dev": "a/b"}, r"record\.dev: .*match pattern"),
        ("read", {"dev": "+"}, r"record\.dev: .*match pattern"),
        ("read", {"dev": "unit\n"}, r"record\.dev: .*match pattern"),
        ("read", {"dev": ""}, r"record\.dev: .*match pattern"),
        ("read", {"dev": "u" * 37}, r"record\.dev: .*match pattern"),
        ("read", {"agy": "a" * 37}, r"record\.agy: .*at most 36 characters"),
        ("read", {"pl": "7ABC\x00"}, r"read/1\.pl: .*match pattern"),
        ("read", {"pl": "7ABC\u2028"}, r"read/1\.pl: .*match pattern"),
        ("read", {"pl": "7ABC123\n"}, r"read/1\.pl: .*match pattern"),
        ("read", {"pl": "7" * 33}, r"read/1\.pl: .*at most 32 characters"),
        ("read", {"cf": 10_001}, r"read/1\.cf: .*less than or equal to 10000"),
        ("read", {"alt": [["A", 1]] * 9}, r"read/1\.alt: .*at most 8 items"),
        ("read", {"alt": [["A", 10_001]]}, r"read/1\.alt\[0\]\[1\]: .*less than or equal to 10000"),
        ("read", {"box": [9, 0, 3, 4]}, "read/1: .*ends before it begins"),
        ("read", {"box": [0, 9, 3, 4]}, "read/1: .*ends before it begins"),
        ("read", {"box": [1, 2, 3]}, r"read/1\.box\[3\]: Field required"),
        ("read", {"box": [1, 2, 3, 4, 5]}, r"read/1\.box: .*at most 4 items"),
        ("read", {"one": 1}, r"read/1\.one: .*valid boolean"),
        ("read", {"frm": [0, 10]}, r"read/1\.frm\[0\]: .*greater than or equal to 1"),
        ("read", {"img": [PICTURE] * 9}, r"read/1\.img: .*at most 8 items"),
        ("read", {"t": -1}, r"read/1\.t: .*greater than or equal to 0"),
        ("read", {"tq": {"src": "sundial", "unc_ms": 1}}, r"read/1\.tq\.src: .*'gnss', 'ntp', 'held' or 'none'"),
        ("tombstone", {"rng": [[4, 3]]}, r"tomb/1: .*ends before it begins"),
        ("tombstone", {"rng": [[0, 3]]}, r"tomb/1\.rng\[0\]\[0\]: .*greater than or equal to 1"),
        ("tombstone", {"rng": [[1, 1]] * 257}, r"tomb/1\.rng: .*at most 256 items"),
        ("tombstone", {"why": "weather"}, r"tomb/1\.why: .*'budget'"),
        ("chunk", {"len": 7}, "chunk/1: .*exceed len"),
        ("chunk", {"data": b""}, r"chunk/1\.data: .*at least 1 byte"),
        ("chunk", {"data": b"x" * (MAX_CHUNK_BYTES + 1), "len": 40_000}, r"chunk/1\.data: .*at most 32768 bytes"),
        ("health", {"cnt": {"": 1}}, r"health/1\.cnt\..*at least 1 character"),
        ("health", {"cnt": {"a": "1"}}, r"health/1\.cnt\.a: .*valid integer"),
        ("health", {"cnt": {"a": True}}, r"health/1\.cnt\.a: .*valid integer"),
        ("health", {"cnt": {f"c{n}": n for n in range(513)}}, r"health/1\.cnt: .*at most 512 items"),
        ("receipt", {"rec": [[1]]}, r"receipt/1\.rec\[0\]\[1\]: Field required"),
        ("receipt", {"rec": [[1, BOOT]] * (MAX_RECEIPT_RECORDS + 1)}, r"receipt/1\.rec: .*at most 1024 items"),
        ("receipt", {"pic": [[HASH, 1]] * 257}, r"receipt/1\.pic: .*at most 256 items"),
        ("picture_status", {"off": -1}, r"picstat/1\.off: .*greater than or equal to 0"),
        ("picture_status", {"off": 2**32}, r"picstat/1\.off: .*less than or equal to 4294967295"),
        ("picture_status", {"sha": bytes(31)}, r"picstat/1\.sha: .*at least 32 bytes"),
        ("part", {"data": b"x" * 32_769}, r"part/1\.data: .*at most 32768 bytes"),
        ("offer", {"rel": 0}, r"offer/1\.rel: .*greater than or equal to 1"),
        ("offer", {"parts": ["code"] * 9}, r"offer/1\.parts: .*at most 8 items"),
    ],
)
def test_error_names_the_key_of_an_invalid_value(name, wrong, says):
    """The nack tells the developer of a client what is wrong."""
    with pytest.raises(WireError, match=says):
        KINDS[name].decode(pack({**unpack(EXAMPLES[name]), **wrong}))


def test_error_does_not_show_the_refused_value():
    """An error lands in logs: it names keys, never a plate text."""
    with pytest.raises(WireError) as caught:
        KINDS["read"].decode(with_keys(EXAMPLES["read"], {"pl": "7ABC123\x00", "raw": "7ABC123\x00"}))
    assert "7ABC123" not in str(caught.value)


@pytest.mark.parametrize("half", ["lat", "lon"])
def test_latitude_without_longitude_is_refused(half):
    """A latitude without longitude is not a position."""
    with pytest.raises(WireError, match=r"read/1\.gps: .*lat and lon"):
        KINDS["read"].decode(with_keys(EXAMPLES["read"], {half: None}, "gps"))


@given(drawn.reads())
def test_every_read_of_the_agent_is_a_valid_message(read):
    """A read with absurd figures is still a read: they are clamped, and it is never refused for them."""
    payload = make_encoder().record(1, read.body, b"", read.read_id).payload
    record = decode_record(payload, TYPES)
    assert (record.body, record.envelope.record_id) == (read.body, read.read_id)
    assert (record.body.text, record.body.raw) == (read.plate.text, read.plate.text)


def test_infinite_altitude_is_clamped():
    """Scaled to centimetres it is infinite: the limit is sent."""
    where = Geotag(GeotagMethod.STALE, 45.0, -100.0, alt_m=1.7e308, quality=FixQuality.GNSS)
    record = make_read_record(where=where)
    assert record == decode_record(record.payload, TYPES)
    assert record.body.place.alt_cm == 2**31 - 1


@given(st.floats(0, 4e9))
def test_an_uncertainty_is_rounded_up(uncertainty_ms):
    """A bound must stay a bound."""
    when = TimeTag(UTC_NS, TimeSource.GNSS, uncertainty_ms)
    assert uncertainty_ms <= make_read(when=when).body.time.uncertainty_ms <= uncertainty_ms + 1


@given(st.floats(0, 4e7))
def test_a_position_error_is_rounded_up(error_m):
    """The same for the error bound of a position, to the centimetre."""
    told_m = make_read(where=replace(WHERE, error_m=error_m)).body.place.error_cm / 100
    assert error_m * (1 - 1e-12) <= told_m <= error_m + 0.01 + 1e-6


@given(st.builds(Box, *[st.floats()] * 4))
def test_box_is_clipped_to_the_frame(box):
    """A box that reaches out of the picture is cut to it; one that is no number has no area."""
    x0, y0, x1, y1 = make_read(box=box).body.box_px
    assert 0 <= x0 <= x1 <= 64
    assert 0 <= y0 <= y1 <= 48


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_position_is_kept_to_a_centimetre(lat_deg, lon_deg):
    """1e-7 degrees are 11 mm at most."""
    place = make_read(where=Geotag(GeotagMethod.STALE, lat_deg, lon_deg)).body.place
    assert math.isclose(lat_deg, place.lat_deg, abs_tol=0.51e-7)
    assert math.isclose(lon_deg, place.lon_deg, abs_tol=0.51e-7)


def test_read_without_time_and_position_is_valid():
    """Without a fix there is still a read, with method none."""
    when = replace(WHEN, utc_ns=None, source=TimeSource.NONE, uncertainty_ms=None)
    record = make_read_record(when=when, where=Geotag(GeotagMethod.NONE))
    assert record == decode_record(record.payload, TYPES)
    assert (record.body.utc_us, record.body.place.method) == (None, GeotagMethod.NONE)


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**62), st.integers(1, 2**62))
def test_record_ids_differ_where_sequence_numbers_differ(boot_id, seq, other):
    """A record that is not a read is named by its boot and number alone, the same each time it is encoded."""
    assert (derived_record_id(boot_id, seq) == derived_record_id(boot_id, other)) is (seq == other)
    assert derived_record_id(boot_id, seq) != derived_record_id(bytes([boot_id[0] ^ 1]) + boot_id[1:], seq)


def test_read_without_pictures_is_below_one_kilobyte():
    """Cellular data costs: the record itself must stay small."""
    assert len(EXAMPLES["read"]) <= 1024


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        ({f"{n:04}": 0 for n in range(MAX_ITEMS)}, True),
        ({f"{n:04}": 0 for n in range(MAX_ITEMS + 1)}, False),
        ([0] * MAX_ITEMS, True),
        ([0] * (MAX_ITEMS + 1), False),
        ("x" * MAX_STR_BYTES, True),
        ("x" * (MAX_STR_BYTES + 1), False),
    ],
    ids=["map", "large map", "array", "large array", "string", "large string"],
)
def test_sizes_inside_a_message_are_limited(value, is_taken):
    """Whatever its key: a message of a few kilobytes must not become millions of objects."""
    payload = msgpack.packb({"v": "read/1", "new": value})
    if is_taken:
        assert unpack(payload)["new"] == value
    else:
        with pytest.raises(WireError):
            unpack(payload)

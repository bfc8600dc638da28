"""The wire: what is encoded comes back, whatever else comes in is refused with WireError, and the bytes are pinned."""

from __future__ import annotations

import math
from dataclasses import replace

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from protocol.wire.fields import MAX_EXTRA_DEPTH, pack, unpack

from agent.records import Box, Geotag
from agent.sync import convert
from protocol.errors import WireError
from protocol.wire import wire
from protocol.wire.enums import FixQuality, GeotagMethod, PictureKind, TimeSource
from tests import strategies as records
from tests.strategies import BOOT, make_dating_message, make_read, make_read_message

DECODERS = (
    wire.decode_record,
    wire.decode_chunk,
    wire.decode_health,
    wire.decode_status,
    wire.decode_down,
    wire.decode_offer,
    wire.decode_part,
    wire.decode_update,
)
SCHEMAS = {
    "read": (records.read_messages, wire.encode_read, wire.decode_record),
    "dating": (records.datings, wire.encode_time_anchor, wire.decode_record),
    "tombstone": (records.tombstones, wire.encode_tombstone, wire.decode_record),
    "chunk": (records.chunks, wire.encode_chunk, wire.decode_chunk),
    "health": (records.healths, wire.encode_health, wire.decode_health),
    "status": (records.statuses, wire.encode_status, wire.decode_status),
    "receipt": (records.receipts, wire.encode_receipt, wire.decode_down),
    "nack": (records.nacks, wire.encode_nack, wire.decode_down),
    "picture_status": (records.picture_statuses, wire.encode_picture_status, wire.decode_down),
    "offer": (records.offers, wire.encode_offer, wire.decode_offer),
    "part": (records.update_bytes, wire.encode_part, wire.decode_part),
    "wish": (records.chunk_requests, wire.encode_chunk_request, wire.decode_update),
    "report": (records.update_reports, wire.encode_report, wire.decode_update),
}
HASH = bytes(range(32))

EXAMPLES = {
    "read": wire.encode_read(make_read_message()),
    "dating": wire.encode_time_anchor(make_dating_message(5_000_000_000, seq=2)),
    "tombstone": wire.encode_tombstone(
        wire.TombstoneMessage(
            "unit-07",
            "Example Sheriff",
            BOOT,
            3,
            wire.record_id(BOOT, 3),
            wire.Tombstone(wire.Lost.OVERVIEW, wire.LostReason.BUDGET, 2, 81_920, ((1, 1), (7, 9))),
        )
    ),
    "chunk": wire.encode_chunk(
        wire.PictureChunk("unit-07", BOOT, BOOT[::-1], PictureKind.PLATE, HASH, 10, 4, b"jpeg")
    ),
    "health": wire.encode_health(
        wire.HealthMessage("unit-07", BOOT, 60_000_000, None, 17, (("reads", 3),), (("temperature_mc", -4_500),))
    ),
    "status": wire.encode_status(
        wire.StatusMessage("unit-07", BOOT, wire.UnitState.BIRTH, "", "patrol-lpr test", ("ocr@00000000",))
    ),
    "receipt": wire.encode_receipt(
        wire.Receipt("unit-07", "station-1", 1_780_000_001_000_000, ((1, BOOT),), ((HASH, 8),))
    ),
    "nack": wire.encode_nack(wire.Nack("unit-07", HASH, wire.NackCode.QUOTA, retry=True, detail="too many")),
    "picture_status": wire.encode_picture_status(wire.PictureStatus("unit-07", HASH, 4096)),
    "offer": wire.encode_offer(wire.UpdateOffer("unit-07", 42, HASH, 5_000_000, 0, ("code", "models"))),
    "part": wire.encode_part(wire.UpdateBytes("unit-07", HASH, 32_768, b"bytes")),
    "wish": wire.encode_chunk_request(wire.ChunkRequest("unit-07", BOOT, HASH, 32_768)),
    "report": wire.encode_report(
        wire.UpdateReport(
            "unit-07", BOOT, 41, 41, 42, wire.UpdateState.ROLLED_BACK, "not well in time", 5_000_000, HASH
        )
    ),
}


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
def test_what_is_encoded_comes_back_and_encodes_to_the_same_bytes(name, data):
    """Round trip for each message with all its unknown keys; the bytes are canonical, so hashes can name them."""
    messages, encode, decode = SCHEMAS[name]
    message = data.draw(messages())
    payload = encode(message)
    assert message == decode(payload)
    assert payload == encode(decode(payload))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_bytes_of_each_message_are_pinned(name, bless, repo):
    """An old station must read a new unit: the bytes of the examples change only on purpose."""
    path = repo / "tests" / "golden" / "wire" / f"{name}.hex"
    if bless:
        path.write_text(EXAMPLES[name].hex(" ", 16).replace(" ", "\n") + "\n", encoding="ascii")
    assert path.read_text(encoding="ascii").split() == EXAMPLES[name].hex(" ", 16).split()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_pinned_bytes_still_decode(name, repo):
    """What was once sent can be read for ever."""
    _, encode, decode = SCHEMAS[name]
    pinned = bytes.fromhex((repo / "tests" / "golden" / "wire" / f"{name}.hex").read_text(encoding="ascii"))
    assert pinned == encode(decode(pinned))


@given(st.binary(max_size=400), st.sampled_from(DECODERS))
def test_any_bytes_are_refused_with_a_wire_error(payload, decode):
    """A station faces the whole network: no input raises anything else."""
    with pytest.raises(WireError):
        decode(payload)


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
def test_a_damaged_message_is_refused_or_still_a_message(name, data):
    """One byte changed, bytes cut off, doubled or added: WireError, or a message that encodes to those very fields."""
    _, encode, decode = SCHEMAS[name]
    payload = EXAMPLES[name]
    at = data.draw(st.integers(0, len(payload) - 1))
    until = data.draw(st.integers(at, min(len(payload), at + 8)))
    damaged = payload[:at] + data.draw(st.binary(max_size=4)) + payload[until:]
    try:
        message = decode(damaged)
    except WireError:
        return
    assert message == decode(encode(message))


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
def test_a_field_of_any_other_value_is_refused_or_kept_in_range(name, data):
    """Well-formed msgpack with wrong values in right places: the deeper checks raise nothing but WireError."""
    _, encode, decode = SCHEMAS[name]
    fields = unpack(EXAMPLES[name])
    key = data.draw(st.sampled_from(sorted(fields)))
    values = records.PLAIN_VALUES | st.floats() | st.text(max_size=3)
    damaged = msgpack.packb({**fields, key: data.draw(values)})
    try:
        message = decode(damaged)
    except WireError:
        return
    assert message == decode(encode(message))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_needed(name):
    """A message with a key missing is refused by its name: nothing is guessed."""
    fields = unpack(EXAMPLES[name])
    decode = SCHEMAS[name][2]
    for key in fields:
        with pytest.raises(WireError, match=rf"message\.{key} is missing"):
            decode(pack({k: v for k, v in fields.items() if k != key}))


@pytest.mark.parametrize("name", SCHEMAS)
@given(keys=records.unknown_keys())
def test_unknown_keys_survive(name, keys):
    """A newer sender's keys pass through an older unit or station untouched."""
    _, encode, decode = SCHEMAS[name]
    newer = pack({**unpack(EXAMPLES[name]), **keys})
    assert newer == encode(decode(newer))


@pytest.mark.parametrize("name", SCHEMAS)
def test_another_schema_on_the_topic_is_refused_with_the_ones_that_are_taken(name):
    """The error says what came and what would be right: a nack carries it to a person."""
    decode = SCHEMAS[name][2]
    other = pack({**unpack(EXAMPLES[name]), "v": "read/2"})
    with pytest.raises(WireError, match=r"schema 'read/2' is not one of"):
        decode(other)


def _refused(payload: bytes, match: str) -> None:
    for decode in DECODERS:
        with pytest.raises(WireError, match=match):
            decode(payload)


def test_a_message_larger_than_the_limit_is_refused_before_it_is_decoded():
    """A foreign client cannot make the receiver work for nothing."""
    _refused(b"\x81\xa1v" + b"\x00" * wire.MAX_MESSAGE_BYTES, r"larger than 65536")


@pytest.mark.parametrize("nest", [b"\x91", b"\x81\xa1x"], ids=["arrays", "maps"])
def test_deep_nesting_is_refused(nest):
    """Thousands of opening brackets are an attack, not a message."""
    _refused(b"\x81\xa1x" + nest * 5000 + b"\xc0", r"not msgpack we take")


@pytest.mark.parametrize("depth", [MAX_EXTRA_DEPTH, MAX_EXTRA_DEPTH + 1])
def test_unknown_values_may_be_nested_as_deep_as_promised(depth):
    """The bound of the contract holds on both sides."""
    value = 1
    for _ in range(depth):
        value = [value]
    payload = pack({**unpack(EXAMPLES["nack"]), "x": value})
    if depth <= MAX_EXTRA_DEPTH:
        assert payload == wire.encode_nack(wire.decode_down(payload))
    else:
        with pytest.raises(WireError, match="nested deeper"):
            wire.decode_down(payload)


def test_duplicate_keys_are_refused_at_any_depth():
    """Two readers would believe two different values."""
    _refused(b"\x82\xa1v\x01\xa1v\x01", r"'v' comes twice")
    _refused(b"\x81\xa1v\x82\xa1a\x01\xa1a\x02", r"'a' comes twice")


@pytest.mark.parametrize("key", [b"\x01", b"\xc4\x01v", b"\xc0", b"\x90"], ids=["int", "bin", "nil", "array"])
def test_keys_that_are_no_strings_are_refused(key):
    """Keys are strings in every language."""
    _refused(b"\x81" + key + b"\x01", r"key|not msgpack")


@pytest.mark.parametrize("code", [-1, 0, 5, 127])
@pytest.mark.parametrize("size", [1, 4, 8, 12])
def test_extension_types_are_refused(code, size):
    """Timestamps (-1) and private types are not part of the protocol, in known keys and in unknown ones."""
    value = (
        msgpack.ExtType(code, b"\0" * size) if code >= 0 else msgpack.Timestamp(size * 2**30 * (size == 12), size)
    )
    for key in ("v", "x"):
        with pytest.raises(WireError):
            wire.decode_down(msgpack.packb({**unpack(EXAMPLES["nack"]), key: value}))


@given(st.floats())
def test_floats_are_refused(number):
    """They hash and print differently on different machines."""
    for key in ("retry", "x"):
        with pytest.raises(WireError):
            wire.decode_down(msgpack.packb({**unpack(EXAMPLES["nack"]), key: number}))


@given(st.text(min_size=1, max_size=200), st.sampled_from(["nack", "receipt"]))
@example("\n", "nack")
@example("x" * 4000, "nack")
def test_what_is_wrong_can_always_be_said_in_a_nack(key, name):
    """The error goes back over the wire: printable and short, whatever keys a stranger invents."""
    with pytest.raises(WireError) as caught:
        wire.decode_down(msgpack.packb({**unpack(EXAMPLES[name]), f"x{key}": 1.5}))
    nack = wire.Nack("unit-07", HASH, wire.NackCode.MALFORMED, retry=False, detail=str(caught.value))
    assert nack == wire.decode_down(wire.encode_nack(nack))


@pytest.mark.parametrize("payload", [b"", b"\xc0", b"\x90", b"\x01", b"\xa1v", b"\xc1", b"\x80\x80"])
def test_anything_but_one_map_is_refused(payload):
    """Nothing, scalars, arrays, reserved bytes, two maps."""
    for decode in DECODERS:
        with pytest.raises(WireError):
            decode(payload)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("read", {"seq": 0}, r"seq is 0, outside 1\.\."),
        ("read", {"seq": True}, "seq is a bool, not an integer"),
        ("read", {"id": b"short"}, r"id has 5 bytes, must have 16\.\.16"),
        ("read", {"dev": "a/b"}, "unit id"),
        ("read", {"dev": "+"}, "unit id"),
        ("read", {"pl": "7ABC\x00"}, "unprintable"),
        ("read", {"box": [9, 0, 3, 4]}, "ends before it begins"),
        ("read", {"box": [1, 2, 3]}, "has 3 items"),
        ("read", {"one": 1}, "one is a int, not a boolean"),
        ("read", {"frm": [0, 10]}, "outside"),
        ("tombstone", {"rng": [[4, 3]]}, "ends before it begins"),
        ("tombstone", {"why": "weather"}, "not one of budget"),
        ("chunk", {"len": 7}, "reach beyond len"),
        ("chunk", {"data": b""}, "has 0 bytes"),
        ("chunk", {"data": b"x" * 32_769, "len": 40_000}, "has 32769 bytes"),
        ("health", {"cnt": {"": 1}}, "has 0 characters"),
        ("health", {"cnt": {"a": "1"}}, "is a str, not an integer"),
        ("receipt", {"rec": [[1]]}, "has 1 items"),
        ("receipt", {"rec": [[1, BOOT]] * 1025}, "has 1025 items"),
        ("picture_status", {"off": -1}, "outside"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_key(name, wrong, says):
    """The station's nack tells the developer of a client what to mend."""
    with pytest.raises(WireError, match=says):
        SCHEMAS[name][2](pack({**unpack(EXAMPLES[name]), **wrong}))


def test_half_a_position_is_refused():
    """Latitude without longitude places a vehicle on a circle around the Earth."""
    fields = unpack(EXAMPLES["read"])
    with pytest.raises(WireError, match=r"gps\.lat and lon"):
        wire.decode_record(pack({**fields, "gps": {**fields["gps"], "lat": None}}))


@given(records.reads())
@example(make_read(where=Geotag(GeotagMethod.STALE, 45.0, -100.0, alt_m=1.7e308, quality=FixQuality.GNSS)))
def test_every_read_of_the_agent_is_a_message_the_station_takes(read):
    """A read with absurd figures is still a read: they are clamped, and it is never refused for them."""
    message = convert.read_message(read, unit="unit-07", agency="Example Sheriff", boot_id=BOOT, seq=1)
    assert message == wire.decode_record(wire.encode_read(message))
    assert (read.read_id, read.text, read.raw) == (message.read_id, message.text, message.raw)


@given(st.floats(0, 4e9))
def test_an_uncertainty_is_rounded_up(uncertainty_ms):
    """A bound must stay a bound."""
    when = replace(make_read().when, uncertainty_ms=uncertainty_ms)
    assert uncertainty_ms <= make_read_message(when=when).time.uncertainty_ms <= uncertainty_ms + 1


@given(st.floats(0, 4e7))
def test_a_position_error_is_rounded_up(error_m):
    """The same for the error bound of a position, to the centimetre."""
    where = replace(make_read().where, error_m=error_m)
    told_m = make_read_message(where=where).place.error_cm / 100
    assert error_m * (1 - 1e-12) <= told_m <= error_m + 0.01 + 1e-6


@given(st.builds(Box, *[st.floats()] * 4))
def test_a_box_of_any_numbers_lies_in_the_frame(box):
    """A box that reaches out of the picture is cut to it; one that is no number has no area."""
    x0, y0, x1, y1 = make_read_message(box=box).box_px
    assert 0 <= x0 <= x1 <= 64
    assert 0 <= y0 <= y1 <= 48


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_position_is_kept_to_a_centimetre(lat_deg, lon_deg):
    """1e-7 degrees are 11 mm at most."""
    place = make_read_message(where=Geotag(GeotagMethod.STALE, lat_deg, lon_deg)).place
    assert math.isclose(lat_deg, place.lat_deg, abs_tol=0.51e-7)
    assert math.isclose(lon_deg, place.lon_deg, abs_tol=0.51e-7)


def test_a_read_without_time_and_place_is_a_message():
    """No fix still gives a read, flagged."""
    when = replace(make_read().when, utc_ns=None, source=TimeSource.NONE, uncertainty_ms=None)
    message = make_read_message(when=when, where=Geotag(GeotagMethod.NONE))
    assert message == wire.decode_record(wire.encode_read(message))
    assert (message.utc_us, message.place.method) == (None, GeotagMethod.NONE)


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**62), st.integers(1, 2**62))
def test_record_ids_differ_where_sequence_numbers_differ(boot_id, seq, other):
    """A record that is not a read is named by its boot and number alone, the same each time it is encoded."""
    assert (wire.record_id(boot_id, seq) == wire.record_id(boot_id, other)) is (seq == other)
    assert wire.record_id(boot_id, seq) != wire.record_id(bytes([boot_id[0] ^ 1]) + boot_id[1:], seq)


def test_a_read_without_pictures_keeps_below_a_kilobyte():
    """Cellular data costs: the record itself must stay small."""
    assert len(EXAMPLES["read"]) <= 1024

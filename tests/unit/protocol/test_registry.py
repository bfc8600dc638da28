"""Record types are declared once, each in its module; code that iterates the registry supports new ones."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import WireError
from protocol.wire import records
from protocol.wire.codec import U8, Text32, key, pack, unpack
from protocol.wire.record import Record, decode_record, encode_record
from protocol.wire.records.read import RECORD_TYPE as READ_TYPE
from protocol.wire.records.read import Read
from protocol.wire.registry import Priority, RecordBody, RecordType, Registry
from protocol.wire.released import released_registry
from tests.builders import make_read, make_record
from tests.strategies import record_messages


class Toy(RecordBody):
    """A type that no release has."""

    SCHEMA: ClassVar[str] = "toy/1"

    name: Annotated[Text32, key("nam")]
    size: Annotated[U8, key("siz")]


class NewerRead(Read):
    """A read with one thing more to say, in the same schema."""

    weather: Annotated[Text32, key("wea")] = ""


TOY_TYPE = RecordType(schema="toy/1", model=Toy, priority=Priority.URGENT)
TYPES = released_registry()
WITH_TOY = TYPES.with_type(TOY_TYPE)
NEWER = TYPES.with_type(RecordType(schema="read/1", model=NewerRead))
MODULES = [found.name for found in pkgutil.iter_modules(records.__path__)]


@given(record_messages(Toy))
def test_a_new_type_is_encoded_and_decoded_like_all_others(record):
    """Bodies, envelopes and unknown keys come back, and the bytes are the same."""
    decoded = decode_record(record.payload, WITH_TOY)
    assert decoded == record
    assert encode_record(decoded.envelope, decoded.body) == record.payload
    assert isinstance(decoded.body, Toy)


def test_envelope_of_an_unknown_type_is_decoded():
    """The record can be stored and receipted, and read when the type is known."""
    record = make_record(Toy(name="top", size=3))
    stored = decode_record(record.payload, TYPES)
    assert stored == Record(record.envelope, None, record.payload)
    assert decode_record(stored.payload, WITH_TOY).body == Toy(name="top", size=3)


def test_declared_fields_of_a_new_type_are_checked():
    """An unknown type may have any body; a known one only what it declares."""
    wrong = pack({**unpack(make_record(Toy(name="top", size=3)).payload), "siz": 256})
    assert decode_record(wrong, TYPES).body is None
    with pytest.raises(WireError, match=r"toy/1\.siz: .*less than or equal to 255"):
        decode_record(wrong, WITH_TOY)


def test_envelope_and_body_must_have_the_same_schema():
    """The schema is in both: they cannot contradict each other."""
    record = make_record(Toy(name="top", size=3))
    with pytest.raises(ValueError, match=r"envelope has schema toy/1, the body read/1"):
        encode_record(record.envelope, make_read().body)


def test_duplicate_schema_is_refused():
    """Decoding would be ambiguous."""
    with pytest.raises(ValueError, match="two record types have the same schema"):
        Registry((READ_TYPE, TOY_TYPE, READ_TYPE))


def test_type_and_model_must_have_the_same_schema():
    with pytest.raises(ValueError, match=r"Toy declares toy/1, its type toy/2"):
        RecordType(schema="toy/2", model=Toy)


def test_registry_is_immutable():
    """The registry is immutable: the one before knows no toys, the one after all others too."""
    assert TYPES.get("toy/1") is None
    assert WITH_TOY.get("toy/1") is TOY_TYPE
    assert {known.schema for known in WITH_TOY} == {known.schema for known in TYPES} | {"toy/1"}
    assert [NEWER.get("read/1").model, len(list(NEWER))] == [NewerRead, len(list(TYPES))]


@pytest.mark.parametrize("module", MODULES)
def test_every_record_module_is_released_and_documented(module, repo):
    """A type needs a file in the folder and a section in the document."""
    found = importlib.import_module(f"{records.__name__}.{module}").RECORD_TYPE
    assert TYPES.get(found.schema) is found
    assert found.schema == found.model.SCHEMA
    document = (repo / "docs" / "wire-format.md").read_text(encoding="utf-8")
    assert re.search(rf"^### `{re.escape(found.schema)}`$", document, flags=re.MULTILINE)


def test_every_type_is_released_once():
    assert len(list(TYPES)) == len(MODULES)


def test_new_optional_field_does_not_change_earlier_bytes(repo):
    """A newer station decodes bytes of today's units, and encodes the same bytes."""
    pinned = bytes.fromhex((repo / "tests" / "golden" / "wire" / "read.hex").read_text(encoding="ascii"))
    record = decode_record(pinned, NEWER)
    assert isinstance(record.body, NewerRead)
    assert record.body.weather == ""
    assert encode_record(record.envelope, record.body) == pinned


@given(st.text("rain snow", max_size=32))
def test_new_optional_field_round_trip(weather):
    """Also through a station that does not know it yet."""
    body = NewerRead(**dict(make_read().body), weather=weather)
    sent = make_record(body).payload
    assert ("wea" in unpack(sent)) is (weather != "")
    assert decode_record(sent, NEWER).body == body
    older = decode_record(sent, TYPES)
    assert type(older.body) is Read
    assert encode_record(older.envelope, older.body) == sent


def test_new_optional_field_is_validated():
    body = NewerRead(**dict(make_read().body), weather="fog")
    with pytest.raises(WireError, match=r"read/1\.wea: .*valid string"):
        decode_record(pack({**unpack(make_record(body).payload), "wea": 1}), NEWER)

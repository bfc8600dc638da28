"""Record types are declared once, each in its module; whatever iterates the registry takes a new one as it is."""

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


def test_whoever_does_not_know_a_type_knows_the_envelope():
    """The record can be stored and receipted, and read when the type is known."""
    record = make_record(Toy(name="top", size=3))
    stored = decode_record(record.payload, TYPES)
    assert stored == Record(record.envelope, None, record.payload)
    assert decode_record(stored.payload, WITH_TOY).body == Toy(name="top", size=3)


def test_what_a_new_type_declares_is_checked():
    """An unknown type may say anything; a known one only what it declares."""
    wrong = pack({**unpack(make_record(Toy(name="top", size=3)).payload), "siz": 256})
    assert decode_record(wrong, TYPES).body is None
    with pytest.raises(WireError, match=r"toy/1\.siz: .*less than or equal to 255"):
        decode_record(wrong, WITH_TOY)


def test_an_envelope_fits_the_body_it_names():
    """The schema is in both: they cannot contradict each other."""
    record = make_record(Toy(name="top", size=3))
    with pytest.raises(ValueError, match=r"envelope has schema toy/1, the body read/1"):
        encode_record(record.envelope, make_read().body)


def test_two_types_of_one_schema_are_refused():
    """Which of them would decode it?"""
    with pytest.raises(ValueError, match="two record types have the same schema"):
        Registry((READ_TYPE, TOY_TYPE, READ_TYPE))


def test_a_type_is_one_of_the_schema_that_its_model_declares():
    with pytest.raises(ValueError, match=r"Toy declares toy/1, its type toy/2"):
        RecordType(schema="toy/2", model=Toy)


def test_adding_a_type_changes_nothing_for_others():
    """The registry is immutable: the one before knows no toys, the one after all others too."""
    assert TYPES.get("toy/1") is None
    assert WITH_TOY.get("toy/1") is TOY_TYPE
    assert {known.schema for known in WITH_TOY} == {known.schema for known in TYPES} | {"toy/1"}
    assert [NEWER.get("read/1").model, len(list(NEWER))] == [NewerRead, len(list(TYPES))]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_declares_a_type_that_is_released_and_documented(module, repo):
    """A file in the folder is all that it takes, and a page of the contract."""
    found = importlib.import_module(f"{records.__name__}.{module}").RECORD_TYPE
    assert TYPES.get(found.schema) is found
    assert found.schema == found.model.SCHEMA
    document = (repo / "docs" / "wire-format.md").read_text(encoding="utf-8")
    assert re.search(rf"^### `{re.escape(found.schema)}`$", document, flags=re.MULTILINE)


def test_every_type_is_released_once():
    assert len(list(TYPES)) == len(MODULES)


def test_a_new_optional_field_leaves_the_bytes_of_earlier_versions_as_they_are(repo):
    """A station that knows more reads what units of today send, and hands on the same bytes."""
    pinned = bytes.fromhex((repo / "tests" / "golden" / "wire" / "read.hex").read_text(encoding="ascii"))
    record = decode_record(pinned, NEWER)
    assert isinstance(record.body, NewerRead)
    assert record.body.weather == ""
    assert encode_record(record.envelope, record.body) == pinned


@given(st.text("rain snow", max_size=32))
def test_a_new_optional_field_comes_back_when_it_is_set(weather):
    """Also through a station that does not know it yet."""
    body = NewerRead(**dict(make_read().body), weather=weather)
    sent = make_record(body).payload
    assert ("wea" in unpack(sent)) is (weather != "")
    assert decode_record(sent, NEWER).body == body
    older = decode_record(sent, TYPES)
    assert type(older.body) is Read
    assert encode_record(older.envelope, older.body) == sent


def test_a_new_optional_field_is_checked_when_it_is_there():
    body = NewerRead(**dict(make_read().body), weather="fog")
    with pytest.raises(WireError, match=r"read/1\.wea: .*valid string"):
        decode_record(pack({**unpack(make_record(body).payload), "wea": 1}), NEWER)

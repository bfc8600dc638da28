"""The saved document: whole or refused, whatever is on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.shift.errors import ShiftError
from agent.shift.state import DutyState, dump_state, load_state
from tests.duty_builder import Car
from tests.shift_builders import make_draft
from tests.strategies import PLAIN_VALUES


def document() -> bytes:
    car = Car()
    on = car.sign_on(zone="north", crew=("4712",))
    car.duty.put_draft(make_draft(bytes.fromhex(on.shift.shift_id)), car.now)
    car.wait(100)
    return car.disk


DOCUMENT = document()


def with_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def test_the_document_comes_back():
    assert dump_state(load_state(DOCUMENT)) == DOCUMENT
    assert load_state(dump_state(DutyState())) == DutyState()


def test_the_document_has_neither_session_nor_pin():
    car = Car()
    session = car.sign_on().session
    assert session.encode() not in car.disk
    assert b"482913" not in car.disk


@given(st.data())
def test_a_changed_byte_is_noticed(data):
    damaged = bytearray(DOCUMENT)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ShiftError):
        load_state(bytes(damaged))


@given(st.integers(0, len(DOCUMENT) - 1))
def test_a_truncated_document_is_noticed(length):
    with pytest.raises(ShiftError):
        load_state(DOCUMENT[:length])


@given(st.data())
def test_any_other_value_is_refused_or_loads(data):
    """A valid hash says nothing of the contents: another version may have written them."""
    fields = json.loads(DOCUMENT.partition(b"\n")[2])
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(PLAIN_VALUES)
    with contextlib.suppress(ShiftError):
        load_state(with_hash(json.dumps(fields, default=repr).encode()))

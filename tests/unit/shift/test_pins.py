"""PINs: only argon2id within the bounds, and never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.shift.pins import Argon2Pins, check_pin
from protocol.roster.roster import check_pin_hash

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pins():
    return Argon2Pins()


def test_a_hash_of_ours_matches_its_pin_alone(pins):
    made = pins.hash("482913")
    check_pin_hash(made)
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert pins.is_right("482913", made)
    assert not pins.is_right("482914", made)
    assert not pins.is_right("", made)
    assert not pins.is_right("482913", None)


@pytest.mark.parametrize(
    "costs",
    ["m=4194304,t=3,p=4", "m=65536,t=99,p=4", "m=65536,t=3,p=32", "m=8,t=3,p=1", "m=65536,t=1,p=1"],
)
def test_hashes_with_other_costs_are_refused_without_computing_them(pins, costs):
    text = f"$argon2id$v=19${costs}$c2FsdHNhbHRzYWx0MTE$" + "A" * 43
    with pytest.raises(ValueError, match="costs of a PIN's hash"):
        check_pin_hash(text)
    assert not pins.is_right("482913", text)


@given(st.text(max_size=60))
def test_anything_else_is_no_hash(text):
    with pytest.raises(ValueError, match="must be an argon2id hash"):
        check_pin_hash(text)


@pytest.mark.parametrize(
    "pin", ["1234", "111111", "123456", "987654", "12345\n6", "\uff14\uff18\uff12\uff19\uff11\uff13", "4" * 65]
)
def test_simple_pins_are_refused(pin):
    with pytest.raises(ValueError, match="PIN"):
        check_pin(pin)

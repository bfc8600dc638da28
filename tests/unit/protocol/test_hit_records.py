"""Verification is enforced by the record itself: nothing constructs or decodes a confirmation without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.errors import WireError
from protocol.wire.codec import pack, unpack
from protocol.wire.enums import DispositionAction
from protocol.wire.record import decode_record
from protocol.wire.records.disposition import Checks, Disposition
from protocol.wire.released import released_registry
from tests.builders import make_record
from tests.hit_builders import ALL_EQUAL, make_disposition, make_hit_body

ANSWERS = (None, False, True)
INCOMPLETE = [
    {"checks": Checks(characters=chars, region=region, vehicle=vehicle)}
    for chars in ANSWERS
    for region in ANSWERS
    for vehicle in ANSWERS
    if not chars or not region or not vehicle
] + [{name: value} for name in ("officer", "confirming_agency", "reference") for value in ("", " ")]


@pytest.mark.parametrize("missing", INCOMPLETE)
def test_confirmed_cannot_be_constructed_without_every_check_and_the_confirmation(missing):
    with pytest.raises(ValidationError, match="confirmed needs"):
        make_disposition(**missing)


CHECKED = {"chr": True, "js": True, "veh": True}


@pytest.mark.parametrize(
    "missing",
    [
        *({"chk": {**CHECKED, name: value}} for name in CHECKED for value in (None, False)),
        *({name: ""} for name in ("who", "cagy", "ref")),
    ],
)
def test_confirmed_cannot_be_decoded_without_every_check_and_the_confirmation(missing):
    """A unit that skips the verification is refused by the station."""
    whole = make_record(make_disposition()).payload
    with pytest.raises(WireError, match="confirmed needs"):
        decode_record(pack({**unpack(whole), **missing}), released_registry())


@pytest.mark.parametrize(
    ("action", "missing"),
    [
        (DispositionAction.REJECTED, {"reason": ""}), (DispositionAction.REJECTED, {"officer": ""}),
        (DispositionAction.OUTCOME, {"outcome": ""}), (DispositionAction.OUTCOME, {"officer": ""}),
        (DispositionAction.EXPIRED, {"reason": ""}),
    ],
)  # fmt: skip
def test_other_dispositions_need_who_and_why(action, missing):
    assert make_disposition(action)
    with pytest.raises(ValidationError):
        make_disposition(action, **missing)


def test_button_acknowledges_without_an_officer():
    assert make_disposition(DispositionAction.ACKNOWLEDGED, officer="").officer == ""


@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS), st.sampled_from(ANSWERS))
def test_all_equal_means_compared_and_equal(characters, region, vehicle):
    checks = Checks(characters=characters, region=region, vehicle=vehicle)
    assert checks.all_equal is (checks == ALL_EQUAL)


def test_copy_of_a_disposition_is_checked_again_on_the_wire():
    """``model_copy`` does not validate; the bytes it gives are refused."""
    forged = make_disposition(DispositionAction.REJECTED).model_copy(
        update={"action": DispositionAction.CONFIRMED}
    )
    assert isinstance(forged, Disposition)
    with pytest.raises(WireError, match="confirmed needs"):
        decode_record(make_record(forged).payload, released_registry())


def test_hit_has_one_confidence_for_each_character():
    with pytest.raises(ValidationError, match="confidence"):
        make_hit_body(char_confidence_u8=b"\xff")

"""Rosters: only what the agency signed, whole, consistent, for this unit, and never an older one; tokens likewise."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RosterError, SignedFileError, TokenError
from protocol.roster.envelope import roster_header, sign_roster, verify_roster
from protocol.roster.roster import draft_roster, parse_roster
from protocol.roster.token import Token, sign_token, verify_token
from protocol.seal.keys import SigningKey
from tests.duty_builder import UTC_S, make_roster, roster_values
from tests.strategies import PLAIN_VALUES

KEY, OTHER = SigningKey.generate(), SigningKey.generate()


def signed(key=KEY, **header):
    roster = make_roster()
    return sign_roster(
        roster, roster_header(roster, **{"id": "sheriff", "version": 3, "as_of_s": UTC_S, **header}), key
    )


def test_a_signed_roster_comes_back():
    found = verify_roster(BytesIO(signed(expires_s=UTC_S + 10)), [KEY.public])
    assert found.roster == make_roster()
    assert (found.version, found.has_expired(None), found.has_expired(UTC_S + 9)) == (3, False, False)
    assert found.has_expired(UTC_S + 10)


def test_a_roster_of_another_agency_is_refused():
    with pytest.raises(SignedFileError, match="another agency"):
        verify_roster(BytesIO(signed(OTHER)), [KEY.public])


@given(st.data())
def test_any_changed_byte_is_refused(data):
    whole = bytearray(signed())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignedFileError):
        verify_roster(BytesIO(bytes(whole)), [KEY.public])


@given(st.binary(max_size=300) | PLAIN_VALUES.map(lambda value: json.dumps(value, default=repr).encode()))
def test_any_other_contents_are_refused_with_a_roster_error(contents):
    with pytest.raises(RosterError):
        parse_roster(contents)


@given(st.data())
def test_any_value_in_any_place_is_refused_or_in_range(data):
    values = roster_values()
    path, inner = [], values
    while isinstance(inner, dict | list) and inner:
        step = data.draw(
            st.sampled_from(sorted(inner)) if isinstance(inner, dict) else st.integers(0, len(inner) - 1)
        )
        path.append((inner, step))
        inner = inner[step]
    holder, step = path[data.draw(st.integers(0, len(path) - 1))]
    holder[step] = data.draw(PLAIN_VALUES | st.floats())
    try:
        roster = draft_roster(values)
    except RosterError:
        return
    assert parse_roster(roster.canonical()) == roster


def test_errors_do_not_repeat_what_was_given():
    """It includes hashes of PINs and names."""
    values = roster_values()
    values["officers"][0]["pin"] = "secret-482913"
    with pytest.raises(RosterError) as refused:
        draft_roster(values)
    assert "482913" not in str(refused.value)
    assert "officers.0.pin" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "update this unit first"),
        ({"activities": []}, "activities"),
        ({"zones": [{"id": "z", "name": "Z", "corners": [[0, 0], [1, 1]]}]}, "must have 3 or more items"),
        (
            {"zones": [{"id": "z", "name": "Z", "corners": [[0, -1_790_000_000], [1, 1_790_000_000], [2, 0]]}]},
            "antimeridian",
        ),
        ({"officers": roster_values()["officers"] * 2}, "listed twice"),
        ({"officers": roster_values()["officers"][1:]}, "not an officer"),
        ({"secret": 1}, "secret: unknown key"),
    ],
)  # fmt: skip
def test_inconsistent_rosters_are_refused_with_the_reason(change, says):
    with pytest.raises(RosterError, match=says):
        draft_roster(roster_values(**change))


def test_the_planned_shift_is_the_one_of_this_time():
    shifts = [
        {"id": f"s{n}", "badge": "4711", "starts_s": UTC_S + n * 30_000, "ends_s": UTC_S + n * 30_000 + 36_000}
        for n in range(3)
    ]
    roster = make_roster(shifts=shifts)
    found = [roster.planned("4711", UTC_S + s) for s in (-4000, -3000, 0, 29_999, 31_000, 100_000)]
    assert [shift.id if shift else None for shift in found] == [None, "s0", "s0", "s0", "s0", None]
    assert roster.planned("4712", UTC_S) is None


def token(key=KEY, **other):
    values = {
        "badge": "4711",
        "unit": "unit-07",
        "not_before_s": UTC_S,
        "expires_s": UTC_S + 600,
        "nonce": "0" * 32,
    }
    return sign_token(Token(**{**values, **other}), key)


def test_a_token_is_accepted_on_its_unit_in_its_time():
    assert verify_token(token(), KEY.public, unit="unit-07", now_s=UTC_S).badge == "4711"


@pytest.mark.parametrize(
    ("text", "unit", "now_s", "says"),
    [
        (token(), "unit-08", UTC_S, "is for unit-07"),
        (token(), "unit-07", UTC_S + 600, "expired"),
        (token(), "unit-07", UTC_S - 1, "not valid yet"),
        (token(), "unit-07", None, "does not know the time"),
        (token(OTHER), "unit-07", UTC_S, "signature is invalid"),
        (token(expires_s=UTC_S + 10**6), "unit-07", UTC_S, "longer than 24 hours"),
    ],
)
def test_other_tokens_are_refused(text, unit, now_s, says):
    with pytest.raises(TokenError, match=says):
        verify_token(text, KEY.public, unit=unit, now_s=now_s)


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: token()[:20] + raw.hex()))
def test_any_text_is_refused_with_a_token_error(text):
    with pytest.raises(TokenError):
        verify_token(text, KEY.public, unit="unit-07", now_s=UTC_S)

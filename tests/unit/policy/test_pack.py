"""Policy packs: what contradicts itself is refused with a clear message, and only canonical bytes are read."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PatrolError, PolicyError, SignedFileError
from protocol.policy.envelope import open_pack, sign_pack
from protocol.policy.pack import MAX_PACK_BYTES, PolicyPack, pack_of_toml, parse_pack, strict_pack
from protocol.seal.keys import SigningKey
from protocol.signed_file import SignedHeader, sign_bytes
from tests.unit.policy.packs import SQUARE, make_pack, told

KEY = SigningKey.generate()
NIGHT = {"name": "night", "days": ["mon", "fri"], "from": "22:00", "to": "06:00", "zone": "America/New_York"}
WEEK = {"name": "all", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "zone": "UTC"}
FENCE = {"name": "clinic", "polygon": SQUARE}
BOW = ((0, 0), (1, 1), (1, 0), (0, 1))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def refused(**changes) -> str:
    """The message for a pack with these changes."""
    with pytest.raises(PolicyError) as error:
        parse_pack(json.dumps(told(**changes)).encode())
    return str(error.value)


def test_canonical_bytes_round_trip():
    pack = make_pack(fences=[FENCE], off_hours=[NIGHT], areas=[SQUARE])
    assert parse_pack(pack.canonical()) == pack


def test_signed_pack_round_trips():
    signed = open_pack(
        BytesIO(sign_pack(make_pack(), KEY, as_of_s=1_780_000_000, owner="Example Sheriff")), [KEY.public]
    )
    assert (signed.pack, signed.header.owner, signed.header.version) == (make_pack(), "Example Sheriff", 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retain": {"hit": {"days": 1}}}, 'keep = "every_read" needs retain.nonhit'),
        ({"keep": "hits_only"}, 'keep = "hits_only" contradicts retain.nonhit: nothing of it is kept'),
        ({"keep": "nothing"}, 'keep = "nothing" contradicts retain.hit'),
        ({"keep": "keyed_hash", "retain": {"hit": {"days": 1}}}, "needs retain.hash"),
        ({"retain": {"hit": {"days": 1}, "nonhit": {"days": 2}}}, "retain.hit is shorter than retain.nonhit"),
        ({"retain": {"hit": {"days": 1, "hours": 2}, "nonhit": {"hours": 1}}}, "give one of minutes, hours and days"),
        ({"retain": {"hit": {}, "nonhit": {"hours": 1}}}, "give one of minutes"),
        ({"retain": {"hit": {"days": 36_500}, "nonhit": {"days": 1}}}, "unlimited retention is not possible"),
        ({"retain": {"hit": {"days": 0}, "nonhit": {"days": 1}}}, "must be 1 or more"),
        ({"pictures": {"plate": True, "overview": "vehicle"}}, 'the table "vehicle" belongs to'),
        ({"fences": [FENCE, FENCE]}, "two fences are called 'clinic'"),
        ({"fences": [{"name": "bow", "polygon": BOW}]}, "fence 'bow': it crosses itself: its edges after corner 1 and"),
        ({"areas": [BOW]}, "area 1: it crosses itself"),
        ({"fences": [{"name": "line", "polygon": ((0, 0), (1, 1))}]}, "fence 'line': a polygon needs at least 3"),
        ({"off_hours": [{**NIGHT, "zone": "Mars/Olympus"}]}, "is not a time zone"),
        ({"off_hours": [{**WEEK, "from": "06:00", "to": "06:00"}]}, "cover the whole week"),
        ({"off_hours": [{**NIGHT, "from": "24:00"}]}, "off_hours.0.from"),
        ({"lists": {"max_age_hours": 48, "stop_age_hours": 24, "partial": "never"}}, "stop_age_hours is below"),
        ({"entries": {"roles": ["officer"]}}, "entries of an officer must end"),
        ({"sources": [{"figure": "retain.case", "verified": True, "text": "x"}]}, "the pack has no 'retain.case'"),
        ({"keep": "everything"}, "keep: must be"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"title": None}, "title: missing"),
        ({"position_sigmas": 0.5}, "position_sigmas"),
        ({"version": True}, "version"),
    ],
)  # fmt: skip
def test_contradictions_and_mistakes_are_refused_with_their_key(changes, words):
    assert words in refused(**changes)


def test_every_problem_is_listed_at_once():
    message = refused(keep="hits_only", fences=[FENCE, {"name": "bow", "polygon": BOW}, FENCE])
    assert "contradicts retain.nonhit" in message
    assert "crosses itself" in message
    assert "two fences" in message


@pytest.mark.slow
def test_too_many_corners_are_refused_before_they_are_compared():
    fence = tuple((i / 1000, (i * i) % 97 / 100) for i in range(250))
    assert "more than 16384 corners" in refused(fences=[{"name": f"f{n}", "polygon": fence} for n in range(80)])


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data):
    with pytest.raises(PolicyError):
        parse_pack(data)


@given(st.text(max_size=200))
def test_any_text_is_refused_as_toml(text):
    with pytest.raises(PolicyError):
        pack_of_toml(text, "policy.toml")


@given(st.data())
def test_any_value_in_any_place_is_refused_or_valid(data):
    """Nothing but PolicyError is raised, and what is accepted is canonical."""
    pack = told(fences=[FENCE], off_hours=[NIGHT])
    name = data.draw(st.sampled_from(sorted(pack)))
    value = data.draw(JSON_VALUES)
    if isinstance(pack[name], dict) and data.draw(st.booleans()):
        value = {**pack[name], data.draw(st.sampled_from(sorted(pack[name]))): value}
    try:
        found = PolicyPack.model_validate_json(json.dumps({**pack, name: value}))
    except ValueError:
        with pytest.raises(PolicyError):
            parse_pack(json.dumps({**pack, name: value}).encode())
    else:
        assert parse_pack(found.canonical()) == found


def test_bytes_that_are_not_canonical_are_refused():
    """One policy has one hash."""
    pack = make_pack()
    with pytest.raises(PolicyError, match="canonical"):
        parse_pack(pack.canonical().replace(b":", b": ", 1))


def test_larger_packs_are_not_parsed():
    with pytest.raises(PolicyError, match="at most"):
        parse_pack(b" " * (MAX_PACK_BYTES + 1))


def test_newer_format_says_so():
    with pytest.raises(PolicyError, match="update first"):
        parse_pack(json.dumps(told(format=2)).encode())


def test_header_and_contents_must_agree():
    """A header of another policy does not put these contents in force."""
    data = sign_pack(make_pack(), KEY, as_of_s=1)
    header = open_pack(BytesIO(data), [KEY.public]).header
    other = SignedHeader(**{**header.model_dump(), "version": 4})
    with pytest.raises(PolicyError, match="the header says us-xx/4"):
        open_pack(BytesIO(sign_bytes(other, KEY, make_pack().canonical())), [KEY.public])


def test_unsigned_pack_is_refused():
    with pytest.raises(SignedFileError, match="not a signed policy"):
        open_pack(BytesIO(make_pack().canonical()), [KEY.public])


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_files_are_refused(data, at):
    whole = sign_pack(make_pack(), KEY, as_of_s=1)
    damaged = whole[:at] + data + whole[at + len(data) :]
    if damaged != whole:
        with pytest.raises(PatrolError):
            open_pack(BytesIO(damaged), [KEY.public])


def test_strict_default_keeps_hits_only_and_no_scene():
    pack = strict_pack()
    assert (pack.keep, pack.pictures.overview, pack.entries.roles, pack.lists.partial) == (
        "hits_only",
        "none",
        (),
        "never",
    )
    assert pack.is_for("any agency")

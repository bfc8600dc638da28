"""Plates that officers enter: matched like a list, expiring, and never too vague."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hits.errors import HitRefusedError
from agent.hits.watch import MAX_WATCHED, Entered, WatchedPlates, as_plate, clean
from agent.hotlist.records import RegionMatch, Rule
from agent.records import CharRead, PlateText
from tests import strategies as drawn
from tests.builders import make_plate

H_US = 3_600_000_000
BOOT = bytes(16)


def watching(text, region="?", *, now=0, hours=8.0):
    plates = WatchedPlates("Sheriff", BOOT)
    plates.add(clean(Entered(text, region, "amber alert", hours), 24), "e-1", "1234", now)
    return plates


@pytest.mark.parametrize(
    ("entered", "read", "matches"),
    [
        ("7abc 123", "7ABC123", True), ("7ABC123", "7ABC124", False), ("7AB?123", "7ABC123", True),
        ("7AB*", "7ABC123", True), ("*BC1*", "7ABC123", True), ("7AB?", "7ABC123", False), ("O12", "012", True),
    ],
)  # fmt: skip
def test_entry_matches_like_a_list(entered, read, matches):
    found = watching(entered).match(make_plate(read), now_utc_us=1)
    assert bool(found) is matches
    if found:
        assert (found[0].rule, found[0].entry.reason, found[0].entry.note) == (
            Rule.MANUAL, "amber alert", "entered by 1234",
        )  # fmt: skip


def test_region_is_compared():
    plates = watching("7ABC123", "us-nv")
    assert (
        plates.match(make_plate("7ABC123", region="US-CA"), now_utc_us=1)[0].region_match is RegionMatch.DIFFERENT
    )


def test_likely_other_text_of_a_read_matches_with_its_probability():
    chars = (CharRead("8", 0.6, (("B", 0.4),)), *(CharRead(c, 0.99) for c in "XYZ9"))
    (match,) = watching("BXYZ9").match(PlateText(chars, 0.6), now_utc_us=1)
    assert 0.1 <= match.probability <= 0.4


def test_entry_ends_with_its_hours():
    plates = watching("7ABC123", hours=2)
    assert plates.match(make_plate("7ABC123"), now_utc_us=2 * H_US - 1)
    assert not plates.match(make_plate("7ABC123"), now_utc_us=2 * H_US)
    assert plates.match(make_plate("7ABC123"), now_utc_us=None), "while the time is unknown, nothing is hidden"


def test_entry_without_a_known_time_ends_with_the_boot():
    plates = watching("7ABC123", now=None)
    assert plates.match(make_plate("7ABC123"), now_utc_us=10**15)
    same, next_boot = WatchedPlates("Sheriff", BOOT), WatchedPlates("Sheriff", b"other")
    same.restore(plates.watched)
    next_boot.restore(plates.watched)
    assert (len(same.watched), len(next_boot.watched)) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entered", "code"),
    [
        (Entered("", "?", "x", 8), "bad_plate"), (Entered("A?*", "?", "x", 8), "bad_plate"),
        (Entered("ABCDEFGHIJKLM", "?", "x", 8), "bad_plate"), (Entered("AB;DROP", "?", "x", 8), "bad_plate"),
        (Entered("ÄBC123", "?", "x", 8), "bad_plate"), (Entered("ABC123", "California", "x", 8), "bad_region"),
        (Entered("ABC123", "?", " ", 8), "no_reason"), (Entered("ABC123", "?", "\u200b", 8), "no_reason"),
        (Entered("ABC123", "?", "x", 25), "bad_hours"),
        (Entered("ABC123", "?", "x", float("nan")), "bad_hours"), (Entered("ABC123", "?", "x", 0), "bad_hours"),
    ],
)  # fmt: skip
def test_entry_that_is_too_vague_or_says_no_reason_is_refused(entered, code):
    with pytest.raises(HitRefusedError) as refused:
        clean(entered, 24)
    assert refused.value.code == code


def test_number_of_entries_is_limited_and_expired_ones_make_room():
    plates = WatchedPlates("Sheriff", BOOT)
    entered = clean(Entered("ABC123", "?", "x", 1), 24)
    for n in range(MAX_WATCHED):
        plates.add(entered, f"e-{n}", "1234", 0)
    with pytest.raises(HitRefusedError, match="at most 100"):
        plates.add(entered, "e-more", "1234", 0)
    plates.add(entered, "e-later", "1234", H_US)
    assert [entry.entry_id for entry in plates.watched] == ["e-later"]


def test_removed_entry_matches_no_more():
    plates = watching("7ABC123")
    plates.remove("e-1")
    assert not plates.match(make_plate("7ABC123"), now_utc_us=1)
    with pytest.raises(HitRefusedError, match="no such entry"):
        plates.remove("e-1")


@given(st.text(max_size=14), st.text(max_size=8), st.floats())
def test_whatever_is_entered_is_refused_or_can_be_matched(text, region, hours):
    try:
        entered = clean(Entered(text, region, "x", hours), 24)
    except HitRefusedError:
        return
    plates = WatchedPlates("Sheriff", BOOT)
    plates.add(entered, "e", "1234", 0)
    plate = as_plate(entered.text, entered.region)
    assert plate is None or plates.match(plate, now_utc_us=0)


@given(drawn.plates())
def test_any_read_may_be_matched(plate):
    watching("*ABC*").match(plate, now_utc_us=1)

"""What the unit says: short, and only what helps while driving."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hits.records import Hit
from agent.hits.speech import MAX_WORDS, spoken
from agent.hotlist.records import Priority, RegionMatch, Rule
from tests.builders import make_plate
from tests.listed import make_entry, make_list, make_match

HIT = Hit(bytes(16), b"r" * 16, "front", "front", 5, make_plate("7ABC123"), 2, make_match())


def test_exact_hit_is_priority_reason_and_plate():
    assert spoken(HIT) == "high priority, stolen vehicle, plate 7 A B C 1 2 3."
    assert spoken(HIT, "es") == "prioridad alta, stolen vehicle, placa 7 A B C 1 2 3."


def test_doubts_are_said():
    match = replace(HIT.match, rule=Rule.APPROXIMATE, region_match=RegionMatch.DIFFERENT)
    assert "not exact, other state" in spoken(replace(HIT, match=match))
    assert "old list" in spoken(replace(HIT, stale=True))


@given(st.data())
def test_line_is_bounded_and_plain(data):
    match = make_match(
        listed=make_list(priority=data.draw(st.sampled_from(Priority))),
        entry=make_entry(reason=data.draw(st.text(max_size=240))),
        rule=data.draw(st.sampled_from(Rule)),
        region_match=data.draw(st.sampled_from(RegionMatch)),
    )
    plate = make_plate(data.draw(st.text("ABC0189", max_size=20)))
    language = data.draw(st.sampled_from(["en", "es"]))
    line = spoken(replace(HIT, match=match, stale=data.draw(st.booleans()), plate=plate), language)
    said, _, characters = line.rpartition("plate " if language == "en" else "placa ")
    assert len(re.findall(r"[^\W_]+", said)) + 1 <= MAX_WORDS
    assert len(characters.split()) <= 10
    assert re.fullmatch(r"[\w ,.]*", line)
    assert len(line) < 200


@pytest.mark.parametrize("reason", ["", "!!!", "___"])
def test_entry_without_a_reason_is_spoken_without_one(reason):
    match = make_match(entry=make_entry(reason=reason))
    assert spoken(replace(HIT, match=match)) == "high priority, plate 7 A B C 1 2 3."

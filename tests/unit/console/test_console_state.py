"""State of the console from documents of the feed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import FeedError
from console.feed import parse_line
from console.state import (
    LOST_FIX_HOLD_MS,
    MAX_HITS,
    MAX_READS,
    OLD_AFTER_S,
    ConsoleState,
    Section,
    changed,
    disconnected,
    is_entry_locked,
    is_fresh,
    reduce,
)
from console.views import distance_and_bearing, view
from tests.fake_agent import a_hit, a_read, a_state, hex_id


def snapshot(**changes):
    return {
        "event": "snapshot",
        "n": 10,
        "version": 1,
        "unit": "unit-07",
        **a_state(),
        "reads": [],
        "hits": [],
        **changes,
    }


START = reduce(ConsoleState(), snapshot(), 0.0)


def event(before, name, /, **body):
    return reduce(before, {"event": name, "n": (before.n or 0) + 1, **body}, 1.0)


def test_snapshot_replaces_everything():
    state = reduce(ConsoleState(), snapshot(reads=[a_read(1), a_read(2)], hits=[a_hit(1)]), 5.0)
    assert [read["seq"] for read in state.reads] == [2, 1], "newest first"
    assert state.connected
    assert state.heartbeat_s == 5.0


def test_reads_are_bounded_and_newest_first():
    state = START
    for number in range(MAX_READS + 10):
        state = event(state, "read", read=a_read(number))
    assert len(state.reads) == MAX_READS
    assert state.reads[0]["read_id"] == hex_id(MAX_READS + 9)


def test_hit_is_replaced_by_its_later_states():
    state = event(START, "hit", hit=a_hit(1))
    state = event(state, "hit", hit=a_hit(2))
    state = event(state, "hit", hit=a_hit(1, state="confirmed"))
    assert [(hit["hit_id"], hit["state"]) for hit in state.hits] == [
        (a_hit(2)["hit_id"], "new"),
        (a_hit(1)["hit_id"], "confirmed"),
    ]


def test_hits_are_bounded_and_those_that_wait_for_an_officer_stay():
    hits = [a_hit(0), *(a_hit(number, state="rejected") for number in range(1, MAX_HITS + 1))]
    state = reduce(ConsoleState(), snapshot(hits=hits), 0.0)
    kept = [hit["hit_id"] for hit in state.hits]
    assert len(kept) == MAX_HITS
    assert hits[0]["hit_id"] in kept
    assert hits[1]["hit_id"] not in kept, "the oldest decided one"
    state = event(state, "hit", hit=a_hit(MAX_HITS + 1))
    assert len(state.hits) == MAX_HITS
    assert {hits[0]["hit_id"], a_hit(MAX_HITS + 1)["hit_id"]} <= {hit["hit_id"] for hit in state.hits}


def test_gap_in_the_numbers_is_an_error():
    with pytest.raises(FeedError, match="events were lost"):
        reduce(START, {"event": "read", "n": 12, "read": a_read(1)}, 1.0)


def test_event_before_the_snapshot_is_an_error():
    with pytest.raises(FeedError):
        reduce(ConsoleState(), {"event": "read", "n": 1, "read": a_read(1)}, 1.0)


def test_feed_of_another_version_says_what_to_do():
    with pytest.raises(FeedError, match="update the older"):
        reduce(ConsoleState(), snapshot(version=2), 0.0)


def test_unknown_events_and_keys_are_ignored():
    state = event(START, "something_new", value=1)
    assert (state.n, state.reads) == (11, ())


@pytest.mark.parametrize(
    ("fix", "locked"),
    [
        (None, False),
        ({}, False),
        ({"speed_mps": None, "age_ms": 0}, False),
        ({"speed_mps": 1.9, "age_ms": 0}, False),
        ({"speed_mps": 2.1, "age_ms": 0}, True),
        ({"speed_mps": 20.0, "age_ms": LOST_FIX_HOLD_MS}, True),
        ({"speed_mps": 20.0, "age_ms": LOST_FIX_HOLD_MS + 1}, False),
    ],
)
def test_entry_is_locked_above_walking_pace(fix, locked):
    """A tunnel unlocks nothing; a unit without a receiver can be used."""
    assert is_entry_locked(event(START, "heartbeat", **a_state(fix=fix))) is locked


def test_data_are_old_without_heartbeats_or_connection():
    assert is_fresh(START, OLD_AFTER_S)
    assert not is_fresh(START, OLD_AFTER_S + 0.1)
    assert not is_fresh(disconnected(START), 0.0)
    assert not is_fresh(ConsoleState(), 0.0)


def test_sections_that_changed():
    assert changed(START, event(START, "read", read=a_read(1))) == {Section.READS}
    assert changed(START, event(START, "hit", hit=a_hit(1))) == {Section.HITS}
    assert changed(START, event(START, "lamp", lamp="fault")) == {Section.UNIT}
    assert changed(START, event(START, "heartbeat", **a_state(shifts=[{"badge": "1"}]))) == {
        Section.BEAT, Section.UNIT, Section.SHIFT,
    }  # fmt: skip


def test_place_is_given_from_where_the_vehicle_is():
    state = event(START, "read", read=a_read(1, lat_deg=34.0522 + 0.0009, lon_deg=-118.2437))
    (read,) = view(state, Section.READS, 0.0, {})["reads"]
    assert (read["distance_m"], read["bearing_deg"]) == (100, 0)


def test_distance_and_bearing_to_the_east():
    distance_m, bearing_deg = distance_and_bearing((60.0, 10.0), (60.0, 10.01))
    assert distance_m == pytest.approx(556, rel=0.01)
    assert bearing_deg == pytest.approx(90, abs=0.1)


def test_open_hits_of_high_priority_come_first():
    state = START
    for number, (priority, stage) in enumerate(
        [("low", "new"), ("high", "rejected"), ("high", "new"), ("medium", "new")]
    ):
        state = event(state, "hit", hit=a_hit(number, priority=priority, state=stage))
    hits = view(state, Section.HITS, 0.0, {})["hits"]
    assert [(hit["priority"], hit["state"]) for hit in hits] == [
        ("high", "new"), ("medium", "new"), ("low", "new"), ("high", "rejected"),
    ]  # fmt: skip


def test_stored_checks_win_over_entered_ones():
    state = event(START, "hit", hit=a_hit(1, checks={"characters": False, "region": None, "vehicle": None}))
    entered = {a_hit(1)["hit_id"]: {"characters": True, "region": True}}
    (hit,) = view(state, Section.HITS, 0.0, entered)["hits"]
    assert hit["checks"] == {"characters": False, "region": True, "vehicle": None}


@given(st.binary(max_size=200))
def test_any_line_is_a_document_or_an_error(line):
    try:
        document = parse_line(line)
        reduce(START, document, 0.0)
    except FeedError:
        pass


ODD = st.sampled_from([None, True, 7, -1.5, 1e300, "x", [], {}, [1], {"a": 1}, [{}], [[1]]])


@given(
    st.sampled_from(["heartbeat", "read", "hit", "lamp", "link", "stopping", "snapshot"]),
    st.lists(ODD, min_size=16, max_size=16),
)
def test_any_document_is_reduced_and_shown_or_refused(name, odd):
    """A newer agent, or a broken one: keys of any type."""
    keys = ("fix", "link", "shift", "lists", "reads", "hits", "lamp", "version", "utc_us")
    body = dict(zip(keys, odd, strict=False))
    body["hit"] = {
        "hit_id": "h",
        **dict(zip(("listed", "checks", "text", "chars", "pictures"), odd[9:], strict=False)),
    }
    body["read"] = {"read_id": "r", "lat_deg": odd[14], "lon_deg": odd[15]}
    try:
        state = event(START, name, **body)
    except FeedError:
        return
    for section in Section:
        view(state, section, 0.0, {})

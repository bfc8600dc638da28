"""Re-reads: the same plate within a window of time and distance is one read, counted, unless clearly better."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.deduplicate import Deduplicator, DeduplicatorConfig, DeduplicatorCounts
from agent.records import Geotag
from protocol.wire.enums import GeotagMethod
from tests.builders import NS_PER_S, make_track
from tests.strategies import geotags, tracks

HERE = Geotag(GeotagMethod.INTERPOLATED, 45.0, -100.0, 5.0)
NOWHERE = Geotag(GeotagMethod.NONE)
DEGREE_M = 111_195


def at(metres_north, method=GeotagMethod.INTERPOLATED):
    return replace(HERE, lat_deg=45.0 + metres_north / DEGREE_M, method=method)


def admits(window, text="7ABC123", second=0.0, where=HERE, **plate):
    return window.is_new(make_track(text, t_mono_ns=round(second * NS_PER_S), **plate), where)


@pytest.mark.slow
@given(st.lists(st.tuples(tracks(st.sampled_from(["7ABC123", "8XYZ999", "0"])), geotags()), max_size=20))
def test_every_track_is_admitted_or_counted(seen):
    """Nothing is lost between the counts; the first read of a plate always comes through."""
    window = Deduplicator()
    answers = [window.is_new(track, where) for track, where in seen]
    counts = window.counts
    assert (sum(answers), len(answers)) == (counts.admitted, counts.admitted + counts.suppressed)
    firsts = {track.plate.text: i for i, (track, _) in reversed(list(enumerate(seen)))}
    assert all(answers[i] for i in firsts.values())


@pytest.mark.parametrize(("second", "admitted"), [(0.1, False), (60, False), (60.001, True), (-60, False)])
def test_the_window_is_a_minute(second, admitted):
    """Exactly a minute is still the same pass; tracks of two cameras may come out of order."""
    window = Deduplicator()
    admits(window)
    assert admits(window, second=second) is admitted


@pytest.mark.parametrize(("metres", "admitted"), [(0, False), (149, False), (151, True)])
def test_the_place_is_a_circle_of_150_metres(metres, admitted):
    """The same plate elsewhere is a new read, as of a followed vehicle."""
    window = Deduplicator()
    admits(window)
    assert admits(window, second=10, where=at(metres)) is admitted


@pytest.mark.parametrize("where", [NOWHERE, at(5000, GeotagMethod.STALE)], ids=["none", "stale"])
def test_deduplication_without_position_uses_time_only(where):
    """In a tunnel, or with a stale position."""
    window = Deduplicator()
    admits(window)
    assert not admits(window, second=10, where=where)
    assert admits(window, second=70, where=where)


def test_the_window_runs_from_the_last_read_that_was_admitted():
    """A parked vehicle beside a waiting patrol car is read once a window, not once for ever."""
    window = Deduplicator()
    answers = [admits(window, second=second) for second in range(0, 125, 5)]
    assert [i * 5 for i, admitted in enumerate(answers) if admitted] == [0, 65]


def test_clearly_better_reread_is_admitted():
    """More confident by a quarter, or confirmed after a single-frame read; counted as better."""
    window = Deduplicator()
    assert admits(window, confidence=0.6)
    assert not admits(window, second=1, confidence=0.84)
    assert admits(window, second=2, confidence=0.85)
    assert window.counts == DeduplicatorCounts(admitted=2, suppressed=1, better=1)


def test_confirmed_read_is_admitted_after_a_single_frame_read_but_not_vice_versa():
    """A confirmed re-read is admitted; a single-frame re-read is not."""
    window = Deduplicator()
    single, confirmed = make_track(n=1), make_track(t_mono_ns=NS_PER_S, n=2)
    assert [window.is_new(track, HERE) for track in (single, confirmed, single)] == [True, True, False]


def test_other_plates_are_admitted():
    """A difference of one character is another vehicle."""
    window = Deduplicator()
    assert admits(window, "7ABC123")
    assert admits(window, "7ABC124")


@pytest.mark.parametrize(("fold", "admitted"), [(False, True), (True, False)])
def test_look_alikes_are_equal_only_if_configured(fold, admitted):
    """0 and O differ unless configured otherwise."""
    window = Deduplicator(DeduplicatorConfig(fold_confusables=fold))
    admits(window, "7ABCO12")
    assert admits(window, "7ABC012", second=1) is admitted


def test_memory_is_bounded_and_the_oldest_is_forgotten():
    """Forgetting causes a second read, never a lost one."""
    window = Deduplicator(DeduplicatorConfig(capacity=2))
    for text in ("A11", "B22", "C33"):
        admits(window, text)
    assert admits(window, "A11", second=1)
    assert not admits(window, "C33", second=1)

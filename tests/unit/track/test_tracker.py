"""Tracking: one plate in one pass is one track, two plates are never one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Box, CharRead, Detection, PlateText, Sighting
from agent.track import Tracker, TrackerConfig
from agent.track.tracker import text_similarity
from hw.ports import Frame

MS = 1_000_000
RGB = np.zeros((4, 4, 3), np.uint8)


def sighting(text, x, t_ms, *, width=80.0, y=300.0, confidence=0.9, seq=0):
    frame = Frame(seq, "front", t_ms * MS, RGB, 5000, 1.0)
    plate = PlateText(tuple(CharRead(c, 0.97) for c in text), confidence, "US-CA", 0.9)
    return Sighting(frame, Detection(Box(x, y, x + width, y + width / 2), 0.9), plate, RGB)


def play(tracker, frames):
    """``frames`` maps milliseconds to sightings; returns all tracks, flush included."""
    tracks = []
    for t_ms, sightings in frames.items():
        tracks += tracker.update(t_ms * MS, sightings)
    return tracks + tracker.flush()


def test_many_looks_at_one_plate_are_one_track():
    """A plate that comes nearer over ten frames becomes one track with ten sightings."""
    frames = {200 * i: [sighting("7ABC123", 400 + 12 * i, 200 * i, width=60 + 4 * i)] for i in range(10)}
    (track,) = play(Tracker(), frames)
    assert (track.plate.text, track.n_sightings, track.n_agreeing) == ("7ABC123", 10, 10)
    assert (track.t_first_mono_ns, track.t_last_mono_ns) == (0, 1800 * MS)
    assert not track.single_frame


def test_one_look_is_marked():
    """Fewer than two agreeing looks is a single look."""
    (track,) = play(Tracker(), {0: [sighting("7ABC123", 400, 0)]})
    assert track.single_frame


def test_two_plates_of_one_frame_are_never_merged():
    """Even with nearly the same text, side by side: one frame cannot show a plate twice."""
    frames = {200 * i: [sighting("7ABC123", 300, 200 * i), sighting("7ABC124", 420, 200 * i)] for i in range(5)}
    tracks = play(Tracker(), frames)
    assert sorted(t.plate.text for t in tracks) == ["7ABC123", "7ABC124"]
    assert [t.n_sightings for t in tracks] == [5, 5]


@given(st.integers(-30, 30))
def test_a_different_plate_at_the_same_place_is_another_track(offset):
    """A car takes the place of another between two frames: place alone never joins."""
    frames = {0: [sighting("7ABC123", 400, 0)], 200: [sighting("HJK4821", 400 + offset, 200)]}
    assert sorted(t.plate.text for t in play(Tracker(), frames)) == ["7ABC123", "HJK4821"]


def test_a_plate_that_leaves_and_another_that_comes_are_two_tracks():
    """After the time-out the track is closed, and reported with the next frame."""
    tracker = Tracker(TrackerConfig(lost_ms=500))
    tracker.update(0, [sighting("7ABC123", 400, 0)])
    assert tracker.update(400 * MS, []) == []
    (track,) = tracker.update(600 * MS, [])
    assert track.plate.text == "7ABC123"


def test_a_misread_look_joins_and_is_outvoted():
    """One wrong character in one look costs an agreeing look, not the text."""
    frames = {
        0: [sighting("7ABC123", 400, 0)],
        200: [sighting("7A8C123", 405, 200, confidence=0.4)],
        400: [sighting("7ABC123", 410, 400)],
    }
    (track,) = play(Tracker(), frames)
    assert (track.plate.text, track.n_sightings, track.n_agreeing) == ("7ABC123", 3, 2)


def test_the_picture_kept_shows_the_voted_text():
    """The best sighting is the largest and surest of those whose own text equals the vote."""
    frames = {
        0: [sighting("7ABC123", 400, 0, seq=1)],
        200: [sighting("7A8C123", 402, 200, width=99, confidence=0.89, seq=2)],
        400: [sighting("7ABC123", 404, 400, width=90, seq=3)],
    }
    (track,) = play(Tracker(), frames)
    assert track.best.plate.text == track.plate.text
    assert track.best.frame.seq == 3


def test_a_track_is_closed_in_time_even_when_the_plate_stays():
    """Waiting behind a car at the lights must not hold its read back."""
    tracker = Tracker(TrackerConfig(max_ms=2000))
    closed = []
    for t_ms in range(0, 5000, 200):
        closed += tracker.update(t_ms * MS, [sighting("7ABC123", 400, t_ms)])
    assert len(closed) == 2


def test_texts_not_worth_a_read_are_counted():
    """Nothing vanishes: an unreadable track shows in the counts."""
    tracker = Tracker()
    unsure, short = sighting("7ABC123", 400, 0, confidence=0.1), sighting("7A", 700, 0)
    assert play(tracker, {0: [unsure, short, sighting("CALL9375855", 100, 0)]}) == []
    assert (tracker.counts.sightings, tracker.counts.closed, tracker.counts.unreadable) == (3, 0, 3)


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(["7ABC123", "HJK4821", "8XYZ999"]), st.integers(0, 1100)),
            max_size=3,
            unique_by=lambda s: s[0],
        ),
        max_size=15,
    )
)
def test_every_sighting_ends_in_exactly_one_track(script):
    """Sightings in equals sightings out, counted over reads and unreadable tracks."""
    tracker = Tracker(TrackerConfig(min_confidence=0, min_confidence_single=0))
    frames = {200 * i: [sighting(t, x, 200 * i) for t, x in step] for i, step in enumerate(script)}
    tracks = play(tracker, frames)
    assert sum(t.n_sightings for t in tracks) == sum(len(step) for step in script)
    assert len(tracks) == tracker.counts.closed
    assert all(t.plate.text in {"7ABC123", "HJK4821", "8XYZ999"} for t in tracks)


@given(st.text("AB1", max_size=6), st.text("AB1", max_size=6))
def test_likeness_is_symmetric_and_bounded(a, b):
    """A measure worth the name."""
    assert text_similarity(a, b) == text_similarity(b, a)
    assert 0.0 <= text_similarity(a, b) <= 1.0
    assert (text_similarity(a, b) == 1.0) == (a == b and a != "")

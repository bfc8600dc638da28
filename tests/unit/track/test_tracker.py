"""Tracking: one plate in one pass is one track, two plates are never one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fusion.fuse import fuse_predictions
from agent.records import Box, CharRead, Detection, PlateText, Sighting
from agent.track import Tracker, TrackerConfig, TrackerOutput
from agent.track import tracker as tracker_module
from agent.track.tracker import text_similarity
from hw.ports import Frame

MS = 1_000_000
RGB = np.zeros((4, 4, 3), np.uint8)


def sighting(text, x, t_ms, *, width=80.0, y=300.0, confidence=0.9, seq=0):
    frame = Frame(seq, "front", t_ms * MS, RGB, 5000, 1.0)
    plate = PlateText(tuple(CharRead(c, 0.97) for c in text), confidence, "US-CA", 0.9)
    return Sighting(frame, Detection(Box(x, y, x + width, y + width / 2), 0.9), plate, RGB)


def play(tracker, frames):
    """``frames`` maps milliseconds to sightings; returns all final tracks, flush included."""
    return play_both(tracker, frames)[1]


def play_both(tracker, frames):
    """As ``play``, but returns the confirmed tracks as well."""
    confirmed, closed = [], []
    for t_ms, sightings in frames.items():
        output = tracker.update(t_ms * MS, sightings)
        # What this frame confirms is still open: it cannot be among what the frame, or one before, has closed.
        closed += output.closed
        assert not {t.track_id for t in output.confirmed} & {t.track_id for t in closed}
        confirmed += output.confirmed
    return confirmed, closed + list(tracker.flush())


def test_many_frames_of_one_plate_are_one_track():
    """A plate that comes nearer over ten frames becomes one track with ten sightings."""
    frames = {200 * i: [sighting("7ABC123", 400 + 12 * i, 200 * i, width=60 + 4 * i)] for i in range(10)}
    (track,) = play(Tracker(), frames)
    assert (track.plate.text, track.n_sightings, track.n_agreeing) == ("7ABC123", 10, 10)
    assert (track.t_first_mono_ns, track.t_last_mono_ns) == (0, 1800 * MS)
    assert not track.single_frame


@pytest.mark.parametrize("interval_ms", [200, 1000, 2000])
def test_time_lapse_plate_is_one_track(interval_ms):
    """Frames further apart than the time-out: a plate that is in each of them has not gone."""
    frames = {interval_ms * i: [sighting("7ABC123", 400, interval_ms * i)] for i in range(4)}
    (track,) = play(Tracker(TrackerConfig(max_ms=60_000)), frames)
    assert (track.n_sightings, track.n_agreeing) == (4, 4)


def test_time_lapse_track_closes_after_a_frame_without_the_plate():
    frames = {0: [sighting("7ABC123", 400, 0)], 1000: [], 2000: [], 3000: [sighting("7ABC123", 400, 3000)]}
    assert len(play(Tracker(), frames)) == 2


def test_single_frame_track_is_marked():
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
    """A car is at the position of another in the next frame: position alone does not join."""
    frames = {0: [sighting("7ABC123", 400, 0)], 200: [sighting("HJK4821", 400 + offset, 200)]}
    assert sorted(t.plate.text for t in play(Tracker(), frames)) == ["7ABC123", "HJK4821"]


def test_plate_after_another_is_a_new_track():
    """After the time-out the track is closed, and reported with the next frame."""
    tracker = Tracker(TrackerConfig(lost_ms=500))
    tracker.update(0, [sighting("7ABC123", 400, 0)])
    assert tracker.update(400 * MS, []) == TrackerOutput()
    (track,) = tracker.update(600 * MS, []).closed
    assert track.plate.text == "7ABC123"


def test_misread_frame_joins_the_track_and_is_outvoted():
    """One wrong character in one frame costs an agreeing frame, not the text."""
    frames = {
        0: [sighting("7ABC123", 400, 0)],
        200: [sighting("7A8C123", 405, 200, confidence=0.4)],
        400: [sighting("7ABC123", 410, 400)],
    }
    (track,) = play(Tracker(), frames)
    assert (track.plate.text, track.n_sightings, track.n_agreeing) == ("7ABC123", 3, 2)


def test_kept_picture_shows_the_fused_text():
    """The best sighting is the largest and most confident of those whose own text equals the fused text."""
    frames = {
        0: [sighting("7ABC123", 400, 0, seq=1)],
        200: [sighting("7A8C123", 402, 200, width=99, confidence=0.89, seq=2)],
        400: [sighting("7ABC123", 404, 400, width=90, seq=3)],
    }
    (track,) = play(Tracker(), frames)
    assert track.best.plate.text == track.plate.text
    assert track.best.frame.seq == 3


def test_track_closes_after_the_maximum_time():
    """Waiting behind a car at the lights must not hold its read back."""
    tracker = Tracker(TrackerConfig(max_ms=2000))
    closed = []
    for t_ms in range(0, 5000, 200):
        closed += tracker.update(t_ms * MS, [sighting("7ABC123", 400, t_ms)]).closed
    assert len(closed) == 2


def test_unreadable_tracks_are_counted():
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


def test_the_second_agreeing_frame_confirms_a_track_and_the_final_one_has_the_same_id():
    """An alert need not wait for the end of the track."""
    tracker = Tracker()
    assert tracker.update(0, [sighting("7ABC123", 400, 0)]) == TrackerOutput()
    output = tracker.update(200 * MS, [sighting("7ABC123", 404, 200)])
    (confirmed,) = output.confirmed
    assert output.closed == ()
    assert (confirmed.plate.text, confirmed.n_sightings, confirmed.n_agreeing) == ("7ABC123", 2, 2)
    assert confirmed.confirmed == confirmed.plate
    for t_ms in (400, 600):
        assert tracker.update(t_ms * MS, [sighting("7ABC123", 404, t_ms)]) == TrackerOutput()
    (final,) = tracker.flush()
    assert (final.track_id, final.camera, final.n_sightings) == (confirmed.track_id, confirmed.camera, 4)
    assert final.confirmed == confirmed.plate
    assert (tracker.counts.confirmed, tracker.counts.closed) == (1, 1)


def test_a_single_frame_is_never_confirmed():
    confirmed, (final,) = play_both(Tracker(), {0: [sighting("7ABC123", 400, 0)]})
    assert confirmed == []
    assert final.confirmed is None


def test_frames_that_differ_confirm_nothing():
    """Whichever of the two is right, no second frame has agreed with it."""
    frames = {
        0: [sighting("7ABC123", 400, 0, confidence=0.99)],
        200: [sighting("7A8C123", 402, 200, confidence=0.3)],
    }
    confirmed, (final,) = play_both(Tracker(), frames)
    assert confirmed == []
    assert final.n_sightings == 2
    assert final.confirmed is None


def test_agreeing_frames_below_the_confidence_of_a_read_confirm_nothing():
    frames = {200 * i: [sighting("7ABC123", 400, 200 * i, confidence=0.05)] for i in range(3)}
    tracker = Tracker()
    assert play_both(tracker, frames) == ([], [])
    assert (tracker.counts.confirmed, tracker.counts.unreadable, tracker.counts.withdrawn) == (0, 1, 0)


@pytest.mark.parametrize(("text", "confidence"), [("7ABC123", 0.05), ("AB", 0.95), ("CALL9375855", 0.95)])
def test_hopeless_track_is_not_fused_in_every_frame(text, confidence, monkeypatch):
    """A sign in front of a waiting vehicle must not cost time in every frame."""
    fused = []
    monkeypatch.setattr(tracker_module, "fuse_predictions", lambda p: fused.append(len(p)) or fuse_predictions(p))
    frames = {200 * i: [sighting(text, 400, 200 * i, confidence=confidence)] for i in range(20)}
    assert play(Tracker(), frames) == []
    assert fused == [20]


def test_the_final_text_may_correct_the_confirmed_one():
    """Two doubtful frames agreed far away; nearer frames outvote them, and the final track says what was confirmed."""
    frames = {200 * i: [sighting("7A8C123", 400, 200 * i, confidence=0.4)] for i in range(2)}
    frames |= {200 * i: [sighting("7ABC123", 402, 200 * i, confidence=0.95)] for i in range(2, 8)}
    (confirmed,), (final,) = play_both(Tracker(), frames)
    assert (confirmed.plate.text, final.plate.text) == ("7A8C123", "7ABC123")
    assert final.confirmed == confirmed.plate


def test_withdrawn_tracks_are_counted():
    """Two frames agreed, then every frame says something else: no read, and not without a count."""
    texts = ["7ABC123", "7ABC123", *(f"7A{c}C1{c}3" for c in "DEFGHJKLMNPRSTUV")]
    frames = {200 * i: [sighting(text, 400, 200 * i, confidence=0.6)] for i, text in enumerate(texts)}
    tracker = Tracker()
    (confirmed,), closed = play_both(tracker, frames)
    assert confirmed.track_id not in {track.track_id for track in closed}
    assert (tracker.counts.confirmed, tracker.counts.withdrawn) == (1, 1)
    assert tracker.counts.unreadable >= 1


def test_trackers_with_shared_ids_use_each_id_once():
    """A pipeline may be built again for the same camera: camera and id together still stand for one pass."""
    ids = itertools.count(7)
    seen = [play(Tracker(ids=ids), {0: [sighting("7ABC123", 400, 0)]})[0].track_id for _ in range(3)]
    assert seen == [7, 8, 9]


SIGHTINGS = st.tuples(
    st.sampled_from(["7ABC123", "7A8C123", "7ABC12", "HJK4821", "AB"]),
    st.integers(0, 600),
    st.sampled_from([0.05, 0.3, 0.5, 0.75, 0.95]),
)


@given(st.lists(st.tuples(st.integers(1, 900), st.lists(SIGHTINGS, max_size=3)), max_size=25))
def test_every_confirmed_track_is_closed_or_withdrawn_once(script):
    """Over any sequence of frames; ``play_both`` asserts that confirmed comes before closed."""
    tracker, frames, t_ms = Tracker(TrackerConfig(max_ms=3000)), {}, 0
    for gap_ms, seen in script:
        t_ms += gap_ms
        frames[t_ms] = [sighting(text, x, t_ms, confidence=c) for text, x, c in seen]
    confirmed, closed = play_both(tracker, frames)
    confirmed_texts = {track.track_id: track.confirmed for track in confirmed}
    closed_texts = {track.track_id: track.confirmed for track in closed}
    assert len(confirmed_texts) == len(confirmed) == tracker.counts.confirmed
    assert len(closed_texts) == len(closed) == tracker.counts.closed
    assert len(confirmed_texts.keys() - closed_texts.keys()) == tracker.counts.withdrawn
    assert tracker.counts.withdrawn <= tracker.counts.unreadable
    assert all(closed_texts[id_] == confirmed_texts.get(id_) for id_ in closed_texts)
    assert all(not track.single_frame and track.confirmed == track.plate for track in confirmed)
    assert all(track.confirmed is not None for track in closed if not track.single_frame)


@given(st.text("AB1", max_size=6), st.text("AB1", max_size=6))
def test_text_similarity_is_symmetric_and_bounded(a, b):
    """Properties of the measure."""
    assert text_similarity(a, b) == text_similarity(b, a)
    assert 0.0 <= text_similarity(a, b) <= 1.0
    assert (text_similarity(a, b) == 1.0) == (a == b and a != "")


@pytest.mark.parametrize(("n_other", "n_reads"), [(8, 1), (9, 0)])
def test_read_needs_a_fifth_of_its_frames_to_agree(n_other, n_reads):
    """Lettering is read differently in nearly every frame."""
    texts = [("7ABC123", 0.9), ("7ABC123", 0.9), *((f"7A8C12{number}", 0.1) for number in range(n_other))]
    frames = {200 * i: [sighting(text, 400, 200 * i, confidence=sure)] for i, (text, sure) in enumerate(texts)}
    assert len(play(Tracker(), frames)) == n_reads

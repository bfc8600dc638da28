"""The track: only at the policy's rate, in records that belong to one shift."""

from __future__ import annotations

from agent.records import TimeTag
from agent.shift.moment import Moment
from agent.shift.track import TrackRecorder
from protocol.wire.enums import TimeSource
from protocol.wire.records.track_point import MAX_POINTS
from tests.builders import make_fix

NS_PER_S = 1_000_000_000


def drive(recorder, seconds, *, start=0, **options):
    found = []
    for s in range(start, start + seconds):
        now = Moment(s * NS_PER_S, bytes(16), TimeTag(s * NS_PER_S, TimeSource.GNSS, 1.0))
        found += recorder.add(make_fix(s * NS_PER_S), now, **{"every_s": 5.0, "shift_id": None, **options})
    return found


def test_without_a_rate_there_is_no_track():
    recorder = TrackRecorder()
    assert drive(recorder, 1000, every_s=None) == []
    assert recorder.finish() == []


def test_points_have_the_rate_of_the_policy():
    recorder = TrackRecorder()
    (record,) = drive(recorder, 5 * MAX_POINTS)
    assert [point[0] for point in record.points] == [n * 5000 for n in range(MAX_POINTS)]
    assert drive(recorder, 20, start=300) == []
    (rest,) = recorder.finish()
    assert len(rest.points) == 4


def test_where_recording_is_forbidden_the_track_ends_and_starts_anew():
    recorder = TrackRecorder()
    drive(recorder, 20)
    (before,) = drive(recorder, 20, start=20, every_s=None)
    assert len(before.points) == 4
    drive(recorder, 20, start=40)
    (after,) = recorder.finish()
    assert after.mono_us == 40_000_000


def test_a_record_belongs_to_one_shift():
    recorder = TrackRecorder()
    drive(recorder, 20, shift_id="00" * 16)
    (first,) = drive(recorder, 1, start=20, shift_id="11" * 16)
    assert first.shift_id == bytes(16)
    assert recorder.finish()[0].shift_id == b"\x11" * 16

"""Videos: their own turn, their own times, any name."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from hw.camera_files import CameraFiles, VideoPictures
from hw.clock import SimClock
from hw.config import VideoCameraConfig
from hw.ports import CameraEndedError
from hw.video import VideoError, VideoFile
from hw.video_header import VideoHeader
from tests.drawn import mirror_mp4, scene, trim_mp4, turn_mp4, vary_rate, write_mp4

MS = 1_000_000
SMALL = scene(80, 10, scale=0.8, size=(320, 180))


def times_ms(path) -> list[float]:
    video = VideoFile(path)
    found = []
    while (t_ns := video.grab()) is not None:
        found.append(t_ns / MS)
    video.close()
    return found


class Clocked:
    """OpenCV's reader, with times of the test's own."""

    def __init__(self, video, times_ms):
        self._video, self._times_ms = video, iter(times_ms)

    def grab(self):
        return self._video.grab()

    def get(self, _):
        return next(self._times_ms)

    def release(self):
        self._video.release()


@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (270, 3)])
def test_a_video_is_turned_as_its_file_says(tmp_path, degrees, quarters):
    """A phone held upright stores lying pictures, and says so."""
    path = write_mp4(tmp_path / "v.mp4", [np.rot90(SMALL, quarters)] * 3)
    turn_mp4(path, degrees)
    video = VideoFile(path)
    found = video.next()
    assert found is not None
    assert found[1].shape == SMALL.shape
    assert np.abs(found[1].astype(int) - SMALL).mean() < 10
    video.close()


@pytest.mark.parametrize(
    ("matrix", "stored"),
    [
        ((-1, 0, 0, 1), SMALL[:, ::-1]),
        ((1, 0, 0, -1), SMALL[::-1]),
        ((0, 1, 1, 0), SMALL.transpose(1, 0, 2)),
        ((0, -1, -1, 0), SMALL[::-1, ::-1].transpose(1, 0, 2)),
    ],
    ids=["horizontal", "vertical", "transposed", "the other diagonal"],
)
def test_a_video_is_mirrored_as_its_file_says(tmp_path, matrix, stored):
    """The front camera of a telephone, and a rear camera that shows what a mirror does."""
    path = write_mp4(tmp_path / "v.mp4", [stored] * 3)
    mirror_mp4(path, *matrix)
    video = VideoFile(path)
    found = video.next()
    assert found is not None
    assert np.abs(found[1].astype(int) - SMALL).mean() < 10
    video.close()


def test_frames_without_a_time_are_a_period_apart(tmp_path, monkeypatch):
    """Of a bare MPEG-2 stream FFmpeg gives the smallest number there is, then nought."""
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 4)
    video = VideoFile(path)
    clock_ms = [-7686143364045606.0, -7686143364045506.0, float("inf"), 0.0]
    monkeypatch.setattr(video, "_video", Clocked(video._video, clock_ms))
    assert [video.grab() for _ in range(4)] == [0, 100 * MS, 200 * MS, 300 * MS]
    video.close()


def test_frames_have_the_times_of_the_file(tmp_path):
    """The header's rate is a mean, and says nothing of when a frame was taken."""
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 8)
    vary_rate(path, [(5, 0.2), (1, 9.0), (2, 0.05)], 10)
    assert times_ms(path) == pytest.approx([0, 200, 400, 600, 800, 1000, 10_000, 10_050], abs=1)


def test_a_camera_over_a_video_keeps_its_times(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 4)
    vary_rate(path, [(2, 0.2), (1, 3.0), (1, 0.05)], 10)
    clock = SimClock()
    pictures = VideoPictures(VideoCameraConfig(kind="video", name="front", path=path))
    camera = CameraFiles("front", pictures, clock, loop=False, realtime=False)
    start_ns = clock.mono_ns()
    found = [(camera.next_frame(timeout_s=1).t_mono_ns - start_ns) / MS for _ in range(4)]
    assert found == pytest.approx([0, 200, 400, 3400], abs=1)
    with pytest.raises(CameraEndedError):
        camera.next_frame(timeout_s=1)


def test_a_looped_video_goes_on_in_time(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 3, fps=10)
    pictures = VideoPictures(VideoCameraConfig(kind="video", name="front", path=path, loop=True))
    camera = CameraFiles("front", pictures, SimClock(), loop=True, realtime=False)
    times = [camera.next_frame(timeout_s=1).t_mono_ns for _ in range(7)]
    assert np.diff(times) == pytest.approx(100 * MS, abs=MS)
    camera.close()


def test_files_joined_end_to_end_never_run_back(tmp_path, monkeypatch):
    """Recorders join their pieces, and each begins at nought."""
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 6)
    video = VideoFile(path)
    clock_ms = [0.0, 100.0, 2000.0, 0.0, 100.0, float("nan")]
    monkeypatch.setattr(video, "_video", Clocked(video._video, clock_ms))
    times = [video.grab() for _ in range(6)]
    assert [t / MS for t in times if t is not None] == pytest.approx([0, 100, 2000, 2100, 2200, 2300], abs=1)
    video.close()


class Told:
    """OpenCV's reader of a file that has frames at some times, and whose header promises so many."""

    def __init__(self, video, times_ms, *, promised, pts_ms=0.0):
        self._video, self._times_ms, self._now_ms = video, list(times_ms), 0.0
        self._promised, self._pts_ms = promised, pts_ms

    def grab(self):
        if self._times_ms:
            self._now_ms = self._times_ms.pop(0)
            return True
        return False

    def get(self, what):
        if what == cv2.CAP_PROP_FRAME_COUNT:
            return self._promised
        return self._now_ms if what == cv2.CAP_PROP_POS_MSEC else (self._now_ms + self._pts_ms) / 100

    def release(self):
        self._video.release()


@pytest.mark.parametrize(
    ("times_ms", "promised", "pts_ms", "matroska", "early"),
    [
        pytest.param(range(0, 40_000, 2000), 400, 0, False, False, id="a rate that varies"),
        pytest.param(range(0, 20_000, 2000), 400, 0, False, True, id="a rate that varies, cut off"),
        pytest.param(range(0, 3000, 100), 36_030, 3_600_000, True, False, id="a segment of a recording"),
        pytest.param(range(0, 3000, 100), 90, 0, True, True, id="cut off"),
        pytest.param(range(0, 3000, 100), 30, 0, False, False, id="whole"),
    ],
)
def test_a_length_in_time_tells_no_number_of_frames(
    tmp_path, monkeypatch, *, times_ms, promised, pts_ms, matroska, early
):
    """Transport streams and Matroska promise the length times a rate: a time-lapse with pauses is not cut off."""
    monkeypatch.setattr("hw.video.video_header", lambda _: VideoHeader(matroska=matroska))
    monkeypatch.setattr("hw.video._PTS", 71)
    video = VideoFile(write_mp4(tmp_path / "v.mp4", [SMALL] * 2))
    monkeypatch.setattr(video, "_video", Told(video._video, times_ms, promised=promised, pts_ms=pts_ms))
    while video.grab() is not None:
        pass
    assert video.ends_early is early
    video.close()


def test_a_trimmed_video_does_not_end_early(tmp_path):
    """Its file has all frames, and a list of edits that leaves some out."""
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 36)
    trim_mp4(path, start_s=2.4, shown_s=1.2)
    video = VideoFile(path)
    assert video.n_frames == 12
    while video.grab() is not None:
        pass
    assert not video.ends_early
    video.close()


def test_a_name_that_is_no_utf8_is_opened(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 2)
    video = VideoFile(path.rename(tmp_path / os.fsdecode(b"lat\xe9 [red].mp4")))
    assert video.next() is not None
    video.close()


@pytest.mark.parametrize("content", [b"", b"no video " * 99, None])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    path = tmp_path / "x_001.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match="x_001"):
        VideoFile(path)


def test_a_file_cut_off_is_refused_or_ends_early(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", [SMALL] * 20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(VideoError):
        VideoFile(path)

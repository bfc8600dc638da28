"""``patrol-lpr read VIDEO``: one row a pass, at the times of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from agent.errors import ImageError
from agent.recognise import Recogniser, load_active
from cli.read_video import VideoSummary, read_video
from hw.images import load_rgb
from hw.scene import known_scene
from hw.video import VideoFile
from tests.drawn import PLATE, noisy, scene, scene_cut_right, turn_mp4, vary_rate, write_mp4

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def recogniser(repo: Path) -> Recogniser:
    return Recogniser(*load_active(repo / "models"))


RNG = np.random.default_rng(1)
EMPTY = np.full((720, 1280, 3), 105, np.uint8)


def drift(count, start=0):
    return [noisy(scene(380 + 2 * n, 160), RNG) for n in range(start, start + count)]


def half_green(rgb):
    """As decoders leave missing data."""
    green = rgb.copy()
    green[400:] = (0, 135, 0)
    return green


@pytest.mark.slow
@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_a_turned_video_is_read_as_it_is_shown(recogniser, tmp_path, degrees, quarters):
    path = write_mp4(tmp_path / "v.mp4", [np.rot90(rgb, quarters) for rgb in drift(8)])
    if degrees:
        turn_mp4(path, degrees)
    (read,) = read_video(recogniser, path)
    assert (read.plate.text, read.n_agreeing) == (PLATE, 8)


@pytest.mark.slow
def test_a_video_upside_down_is_noticed_and_read(recogniser, repo, tmp_path):
    """No camera says so of itself; the plates do."""
    frames = sorted((repo / "tests/drives/hot-list/frames").iterdir())[39:50]
    path = write_mp4(tmp_path / "v.mp4", [load_rgb(frame)[::-1, ::-1] for frame in frames])
    summary = VideoSummary()
    (read,) = read_video(recogniser, path, summary=summary)
    assert read.plate.text == "2FJW545"
    assert "upside down" in summary.notes[0]


@pytest.mark.slow
def test_rows_have_the_times_of_the_file(recogniser, tmp_path):
    """Two passes a minute apart, in a file whose rate varies."""
    path = write_mp4(tmp_path / "v.mp4", [*[EMPTY] * 10, *drift(6), *drift(6)])
    vary_rate(path, [(10, 1.0), (5, 0.05), (1, 62.0), (6, 0.05)], 10)
    reads = list(read_video(recogniser, path))
    assert [read.plate.text for read in reads] == [PLATE] * 2
    assert [read.t_first_s for read in reads] == pytest.approx([10.0, 72.25], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [0.5, 1, 5])
def test_a_plate_in_view_for_long_is_one_row(recogniser, tmp_path, fps):
    """A time-lapse, and a sign that is longer in view than a track lasts."""
    count = 12 if fps <= 1 else 45
    path = write_mp4(tmp_path / "v.mp4", [noisy(scene(), RNG) for _ in range(count)], fps=fps)
    (read,) = read_video(recogniser, path)
    assert read.plate.text == PLATE
    assert read.t_last_s - read.t_first_s > (count - 3) / fps
    assert read.n_sightings >= count - 3


def test_a_plate_that_the_edge_cuts_is_no_row(recogniser, tmp_path):
    path = write_mp4(tmp_path / "v.mp4", [noisy(scene_cut_right(0.15), RNG) for _ in range(8)])
    summary = VideoSummary()
    assert list(read_video(recogniser, path, summary=summary)) == []
    assert (summary.frames, summary.reads) == (8, 0)


def test_a_mask_and_an_ignored_text_hold_for_videos(recogniser, tmp_path):
    path = write_mp4(tmp_path / "v.mp4", drift(4))
    for known in (known_scene([(0.4, 0.4, 0.9, 0.6)], ()), known_scene(None, ("6KYN*",))):
        assert list(read_video(recogniser, path, scene=known)) == []


@pytest.mark.slow
def test_a_burnt_in_text_of_a_driving_camera_is_no_row(recogniser, tmp_path):
    wall = cv2.resize(
        RNG.uniform(20, 235, (24, 400)).astype(np.float32), (12_000, 720), interpolation=cv2.INTER_CUBIC
    )
    frames = []
    for number in range(40):
        rgb = np.repeat(
            np.clip(wall[:, 40 * number : 40 * number + 1280, None], 0, 255).astype(np.uint8), 3, axis=2
        )
        cv2.rectangle(rgb, (400, 600), (600, 660), (255, 255, 255), -1)
        cv2.putText(rgb, "AB12345", (408, 645), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 4)
        frames.append(rgb)
    moving = write_mp4(tmp_path / "moving.mp4", frames)
    assert list(read_video(recogniser, moving)) == []


def test_a_proposal_stands_beside_the_text_where_asked_for(recogniser, tmp_path):
    path = write_mp4(tmp_path / "v.mp4", drift(3))
    (plain,), (asked,) = read_video(recogniser, path), read_video(recogniser, path, formats=True)
    assert "in_format" not in plain.as_json()
    assert f'"in_format": "{PLATE}"' in asked.as_json()


def test_a_video_that_ends_early_is_said(recogniser, tmp_path):
    """The head promises more frames than there are."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(20):
        writer.write(np.full((120, 160, 3), i * 10, np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    summary = VideoSummary()
    assert list(read_video(recogniser, path, summary=summary)) == []
    assert 0 < summary.frames < 20
    assert "ends early" in summary.notes[0]


@pytest.mark.parametrize(
    ("frames", "note"),
    [
        ([scene()] * 60, "frames repeat the same picture"),
        ([*drift(3), *(half_green(rgb) for rgb in drift(2))], "2 frames are partly damaged"),
    ],
    ids=["frozen", "damaged"],
)
def test_frames_that_are_not_read_are_said(recogniser, tmp_path, frames, note):
    """The vehicle's camera is said to be frozen; of a video nobody would know."""
    summary = VideoSummary()
    (read,) = read_video(recogniser, write_mp4(tmp_path / "v.mp4", frames), summary=summary)
    assert read.plate.text == PLATE
    assert len(summary.notes) == 1
    assert note in summary.notes[0]


def test_tracks_that_are_not_read_are_said(recogniser, tmp_path, monkeypatch):
    """Some cameras put front and rear into one file."""
    path = write_mp4(tmp_path / "v.mp4", [EMPTY] * 2)
    monkeypatch.setattr(VideoFile, "video_tracks", 2)
    summary = VideoSummary()
    assert list(read_video(recogniser, path, summary=summary)) == []
    assert "has 2 video tracks, of which the first was read" in summary.notes[0]


def test_a_video_without_a_frame_is_an_error(recogniser, tmp_path):
    """Silence would look like an empty road."""
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ImageError, match=r"broken\.mp4"):
        list(read_video(recogniser, path))


def test_a_compression_that_cannot_be_decoded_is_named(recogniser, tmp_path, monkeypatch):
    """A file that every telephone plays is not called damaged alone: AV1 opens, and gives no frame."""
    path = write_mp4(tmp_path / "v.mp4", [EMPTY] * 2)
    monkeypatch.setattr(VideoFile, "grab", lambda _: None)
    with pytest.raises(ImageError, match=r"no frame can be decoded.*, of fmp4 here,.*convert it to H\.264"):
        list(read_video(recogniser, path))


@pytest.mark.parametrize(("frames", "told"), [(10, 0), (8, 0), (7, 1)])
def test_headers_that_only_know_the_length_in_time_are_not_believed_to_a_frame(
    recogniser, tmp_path, monkeypatch, frames, told
):
    """An FLV of 10 frames promises 12."""
    path = write_mp4(tmp_path / "v.mp4", [EMPTY[:90, :160]] * frames)
    monkeypatch.setattr(VideoFile, "n_frames", 10)
    summary = VideoSummary()
    assert list(read_video(recogniser, path, summary=summary)) == []
    assert len(summary.notes) == told

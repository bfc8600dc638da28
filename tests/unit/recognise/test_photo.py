"""Photographs: the whole plate or none, small plates too."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from agent.recognise import Recogniser, load_active
from agent.recognise.photo import Refusal, find_in_photo, read_photo
from hw.images import PictureError, decode_picture, load_rgb
from hw.ports import Frame
from hw.scene import known_scene
from tests.drawn import PLATE, car, noisy, paste, scene, scene_cut_right

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def recogniser(repo: Path) -> Recogniser:
    return Recogniser(*load_active(repo / "models"))


def texts(recogniser, rgb, **keys):
    return [plate.plate.text for plate in read_photo(recogniser, rgb, **keys) if plate.refusal is None]


def refusals(recogniser, rgb, **keys):
    return {plate.refusal for plate in read_photo(recogniser, rgb, **keys)}


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("share", [0.15, 0.25, 0.35])
@pytest.mark.parametrize("turn", ["right", "left"])
def test_plate_cut_off_by_the_edge_is_refused(recogniser, size, share, turn):
    """What is left would be read as a whole plate, and surely: 6KYN05 at 0.99."""
    rgb = scene_cut_right(share, scale=1.5, size=size)
    if turn == "left":
        # A plate cut at its left: the car further to the left.
        rgb = scene(-round((163 + 78 * share) * 1.5), 30, scale=1.5, size=size)
    assert texts(recogniser, rgb) == []
    assert refusals(recogniser, rgb) & {Refusal.CUT, Refusal.UNSURE}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "orientation"),
    [*[(kind, 1) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")], ("JPEG", 6), ("PNG", 8)],
)
def test_plate_cut_off_by_the_end_of_a_broken_file_is_refused(recogniser, kind, orientation):
    """Its upper half reads as 6KVN051, what is left of smears as 6KMM051, at 0.9."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    stored = noisy(scene(), np.random.default_rng(3))
    Image.fromarray(np.rot90(stored, {1: 0, 6: 1, 8: 3}[orientation])).save(file, kind, exif=exif)
    data = file.getvalue()
    read = []
    for share in np.linspace(0.35, 0.98, 20):
        with suppress(PictureError):
            found = decode_picture(data[: int(len(data) * share)], "x")
            read += texts(recogniser, found.rgb, part=found.part)
    assert set(read) == {PLATE}


@pytest.mark.parametrize("part", [(0, 0, 880, 720), (690, 0, 1280, 720), (0, 0, 1280, 430), (0, 300, 1280, 720)])
def test_plate_beside_what_is_missing_is_refused(recogniser, part):
    """A box around a part of a plate need not touch the place where the picture ends; the plate is complete here."""
    assert texts(recogniser, scene(), part=part) == []
    assert refusals(recogniser, scene(), part=part) == {Refusal.CUT}
    wider = (max(0, part[0] - 80), max(0, part[1] - 80), min(1280, part[2] + 80), min(720, part[3] + 80))
    assert texts(recogniser, scene(), part=wider) == [PLATE]


@pytest.mark.parametrize("space_px", [8, 20])
def test_complete_plate_near_the_edge_is_read(recogniser, space_px):
    rgb = scene_cut_right(-space_px / 156)
    assert texts(recogniser, rgb) == [PLATE]


@pytest.mark.parametrize("edge", ["left", "right", "bottom"])
def test_edge_rule_for_frames_in_detector_pixels(recogniser, edge):
    """At 1280 pixels one of the detector's is three and a third of the frame's."""
    at = {"left": (-326 + 4, 160), "right": (1280 - 482 - 4, 160), "bottom": (380, 720 - 238 - 4)}
    frames = [Frame(0, "front", 0, scene(*place), 0, 1.0) for place in (at[edge], (380, 160))]
    assert [len(recogniser.detect(frame)) for frame in frames] == [0, 1]


def test_plate_with_a_dealers_frame_is_found_once(recogniser):
    rgb = scene()
    cv2.rectangle(rgb, (698, 408), (870, 434), (20, 20, 20), -1)
    cv2.putText(rgb, "WARREN MOTORS", (704, 427), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    assert texts(recogniser, rgb) == [PLATE]


@pytest.mark.parametrize("width_px", [120, 240])
def test_two_line_plate_is_refused_with_a_reason(recogniser, width_px):
    """Never a half as a plate."""
    rgb = np.full((720, 1280, 3), 105, np.uint8)
    height_px = width_px * 3 // 4
    cv2.rectangle(rgb, (560, 300), (560 + width_px, 300 + height_px), (255, 255, 255), -1)
    cv2.rectangle(rgb, (560, 300), (560 + width_px, 300 + height_px), (0, 0, 0), 3)
    size = width_px / 95
    for text, y in (("A12", 0.45), ("345B", 0.9)):
        (w, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 3)
        at = (560 + (width_px - w) // 2, 300 + round(height_px * y))
        cv2.putText(rgb, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), max(2, width_px // 40))
    assert texts(recogniser, rgb) == []
    assert Refusal.TWO_LINES in refusals(recogniser, rgb)


@pytest.mark.slow
def test_small_plates_of_large_photographs_are_read(recogniser):
    """47 to 62 pixels of 4,000: seven of the detector's, where the whole picture is shrunk to it."""
    read = 0
    for number in range(6):
        rgb = np.full((2250, 4000, 3), 105, np.uint8)
        paste(rgb, car(0.6 + 0.04 * number), 200 + 600 * number, 150 + 330 * number)
        read += texts(recogniser, rgb) == [PLATE]
    assert read >= 5


@pytest.mark.slow
def test_no_part_of_a_small_plate_is_a_second_one(recogniser):
    """At this place the whole picture gives a box beside that of the tile, with 6KYN."""
    rgb = np.full((2250, 4000, 3), 105, np.uint8)
    paste(rgb, car(1.0), 1333, 1000)
    assert texts(recogniser, rgb) == [PLATE]


@pytest.mark.parametrize("x", [1150, 1200, 1250, 1300])
def test_plate_on_the_border_of_two_tiles_is_found_once(recogniser, x):
    rgb = np.full((1000, 2400, 3), 105, np.uint8)
    paste(rgb, car(1.5), x - 245, 300)
    found = [d for d in find_in_photo(recogniser, rgb) if d.box.width_px > 80]
    assert len(found) == 1
    assert texts(recogniser, rgb) == [PLATE]


def test_a_mask_and_an_ignored_text(recogniser):
    """Of a plate that a mask cuts nothing is read either."""
    rgb = scene()
    assert texts(recogniser, rgb, scene=known_scene([(0.0, 0.5, 1.0, 1.0)], ())) == []
    assert texts(recogniser, rgb, scene=known_scene([(0.64, 0.0, 1.0, 1.0)], ())) == []
    assert texts(recogniser, rgb, scene=known_scene([(0.0, 0.7, 1.0, 1.0)], ())) == [PLATE]
    assert refusals(recogniser, rgb, scene=known_scene(None, (PLATE,))) == {Refusal.IGNORED}


def test_upside_down_camera_is_detected(recogniser, repo):
    """Its plates read better the other way round."""
    frames = [load_rgb(path) for path in sorted((repo / "tests/drives/city-day/frames").iterdir())[::4]]
    for turned in (True, False):
        own = Recogniser.__new__(Recogniser)
        own.__dict__.update(recogniser.__dict__)
        own.orientation = type(recogniser.orientation)()
        for seq, rgb in enumerate(frames):
            frame = Frame(seq, "front", seq, np.ascontiguousarray(rgb[::-1, ::-1]) if turned else rgb, 0, 1.0)
            own.read(frame, own.detect(frame))
        assert own.orientation.decided
        assert own.upside_down is turned

"""Rendered drives: reproducible, with correct ground truth; the shipped ones are complete."""

from __future__ import annotations

import dataclasses
import hashlib
from itertools import pairwise

import cv2
import numpy as np
import pytest

from hw.drive_load import load_drive
from models.training.plates import Plate
from models.training.render.camera import HEIGHT_PX, WIDTH_PX, Camera
from models.training.render.drives import PLANS, Parked, Plan, render
from models.training.render.picture import Picture
from models.training.render.scenery import DAY, NIGHT, Scenery
from models.training.render.vehicles import make_vehicle
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

DRIVES = ROOT / "tests" / "drives"
PINK = (255, 0, 255)
"""A colour that nothing else in a scene has."""
ORANGE = (250, 130, 10)
"""A colour that is another one when red and blue are swapped."""


def plate(text="7ABC123", *, pink=False):
    """A plate without fonts: noise, or one colour that can be found again."""
    noise = np.random.default_rng(5).integers(0, 256, (150, 300, 3), np.uint8)
    rgb = np.full_like(noise, PINK) if pink else noise
    return Plate(rgb, text, "US-CA", 2.0, ())


class TypedPlates:
    """Stands in for the plate renderer, which needs fonts from the network."""

    def render(self, rng, *, region, clean):
        text = "".join(rng.choice(list("ABCDEFGH0123456789"), 7))
        return dataclasses.replace(plate(text), region=region)


def scene(*vehicles, light=DAY):
    camera = Camera()
    return Picture(camera, Scenery(camera, light, seed=3), light, list(vehicles))


def car(text="7ABC123", *, x_m=3.15, z_m=12.0, pink=False, **options):
    return make_vehicle(np.random.default_rng(1), plate(text, pink=pink), x_m=x_m, z_m=z_m, **options)


def seen_by_pinhole(vehicle, camera):
    """Bounds of the plate's corners by plain trigonometry, without the renderer's matrices; the camera is at z = 0."""
    yaw, pitch = np.radians(camera.yaw_deg), np.radians(camera.pitch_deg)
    left, top, right, bottom = vehicle.plate_box_m
    pixels = []
    for across in (left, right):
        for up in (bottom, top):
            x, y, z = vehicle.x_m - vehicle.width_m / 2 + across, up - camera.height_m, vehicle.z_m
            side, ahead = x * np.cos(yaw) - z * np.sin(yaw), x * np.sin(yaw) + z * np.cos(yaw)
            rise, depth = y * np.cos(pitch) + ahead * np.sin(pitch), ahead * np.cos(pitch) - y * np.sin(pitch)
            pixels.append((side / depth, -rise / depth))
    spread = np.array(pixels) * camera.focal_px + (WIDTH_PX / 2, HEIGHT_PX / 2)
    return (*spread.min(0), *spread.max(0))


def test_rendered_frame_depends_only_on_its_seed():
    """The same scene twice gives the same pixels; another seed gives other noise."""
    first, again, other = (
        scene(car(), light=NIGHT).take(0.4, 1.0, 6.0, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert first.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("z_m", [8.0, 12.0, 20.0, 33.0])
def test_ground_truth_box_is_the_bounds_of_the_projected_corners(z_m):
    """The box of a plate is what a pinhole makes of its four corners."""
    vehicle = car(z_m=z_m)
    (found,) = scene(vehicle).truth(0.0, 0.0)
    assert (found.text, found.region) == ("7ABC123", "US-CA")
    assert (found.x0, found.y0, found.x1, found.y1) == pytest.approx(seen_by_pinhole(vehicle, Camera()))


@pytest.mark.parametrize("z_m", [8.0, 16.0])
def test_plate_is_drawn_at_its_ground_truth_box(z_m):
    """Box and pixels agree to two pixels on every side."""
    picture = scene(car(z_m=z_m, pink=True))
    rgb = picture.take(0.0, 0.0, 0.0, np.random.default_rng(0)).astype(int)
    (found,) = picture.truth(0.0, 0.0)
    rows, columns = np.nonzero(np.minimum(rgb[..., 0], rgb[..., 2]) - rgb[..., 1] > 110)
    drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert drawn == pytest.approx((found.x0, found.y0, found.x1, found.y1), abs=2.0)


def test_hidden_plate_is_not_in_the_ground_truth():
    """What another vehicle hides cannot be read, so nobody is blamed for not reading it."""
    far = car("8XYZ999", x_m=0.15, z_m=20.0)
    assert [t.text for t in scene(far).truth(0.0, 0.0)] == ["8XYZ999"]
    near = car("7ABC123", x_m=0.6, z_m=9.0)
    assert "8XYZ999" not in [t.text for t in scene(far, near).truth(0.0, 0.0)]


def test_small_and_clipped_plates_are_not_in_the_ground_truth():
    """Under 16 pixels of width, behind us, or over the edge of the frame."""
    assert scene(car(z_m=60.0)).truth(0.0, 0.0) == []
    assert scene(car(z_m=12.0)).truth(0.0, 20.0) == []
    assert scene(car(x_m=9.0, z_m=8.0)).truth(0.0, 0.0) == []


def test_a_drive_is_rendered_the_same_twice(tmp_path):
    """Every file of the folder, byte for byte, and the folder is a drive without a torn line."""
    plan = Plan(
        name="two-frames",
        seed=4,
        seconds=0.4,
        light=DAY,
        start_utc="2026-05-12T15:04:00+00:00",
        notes="two frames",
        speed_mps=6.5,
        vehicles=(Parked(14, "US-CA"), Parked(24, "MX"), Parked(40, "US-CA", same_as=0)),
        script=("0 link.up", "100 link.drop_acks n=3"),
    )
    for name in ("a", "b"):
        render(plan, TypedPlates(), tmp_path / name)
    first, again = (
        {f.relative_to(tmp_path / name): f.read_bytes() for f in (tmp_path / name).rglob("*") if f.is_file()}
        for name in ("a", "b")
    )
    assert first == again
    drive = load_drive(tmp_path / "a")
    assert (len(drive.frames), drive.torn_lines) == (2, 0)
    assert [(a.t_ns, a.do, dict(a.args)) for a in drive.script] == [
        (0, "link.up", {}),
        (100_000_000, "link.drop_acks", {"n": 3}),
    ]


@pytest.mark.parametrize("name", PLANS)
def test_shipped_drive_is_complete(name):
    """It loads, nothing of it is torn, and every true box lies in its frame."""
    drive = load_drive(DRIVES / name)
    assert drive.torn_lines == 0
    assert (drive.header.source, drive.header.recogniser) == ("synthetic", "model")
    assert len(drive.frames) == int(PLANS[name].seconds * drive.header.camera.fps)
    assert all(0 <= t.x0 < t.x1 <= WIDTH_PX and 0 <= t.y0 < t.y1 <= HEIGHT_PX for t in drive.truth)
    assert all(t.x1 - t.x0 >= 15.9 for t in drive.truth)  # the file rounds to a tenth of a pixel


@pytest.mark.parametrize("name", PLANS)
def test_shipped_drive_matches_its_plan(name):
    """Script, header and floors are those of the plan: nobody edited the folder by hand."""
    drive, plan = load_drive(DRIVES / name), PLANS[name]
    assert [(a.t_ns // 1_000_000, a.do) for a in drive.script] == [
        (int(t), do) for t, do in (line.split()[:2] for line in plan.script)
    ]
    assert dict(drive.header.floors) == plan.floors
    assert drive.header.notes == plan.notes


def test_every_vehicle_of_the_shipped_drives_has_a_plate_of_its_own():
    """But for the one of city-day that is passed twice; across drives no text comes back."""
    texts = [{t.plate for t in load_drive(DRIVES / name).truth} for name in PLANS]
    assert sum(len(found) for found in texts) == len(set().union(*texts))
    repeats = sum(isinstance(v, Parked) and v.same_as is not None for v in PLANS["city-day"].vehicles)
    assert (len(texts[0]), repeats) == (len(PLANS["city-day"].vehicles) - 1, 1)


@pytest.mark.parametrize("name", PLANS)
def test_sentences_arrive_in_bursts_after_their_epoch(name):
    """RMC 40 to 120 ms after its epoch, then GGA; valid checksums; void before the first fix."""
    rows = load_drive(DRIVES / name).sentences
    for text in (row.text for row in rows):
        body, check = text[1:].split("*")
        assert int(np.bitwise_xor.reduce(np.frombuffer(body.encode(), np.uint8))) == int(check, 16)
    rmc = [row for row in rows if "RMC" in row.text]
    for number, row in enumerate(rmc):
        late_ms = row.t_ns / 1e6 - number * 500
        assert 40 <= late_ms <= 120
        status = row.text.split(",")[2]
        assert status == ("V" if number * 0.5 < PLANS[name].first_fix_s else "A")
    assert all(a.t_ns < b.t_ns for a, b in pairwise(rows))


@pytest.mark.parametrize("name", PLANS)
def test_no_two_frames_of_a_shipped_drive_are_equal(name):
    """The car moves and the sensor is noisy, so an equal picture would be a frame written twice."""
    drive = load_drive(DRIVES / name)
    digests = {hashlib.sha256((drive.root / f.file).read_bytes()).digest() for f in drive.frames}
    assert len(digests) == len(drive.frames)


def test_the_picture_file_is_the_frame(tmp_path):
    """Red and blue are not swapped on the way to the file: an orange plate is orange in it."""

    class OrangePlates:
        def render(self, rng, *, region, clean):
            one = plate()
            return dataclasses.replace(one, rgb=np.full_like(one.rgb, ORANGE))

    plan = dataclasses.replace(PLANS["city-day"], seconds=0.2, vehicles=(Parked(9, "US-CA"),))
    render(plan, OrangePlates(), tmp_path)
    (true,) = load_drive(tmp_path).truth
    bgr = cv2.imread(str(tmp_path / "frames" / "0000.jpg"))
    blue, _, red = bgr[int(true.y0 + true.y1) // 2, int(true.x0 + true.x1) // 2].astype(int)
    assert red > 180
    assert blue < 90

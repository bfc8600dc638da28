"""The motion of vehicles, from drawn tracks: every kind, every direction of the camera, lens known or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Box, PathPoint
from agent.track import UNKNOWN_MOTION, MotionEstimator
from protocol.wire.enums import MotionKind
from tests.builders import NS_PER_S

FRAME_PX = (1280, 720)
FOCAL_PX = 1400.0
HFOV_DEG = 49.1
PLATE_M = (0.305, 0.1525)


def drawn_path(distance_m, gap_mps, *, right_m=2.5, frames=12, fps=8, plate_m=PLATE_M):
    """Boxes of a plate whose distance grows by ``gap_mps``, beside a camera that looks along the road."""
    points = []
    for number in range(frames):
        scale = FOCAL_PX / (distance_m + gap_mps * number / fps)
        x, y = 640 + right_m * scale, 360 + 0.7 * scale
        width, height = plate_m[0] * scale, plate_m[1] * scale
        box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        points.append(PathPoint(number * NS_PER_S // fps, box))
    return points


def crossing_path(right_mps, *, distance_m=4.0, frames=8, fps=15):
    """Boxes of a plate that crosses the picture of a camera to the side."""
    scale = FOCAL_PX / distance_m
    xs = [640 + (right_mps * (number - frames / 2) / fps) * scale for number in range(frames)]
    boxes = [Box(x - 53, 400, x + 53, 453) for x in xs]
    return [PathPoint(number * NS_PER_S // fps, box) for number, box in enumerate(boxes)]


@pytest.mark.parametrize(
    ("role", "distance_m", "unit_mps", "vehicle_mps", "kind"),
    [
        ("front", 25, 10, 0, "parked"),
        ("front", 40, 10, -10, "approaching"),
        ("front", 20, 20, 13, "overtaking"),
        ("front", 8, 10, 18, "receding"),
        ("front", 10, 15, 15, "following"),
        ("front", 10, 0, 0, "parked"),
        ("front", 25, 0, -9, "approaching"),
        ("front", 6, 0, 9, "receding"),
        ("rear", 4, 10, 0, "parked"),
        ("rear", 4, 10, -8, "receding"),
        ("rear", 20, 13, 20, "overtaking"),
        ("rear", 5, 20, 12, "receding"),
        ("rear", 10, 15, 15, "following"),
        ("rear", 25, 0, 9, "approaching"),
        ("rear", 6, 0, -9, "receding"),
    ],
)
def test_motion_of_vehicles_before_and_behind_the_unit(role, distance_m, unit_mps, vehicle_mps, kind):
    """Speeds are in the direction in which the unit drives."""
    gap_mps = vehicle_mps - unit_mps if role == "front" else unit_mps - vehicle_mps
    estimator = MotionEstimator(role, hfov_deg=HFOV_DEG)
    motion = estimator.estimate(drawn_path(distance_m, gap_mps), FRAME_PX, unit_mps)
    assert motion.kind == kind
    assert motion.confidence > 0.7


@pytest.mark.parametrize(
    ("role", "right_mps", "unit_mps", "kind"),
    [
        ("right", 8, 8, "parked"),
        ("left", -8, 8, "parked"),
        ("left", -20, 8, "approaching"),
        ("left", 6, 8, "overtaking"),
        ("right", 0, 8, "following"),
    ],
)
def test_motion_of_vehicles_beside_the_unit(role, right_mps, unit_mps, kind):
    """Parked vehicles cross the picture of a camera to the right from left to right, exactly as fast as the unit."""
    motion = MotionEstimator(role).estimate(crossing_path(right_mps), FRAME_PX, unit_mps)
    # Whether an oncoming vehicle beside the unit comes nearer or goes away depends on a few pixels.
    assert motion.kind in ({kind, "receding"} if kind == "approaching" else {kind})


def test_parked_vehicles_teach_the_focal_length():
    """Without a configured field of view an oncoming vehicle is told after some parked ones."""
    estimator = MotionEstimator("front")
    for _ in range(6):
        estimator.estimate(drawn_path(20, -8), FRAME_PX, 8.0)
    assert estimator.focal_widths == pytest.approx(FOCAL_PX / FRAME_PX[0], rel=0.15)
    assert estimator.estimate(drawn_path(40, -18), FRAME_PX, 8.0).kind is MotionKind.APPROACHING


def test_plates_of_other_shapes_have_the_same_scale():
    """A European plate is wider and lower than an American one."""
    path = drawn_path(25, -10, plate_m=(0.52, 0.11))
    assert MotionEstimator("front", hfov_deg=HFOV_DEG).estimate(path, FRAME_PX, 10.0).kind is MotionKind.PARKED


@pytest.mark.parametrize("path", [[], drawn_path(20, -8, frames=1), drawn_path(20, -8, frames=2, fps=30)])
def test_motion_is_unknown_from_too_few_frames(path):
    assert MotionEstimator("front").estimate(path, FRAME_PX, 8.0) == UNKNOWN_MOTION


def test_motion_is_unknown_without_the_speed_of_the_unit():
    """A box that grows slowly may be a parked vehicle or one that is passed."""
    assert MotionEstimator("front").estimate(drawn_path(20, -5), FRAME_PX, None) == UNKNOWN_MOTION


def test_receding_vehicle_is_told_without_the_speed_of_the_unit():
    assert MotionEstimator("front").estimate(drawn_path(8, 6), FRAME_PX, None).kind is MotionKind.RECEDING


def test_unknown_role_is_a_front_camera():
    path = drawn_path(40, -20)
    assert MotionEstimator("?", hfov_deg=HFOV_DEG).estimate(path, FRAME_PX, 10.0).kind is MotionKind.APPROACHING


SIDES = st.floats(0, 4000)


@given(
    st.lists(st.tuples(st.integers(0, 10**12), SIDES, SIDES, SIDES, SIDES), max_size=12),
    st.none() | st.floats(allow_nan=True),
    st.sampled_from(["front", "rear", "left", "right", "?"]),
)
def test_any_path_and_speed_give_a_motion(points, speed_mps, role):
    """Empty and repeated boxes, frames of one instant, speeds that are no numbers."""
    path = [PathPoint(t_ns, Box(*box)) for t_ns, *box in sorted(points)]
    estimator = MotionEstimator(role)
    for _ in range(2):
        motion = estimator.estimate(path, FRAME_PX, speed_mps)
        assert (motion.kind is MotionKind.UNKNOWN) == (motion.confidence == 0.0)
        assert 0.0 <= motion.confidence <= 1.0

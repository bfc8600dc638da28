"""A text that is fixed to the picture is no plate; one that is fixed to the world, or to another car, is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.recognise.detector import shrink
from agent.records import Box, Detection
from agent.track import StillTexts

MS = 1_000_000
WIDTH, HEIGHT = 640, 360
BOX = Box(40, 320, 140, 345)


def world(number, *, step=17):
    """A wall of blocks that passes by."""
    rng = np.random.default_rng(3)
    wall = cv2.resize(
        rng.uniform(20, 235, (18, 300)).astype(np.float32), (6000, HEIGHT), interpolation=cv2.INTER_NEAREST
    )
    at = (number * step) % (6000 - WIDTH)
    return np.repeat(wall[:, at : at + WIDTH, None].astype(np.uint8), 3, axis=2)


def lettered(rgb, box, text):
    x0, y0, x1, y1 = (round(v) for v in (box.x0, box.y0, box.x1, box.y1))
    cv2.rectangle(rgb, (x0, y0), (x1, y1), (0, 0, 0), -1)
    cv2.putText(rgb, text, (x0 + 4, y1 - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)


def play(frames, *, small=False):
    """Frames of picture and box, five a second; returns how many detections were left.

    ``small``: with the picture as the detector sees it.
    """
    still = StillTexts()
    left = [
        len(still.moving(rgb, n * 200 * MS, [Detection(box, 0.9)], shrink(rgb, 384, 216) if small else None))
        for n, (rgb, box) in enumerate(frames)
    ]
    return still, left


def overlay(number, text="A129"):
    rgb = world(number)
    lettered(rgb, BOX, text)
    jitter = 1.5 * np.sin(number)
    return rgb, Box(BOX.x0 + jitter, BOX.y0, BOX.x1 + jitter, BOX.y1)


@pytest.mark.parametrize("small", [False, True])
def test_overlay_text_is_dropped_once_the_car_has_moved(small):
    still, left = play([overlay(n) for n in range(30)], small=small)
    assert sum(left) <= 7
    assert left[-1] == 0
    assert still.stood_still(BOX)


def test_short_static_track_is_detected_at_its_end():
    still, _ = play([overlay(n) for n in range(4)])
    assert still.stood_still(BOX)


def test_clock_overlay_is_dropped_after_a_while():
    """Its text changes, its place does not."""
    _, left = play([overlay(n, f"14{n // 5:02d}") for n in range(150)])
    assert left[-1] == 0


def test_followed_car_is_not_static():
    """It keeps its distance, and shakes."""
    frames = []
    for n in range(160):
        rgb = world(n)
        # It shakes by two pixels, and comes and goes by some more.
        dx, dy = round(2 * np.sin(n * 1.7) + 5 * np.sin(n / 17)), round(2 * np.cos(n * 2.3))
        box = Box(300 + dx, 200 + dy, 380 + dx, 240 + dy)
        lettered(rgb, box, "7ABC12")
        frames.append((rgb, box))
    still, left = play(frames)
    assert sum(left) == 160
    assert not still.stood_still(Box(300, 200, 380, 240))


@pytest.mark.parametrize("small", [False, True])
def test_stationary_car_adds_no_static_text(small):
    """A parked car in front of a parked patrol car, and people passing by."""
    rng = np.random.default_rng(1)
    frames = []
    for n in range(60):
        rgb = world(0)
        lettered(rgb, BOX, "7ABC12")
        rgb[100:200, 5 * n : 5 * n + 60] = 30
        noise = rng.integers(-4, 5, rgb.shape, np.int16)
        frames.append((np.clip(rgb + noise, 0, 255).astype(np.uint8), BOX))
    still, left = play(frames, small=small)
    assert sum(left) == 60
    assert not still.stood_still(BOX)


def test_passing_plates_do_not_displace_known_static_places():
    still, _ = play([overlay(n) for n in range(30)])
    for n in range(30, 130):
        rgb, box = overlay(n)
        passing = Box(5.0 * (n - 30), 100, 5.0 * (n - 30) + 60, 130)
        left = still.moving(rgb, n * 200 * MS, [Detection(box, 0.9), Detection(passing, 0.9)])
        assert [d.box for d in left] == [passing]

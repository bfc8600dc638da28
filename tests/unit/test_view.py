"""Faults of a camera's view, with a moving scene behind a fixed bonnet."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.view import SightCheck, ViewConfig, ViewState, ViewWatch

CONFIG = ViewConfig(every_frames=1, learn_samples=60, judge_samples=40, blind_samples=5)
HEIGHT, WIDTH = 270, 480


def world(seed: int = 1) -> np.ndarray:
    """A long wall of random blocks to drive past."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(20, 235, (18, 400)).astype(np.float32)
    return cv2.resize(small, (400 * 15, HEIGHT), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def drive(watch: ViewWatch, frames: int, *, start: int = 0, spoil=lambda rgb: rgb) -> None:
    wall = world()
    for number in range(start, start + frames):
        at = (number * 23) % (wall.shape[1] - WIDTH)
        rgb = np.repeat(wall[:, at : at + WIDTH, None], 3, axis=2)
        # The bonnet and an edge of the windscreen do not move.
        cv2.ellipse(rgb, (WIDTH // 2, HEIGHT + 20), (200, 80), 0, 0, 360, (70, 70, 75), -1)
        cv2.line(rgb, (30, 0), (0, 120), (10, 10, 10), 9)
        watch.step(spoil(rgb))


def splash(rgb: np.ndarray) -> np.ndarray:
    """Mud over a third of the picture."""
    rgb = rgb.copy()
    rgb[40:200, 150:340] = (92, 84, 70)
    return rgb


def knocked(rgb: np.ndarray) -> np.ndarray:
    """The camera turned: all that is fixed to the car lies elsewhere."""
    return np.roll(rgb, (12, 40), axis=(0, 1))


@pytest.fixture
def learnt():
    watch = ViewWatch(CONFIG)
    drive(watch, 70)
    return watch


@pytest.mark.slow
def test_clear_view_has_no_fault(learnt):
    drive(learnt, 200, start=70)
    assert learnt.state == ViewState()
    assert learnt.state.is_clear


@pytest.mark.parametrize("level", [2, 128, 250])
def test_covered_camera_is_blinded_until_uncovered(learnt, level):
    drive(learnt, 6, spoil=lambda rgb: np.full_like(rgb, level))
    assert learnt.state.blinded
    drive(learnt, 3, start=6)
    assert not learnt.state.blinded


@pytest.mark.slow
def test_dirty_camera_is_detected(learnt):
    drive(learnt, 250, start=70, spoil=splash)
    assert learnt.state.dirty
    assert not learnt.state.blinded


@pytest.mark.slow
def test_moved_camera_is_detected(learnt):
    drive(learnt, 250, start=70, spoil=knocked)
    assert learnt.state.moved


@pytest.mark.slow
def test_slow_traffic_is_not_dirt(learnt):
    """Everything changes less: nothing is dirty."""
    wall = world(2)
    for number in range(300):
        at = number // 3
        rgb = np.repeat(wall[:, at : at + WIDTH, None], 3, axis=2)
        learnt.step(rgb)
    assert not learnt.state.dirty


@pytest.mark.slow
def test_stationary_car_is_not_learnt():
    """Hours at the workshop with the engine on are not a reference; the drive after them is."""
    watch = ViewWatch(CONFIG)
    rng = np.random.default_rng(3)
    still = np.repeat(world()[:, :WIDTH, None], 3, axis=2).astype(np.int16)
    for _ in range(200):
        noisy = np.clip(still + rng.integers(-6, 7, still.shape, np.int16), 0, 255).astype(np.uint8)
        watch.step(noisy)
    drive(watch, 70)
    drive(watch, 200, start=70)
    assert watch.state == ViewState()
    drive(watch, 250, start=270, spoil=splash)
    assert watch.state.dirty


@pytest.mark.slow
def test_reference_is_kept_over_a_restart(tmp_path):
    """Dirt from overnight is detected in the morning; a torn reference file is learnt again."""
    path = tmp_path / "view-front.npy"
    drive(ViewWatch(CONFIG, path), 70)
    again = ViewWatch(CONFIG, path)
    drive(again, 60, spoil=splash)
    assert again.state.dirty
    path.write_bytes(path.read_bytes()[:100])
    fresh = ViewWatch(CONFIG, path)
    drive(fresh, 60, spoil=splash)
    assert not fresh.state.dirty


SECOND = 1_000_000_000


def looked(frames, *, fps=10):
    check = SightCheck()
    for number, rgb in enumerate(frames):
        check.step(rgb, round(number * SECOND / fps))
    return check


def street(number=0, *, step=0):
    wall = world()
    return np.repeat(wall[:, number * step : number * step + WIDTH, None], 3, axis=2)


def with_noise(rgb, rng, levels=2):
    noise = rng.integers(-levels, levels + 1, rgb.shape, np.int16)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("fps", [1, 5, 30])
def test_repeated_picture_is_a_frozen_camera(fps):
    assert looked([street()] * (6 * fps + 1), fps=fps).frozen
    assert not looked([street()] * 3 * fps, fps=fps).frozen


def test_frozen_picture_with_a_running_clock_is_detected():
    """Recorders write the time into what they repeat."""
    frames = []
    for number in range(80):
        rgb = street()
        cv2.putText(rgb, f"14:03:{number // 10:02d}", (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
        frames.append(rgb)
    assert looked(frames).frozen


def test_small_passing_car_ends_frozen_without_noise():
    """Streams leave out noise; what moves through a still picture is seen."""
    frames = [street()] * 60
    for number in range(10):
        rgb = street()
        rgb[120:200, 30 * number : 30 * number + 140] = 90
        frames.append(rgb)
    assert looked(frames[:60]).frozen
    assert not looked(frames).frozen


@pytest.mark.slow
def test_static_scene_with_noise_is_not_frozen():
    rng = np.random.default_rng(5)
    assert not looked([with_noise(street(), rng) for _ in range(100)]).frozen


def test_camera_that_recovers_is_not_frozen():
    check = looked([street()] * 80)
    check.step(street(1, step=40), 8 * SECOND)
    assert not check.frozen


@pytest.mark.parametrize("level", [0, 128, 255])
def test_dark_picture_is_not_frozen(level):
    """What shows nothing is blind, and said to be so."""
    assert not looked([np.full((HEIGHT, WIDTH, 3), level, np.uint8)] * 100).frozen


@pytest.mark.parametrize("rows", [(200, 270), (0, 60), (100, 180)])
def test_undecoded_part_is_detected(rows):
    """Green is what decoders leave where data is missing; a meadow is not of one colour from side to side."""
    rng = np.random.default_rng(2)
    rgb = street()
    rgb[slice(*rows)] = (0, 135, 0)
    assert looked([rgb]).damaged
    meadow = street()
    meadow[slice(*rows)] = with_noise(np.full_like(meadow[slice(*rows)], (40, 140, 30)), rng, 20)
    assert not looked([meadow]).damaged
    check = looked([rgb] * 12)
    assert check.often_damaged


def test_faults_found_by_other_checks_are_reported():
    """Frozen, damaged, upside down: each is a reason to go and look."""
    watch = ViewWatch(CONFIG)
    for key in ("frozen", "damaged", "upside_down"):
        watch.step(street(), **{key: True})
        assert watch.state == ViewState(**{key: True})
        assert not watch.state.is_clear
    watch.step(street())
    assert watch.state.is_clear

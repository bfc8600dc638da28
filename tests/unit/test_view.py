"""What is wrong with a camera's sight, on a world that passes by behind a fixed bonnet."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.view import ViewConfig, ViewState, ViewWatch

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
def test_a_clear_sight_stays_clear(learnt):
    drive(learnt, 200, start=70)
    assert learnt.state == ViewState()
    assert learnt.state.is_clear


@pytest.mark.parametrize("level", [2, 128, 250])
def test_a_covered_camera_is_blinded_and_sees_again(learnt, level):
    drive(learnt, 6, spoil=lambda rgb: np.full_like(rgb, level))
    assert learnt.state.blinded
    drive(learnt, 3, start=6)
    assert not learnt.state.blinded


@pytest.mark.slow
def test_mud_is_noticed(learnt):
    drive(learnt, 250, start=70, spoil=splash)
    assert learnt.state.dirty
    assert not learnt.state.blinded


@pytest.mark.slow
def test_a_knock_is_noticed(learnt):
    drive(learnt, 250, start=70, spoil=knocked)
    assert learnt.state.moved


@pytest.mark.slow
def test_a_slow_street_is_not_dirt(learnt):
    """Everything changes less: nothing is dirty."""
    wall = world(2)
    for number in range(300):
        at = number // 3
        rgb = np.repeat(wall[:, at : at + WIDTH, None], 3, axis=2)
        learnt.step(rgb)
    assert not learnt.state.dirty


@pytest.mark.slow
def test_a_standing_car_teaches_nothing():
    """Hours with the engine on at the workshop are no reference; the drive after them is."""
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
def test_what_was_learnt_outlives_a_restart(tmp_path):
    """Dirt that came overnight is seen in the morning; a torn file is learnt anew."""
    path = tmp_path / "view-front.npy"
    drive(ViewWatch(CONFIG, path), 70)
    again = ViewWatch(CONFIG, path)
    drive(again, 60, spoil=splash)
    assert again.state.dirty
    path.write_bytes(path.read_bytes()[:100])
    fresh = ViewWatch(CONFIG, path)
    drive(fresh, 60, spoil=splash)
    assert not fresh.state.dirty

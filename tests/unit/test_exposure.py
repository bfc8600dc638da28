"""Exposure for moving plates, with a simulated scene."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from agent.exposure import ExposureConfig, ExposurePolicy, ladder, quantile
from agent.records import Box, Detection
from hw.ports import Frame

CONFIG = ExposureConfig()
BOX = Box(100, 60, 160, 90)


def taken(exposure, *, scene: float, plate: float | None = None, seq: int = 0) -> Frame:
    """A frame of a scene whose brightness and plate are given in levels per 1000 us at gain 1."""
    light = exposure.exposure_us * exposure.gain / 1000
    rgb = np.full((180, 320, 3), min(255.0, scene * light), np.uint8)
    if plate is not None:
        rgb[60:91, 100:161] = min(255.0, plate * light)
    return Frame(seq, "front", seq * 33_000_000, rgb, exposure.exposure_us, exposure.gain)


def settle(policy: ExposurePolicy, *, scene: float, plate: float | None = None, frames: int = 400):
    """Let camera and policy go round; returns the exposures of the last frames, one frame late as pipelines are."""
    exposure = ladder(CONFIG)[len(ladder(CONFIG)) // 2]
    asked = []
    for seq in range(frames):
        frame = taken(exposure, scene=scene, plate=plate, seq=seq)
        exposure = policy.step(frame, [] if plate is None else [Detection(BOX, 0.9)])
        asked.append(exposure)
    return asked[-12:]


def test_the_shutter_never_opens_longer_than_its_cap():
    rungs = ladder(CONFIG)
    assert max(rung.exposure_us for rung in rungs) == CONFIG.cap_us
    assert max(rung.gain for rung in rungs) <= CONFIG.max_gain
    lights = [rung.exposure_us * rung.gain for rung in rungs]
    assert lights == sorted(lights)
    assert all(rung.gain == 1.0 for rung in rungs if rung.exposure_us < CONFIG.cap_us)


@pytest.mark.parametrize("scene", [1200.0, 300.0, 60.0])
def test_daylight_scene_is_well_exposed(scene):
    (exposure,) = set(settle(ExposurePolicy(CONFIG), scene=scene))
    assert 60 <= scene * exposure.exposure_us * exposure.gain / 1000 <= 150


def test_retro_reflective_plate_is_not_overexposed():
    """A dark scene asks for all the light there is; the plate in it decides."""
    policy = ExposurePolicy(CONFIG)
    exposures = settle(policy, scene=0.5, plate=200.0)
    assert all(200.0 * e.exposure_us * e.gain / 1000 < 245 for e in exposures)
    assert any(200.0 * e.exposure_us * e.gain / 1000 > 100 for e in exposures)


def test_in_the_dark_two_exposures_alternate():
    policy = ExposurePolicy(CONFIG)
    exposures = set(settle(policy, scene=0.5))
    assert policy.is_dark
    light = sorted(e.exposure_us * e.gain for e in exposures)
    assert len(light) == 2
    assert light[1] / light[0] == pytest.approx(2**CONFIG.bracket_stops, rel=0.1)


def test_frames_with_another_exposure_are_ignored():
    """A frame with another exposure says nothing about the requested one."""
    policy = ExposurePolicy(CONFIG)
    first = policy.step(taken(ladder(CONFIG)[0], scene=100.0), [])
    for seq in range(50):
        assert policy.step(taken(ladder(CONFIG)[0], scene=100.0, seq=seq), []) == first


def test_the_exposure_for_plates_is_kept_a_while_after_the_last():
    policy = ExposurePolicy(CONFIG)
    kept = settle(policy, scene=2.0, plate=300.0)[-1]
    for seq in range(CONFIG.plate_frames - 1):
        assert policy.step(taken(kept, scene=2.0, seq=seq), []) == kept
    later = settle(policy, scene=2.0)
    assert max(e.exposure_us * e.gain for e in later) > kept.exposure_us * kept.gain


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.sampled_from((0.5, 0.9)))
def test_quantile_is_that_of_sorted_levels(levels, share):
    assert quantile(levels, share) == pytest.approx(float(np.percentile(levels, 100 * share)))

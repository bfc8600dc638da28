"""Pictures: of the frame that was read, identified by their hash, within their budget."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ImageError
from agent.pictures import PictureConfig, PictureMaker
from protocol.wire.enums import PictureKind
from tests.builders import make_sighting


def noisy(height, width, seed=7):
    """Noise is the worst case for JPEG."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def make_pictures(scene, crop, **config):
    sighting = make_sighting()
    return PictureMaker(PictureConfig(**config)).make(
        replace(sighting, frame=replace(sighting.frame, rgb=scene), crop=crop)
    )


SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))


@settings(max_examples=25)
@given(SIZES, SIZES, st.integers(1_500, 20_000))
def test_budgets_are_kept_and_names_are_hashes(scene, crop, max_bytes):
    """Any pixels of any shape, lines included: never above the budget, hash and size those of the bytes."""
    made = make_pictures(noisy(*scene), noisy(*crop), plate_max_bytes=max_bytes, overview_max_bytes=max_bytes)
    assert [picture.kind for picture in made] == [PictureKind.PLATE, PictureKind.OVERVIEW]
    for picture in made:
        assert len(picture.jpeg) <= max_bytes
        assert picture.sha256 == hashlib.sha256(picture.jpeg).digest()
        decoded = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (picture.height_px, picture.width_px, 3)


def test_the_defaults_keep_a_full_frame_of_noise_within_budget():
    """The worst possible frame is not larger than any other."""
    plate, overview = make_pictures(noisy(720, 1280), noisy(120, 300))
    assert len(plate.jpeg) <= 6 * 1024
    assert len(overview.jpeg) <= 60 * 1024


def test_a_plate_within_budget_keeps_its_pixels():
    """Nothing is scaled that fits; colours stay what they were."""
    crop = np.zeros((32, 64, 3), np.uint8)
    crop[:] = (200, 40, 30)
    plate, _ = make_pictures(noisy(10, 10), crop)
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(plate.jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert (plate.width_px, plate.height_px) == (64, 32)
    assert np.abs(decoded.astype(int) - crop).max() <= 6


def test_an_overview_is_shrunk_to_its_width_and_keeps_its_shape():
    """1280x720 becomes 1024x576."""
    scene = np.full((720, 1280, 3), 120, np.uint8)
    _, overview = make_pictures(scene, noisy(8, 8))
    assert (overview.width_px, overview.height_px) == (1024, 576)


@pytest.mark.parametrize(
    ("plate", "overview", "kinds"),
    [(True, False, [PictureKind.PLATE]), (False, True, [PictureKind.OVERVIEW]), (False, False, [])],
)
def test_only_configured_pictures_are_made(plate, overview, kinds):
    """An agency may forbid overviews."""
    made = make_pictures(noisy(20, 20), noisy(8, 8), plate=plate, overview=overview)
    assert [picture.kind for picture in made] == kinds


@pytest.mark.parametrize("shape", [(0, 0, 3), (4, 0, 3)])
def test_invalid_pixels_are_a_clear_error(shape):
    """The error names the picture and its shape."""
    with pytest.raises(ImageError, match="plate: pixels of shape"):
        make_pictures(noisy(8, 8), np.zeros(shape, np.uint8))


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20)
def test_the_same_pixels_give_the_same_bytes(height, width):
    """A replay makes the pictures the drive made: hashes compare."""
    scene, crop = noisy(height, width), noisy(width, height)
    assert make_pictures(scene, crop) == make_pictures(scene, crop)

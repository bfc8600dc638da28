"""One real or synthetic plate picture to one 64 x 128 training crop, as a moving patrol camera might have seen it.

Order as in nature: geometry (one warp), light, lens and motion blur at the plate's own pixel size, sensor noise,
JPEG, and only then the enlargement to the network's input.  A crop costs about a third of a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.ocr.net import HEIGHT_PX, WIDTH_PX

Image = NDArray[np.uint8]
_MAX_TURN_DEG = 12.0
_ANGLES = 36
_NIGHT_SHARE = 0.2
_MARGINS = np.array([0.07, 0.08])
_BOX_ERROR = 0.085
"""Deviation of a box's edge, share of its size, as the detector errs on patrol frames: plates are read through it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A picture, the plate's tight box in it (x0, y0, x1, y1, pixels) and the plate's true width/height."""

    rgb: Image
    box: tuple[float, float, float, float]
    aspect: float


@dataclass(frozen=True, slots=True)
class View:
    """A training crop uint8 [64, 128, 3] RGB and where the plate's corners lie in it, float32 [4, 2] as shares of
    its width and height: top left, top right, bottom right, bottom left.  `sharp` is the same crop as the source shows
    it, before light, blur and noise."""

    rgb: Image
    corners: NDArray[np.float32]
    sharp: Image


def augmented(rng: np.random.Generator, source: Source, backdrops: list[Image], hard_share: float = 1.0) -> View:
    """A random view of `source`; 1 - `hard_share` of the views stay sharp and lit."""
    warped, corners = _geometry(rng, source, backdrops)
    return View(_taken(rng, source, warped) if rng.random() < hard_share else warped, corners, warped)


def _taken(rng: np.random.Generator, source: Source, warped: Image) -> Image:
    """The crop as a camera gives it: at the plate's own size in pixels, blurred, noisy, compressed."""
    smallest = 30 * max(1.0, source.aspect / 2.6)
    width = WIDTH_PX if rng.random() < 0.25 else int(np.exp(rng.uniform(np.log(smallest), np.log(150))))
    height = int(width / source.aspect * rng.uniform(0.85, 1.3))
    width, height = min(width, WIDTH_PX), min(max(height, 9), HEIGHT_PX)
    small = warped
    if width < WIDTH_PX or height < HEIGHT_PX:
        small = cv2.resize(warped, (width, height), interpolation=cv2.INTER_AREA)
    small = _night(rng, small) if rng.random() < _NIGHT_SHARE else _sensor(rng, _blurred(rng, _lit(rng, small)))
    if small.shape[:2] != (HEIGHT_PX, WIDTH_PX):
        small = cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
    return small


def _geometry(
    rng: np.random.Generator, source: Source, backdrops: list[Image]
) -> tuple[Image, NDArray[np.float32]]:
    x0, y0, x1, y1 = source.box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    half = np.array([source.aspect / 2, 0.5])
    unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = np.radians(np.clip(rng.normal(0, 3.5), -_MAX_TURN_DEG, _MAX_TURN_DEG)) if rng.random() < 0.7 else 0.0
    shear = rng.normal(0, 0.07) if rng.random() < 0.5 else 0.0
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]]
    quad = unit @ matrix.T
    if rng.random() < 0.6:
        quad += rng.normal(0, 0.022, (4, 2)) * (2 * half)
    low, high = quad.min(axis=0), quad.max(axis=0)
    size = high - low
    loose = _BOX_ERROR if rng.random() < 0.6 else _BOX_ERROR / 3
    low = low - size * (_MARGINS + rng.normal(0, loose, 2))
    high = high + size * (_MARGINS + rng.normal(0, loose, 2))
    shares = ((quad - low) / (high - low)).astype(np.float32)
    warp = cv2.getPerspectiveTransform(corners, shares * np.float32([WIDTH_PX, HEIGHT_PX]))
    size_px = (WIDTH_PX, HEIGHT_PX)
    if rng.random() < 0.3:
        return cv2.warpPerspective(source.rgb, warp, size_px, borderMode=cv2.BORDER_REPLICATE), shares
    canvas = backdrops[rng.integers(len(backdrops))].copy()
    warped = cv2.warpPerspective(source.rgb, warp, size_px, dst=canvas, borderMode=cv2.BORDER_TRANSPARENT)
    return warped, shares


def _lit(rng: np.random.Generator, small: Image) -> NDArray[np.float32]:
    light = small.astype(np.float32)
    kind = rng.random()
    if kind < 0.15:  # grey, as a monochrome or infra-red camera sees it
        light = np.repeat(light @ rng.dirichlet((3, 5, 2)).astype(np.float32)[:, None], 3, axis=2)
    elif kind < 0.5:  # colour cast, up to a sodium lamp's
        light *= rng.uniform(0.7, 1.15, 3).astype(np.float32)
    if rng.random() < 0.3:
        light = 255 * (light / 255) ** np.float32(np.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.12:
        light = _shaded(rng, light)
    if rng.random() < 0.08:
        light = _glare(rng, light)
    night = rng.random()
    if night < 0.25:
        light *= np.float32(rng.uniform(0.15, 0.55))
    elif night < 0.7:
        contrast = rng.uniform(0.45, 1.35)
        light = (light - 128) * np.float32(contrast) + np.float32(128 + rng.normal(0, 22))
    return light


def _shaded(rng: np.random.Generator, light: NDArray[np.float32]) -> NDArray[np.float32]:
    """A hard-edged shadow over one side, as of a bumper or a tow bar."""
    height, width = light.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    x, y = (
        np.arange(width) / width - rng.uniform(0.2, 0.8),
        np.arange(height)[:, None] / height - rng.uniform(0.2, 0.8),
    )
    side = np.clip((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(8, 60), 0, 1)
    return light * (1 - rng.uniform(0.25, 0.7) * side[..., None]).astype(np.float32)


def _glare(rng: np.random.Generator, light: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = light.shape[:2]
    x = (np.arange(width) / width - rng.random()) / rng.uniform(0.08, 0.3)
    y = (np.arange(height)[:, None] / height - rng.random()) / rng.uniform(0.15, 0.6)
    return light + (rng.uniform(60, 200) * np.exp(-(x * x + y * y)))[..., None].astype(np.float32)


@cache
def _motion_kernel(length_tenths: int, angle: int) -> NDArray[np.float32]:
    """Line kernel of a length in tenths of a pixel at `angle` of 36 in half a turn, drawn 8 times oversampled."""
    length, size = length_tenths / 10, 2 * int(np.ceil(length_tenths / 20)) + 1
    big = np.zeros((size * 8, size * 8), np.uint8)
    centre, theta = size * 4, np.pi * angle / _ANGLES
    dx, dy = np.cos(theta) * length * 4, np.sin(theta) * length * 4
    cv2.line(
        big,
        (round(centre - dx), round(centre - dy)),
        (round(centre + dx), round(centre + dy)),
        255,
        8,
        cv2.LINE_AA,
    )
    kernel = cv2.resize(big.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return kernel / kernel.sum()


def _blurred(rng: np.random.Generator, light: NDArray[np.float32]) -> NDArray[np.float32]:
    width = light.shape[1]
    draw = rng.random()
    if draw < 0.45:
        length = rng.uniform(1.5, min(10.0, max(2.0, 0.13 * width)))
        angle = rng.normal(0, 1.5) if rng.random() < 0.65 else rng.integers(_ANGLES)
        light = cv2.filter2D(light, -1, _motion_kernel(int(length * 10), round(angle) % _ANGLES))
    elif draw < 0.62:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.35, max(0.5, 0.012 * width)))
    elif draw < 0.68:  # a sharpening camera
        light = light + rng.uniform(0.3, 1.0) * (light - cv2.GaussianBlur(light, (0, 0), 1.0))
    return light


def _night(rng: np.random.Generator, small: Image) -> Image:
    """Little light, much noise, strong compression: together, as a camera gives them at night."""
    light = small.astype(np.float32) * np.float32(rng.uniform(0.15, 0.45))
    if rng.random() < 0.25:
        light = _blurred(rng, light)
    light += np.float32(rng.uniform(2, 9)) * rng.standard_normal(light.shape, np.float32)
    return _compressed(rng, np.clip(light, 0, 255).astype(np.uint8), (30, 75))


def _sensor(rng: np.random.Generator, light: NDArray[np.float32]) -> Image:
    if rng.random() < 0.5:
        sigma = rng.uniform(1, 7) if rng.random() < 0.85 else 0.08 * light.mean()
        light = light + np.float32(sigma) * rng.standard_normal(light.shape, np.float32)
    small = np.clip(light, 0, 255).astype(np.uint8)
    return _compressed(rng, small, (25, 92)) if rng.random() < 0.35 else small


def _compressed(rng: np.random.Generator, small: Image, quality: tuple[float, float]) -> Image:
    _, data = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(*quality))))
    return cv2.imdecode(data, cv2.IMREAD_COLOR)

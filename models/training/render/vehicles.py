"""Vehicles as textured boxes: a detailed end with the plate, a plain side, a roof, a shadow on the road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.plates import Plate

    Rgba = NDArray[np.float32]
    """Height x width x 4: RGB 0..255 and opacity 0..1."""

PX_PER_M = 560
PLATE_M = (0.305, 0.1525)
_SUPER = 2
_COLOURS = (
    (28, 28, 30), (225, 226, 228), (150, 153, 157), (92, 96, 102), (120, 26, 26), (36, 58, 98), (70, 84, 66),
    (196, 190, 176),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Where a vehicle stands at t = 0, how it moves, and what it looks like."""

    plate: Plate
    x_m: float
    """Middle of its end that faces us."""
    z_m: float
    """The end that faces us."""
    speed_mps: float
    """Along the road; negative: towards us."""
    front: bool
    """True when we see its front."""
    width_m: float
    height_m: float
    length_m: float
    end: Rgba
    """Texture of the end that faces us, plate included."""
    side: Rgba
    roof: tuple[float, float, float]
    plate_box_m: tuple[float, float, float, float]
    """Left, top, right, bottom of the plate on the end: metres from its left edge and from the ground."""


def make_vehicle(
    rng: np.random.Generator, plate: Plate, *, x_m: float, z_m: float, speed_mps: float = 0.0, front: bool = False
) -> Vehicle:
    """A vehicle with random paint and build."""
    tall = rng.random() < 0.35
    width_m, height_m = (1.92, 1.78) if tall else (1.8, 1.46)
    colour = np.array(_COLOURS[int(rng.integers(len(_COLOURS)))], np.float32) * rng.uniform(0.9, 1.08)
    left = (width_m - PLATE_M[0]) / 2
    bottom = rng.uniform(0.42, 0.5) if front else rng.uniform(0.5, 0.7 if tall else 0.62)
    box = (left, bottom + PLATE_M[1], left + PLATE_M[0], bottom)
    end = _draw_end(rng, colour, (width_m, height_m), front=front, plate=plate, box_m=box)
    length_m = float(rng.uniform(4.2, 4.9))
    return Vehicle(
        plate=plate,
        x_m=x_m,
        z_m=z_m,
        speed_mps=speed_mps,
        front=front,
        width_m=width_m,
        height_m=height_m,
        length_m=length_m,
        end=end,
        side=_draw_side(colour, length_m, height_m),
        roof=tuple(float(c) for c in colour * 0.8 + 18),
        plate_box_m=box,
    )


class _Canvas:
    """Draws in metres from the lower left corner, twice as fine as the result."""

    def __init__(self, width_m: float, height_m: float) -> None:
        self._scale = PX_PER_M * _SUPER
        self._height_m = height_m
        self.rgb = np.zeros((round(height_m * self._scale), round(width_m * self._scale), 3), np.float32)
        self.mask = np.zeros(self.rgb.shape[:2], np.float32)

    def points(self, *corners: tuple[float, float]) -> NDArray[np.int32]:
        return np.array([[x * self._scale, (self._height_m - y) * self._scale] for x, y in corners], np.int32)

    def shape(self, *corners: tuple[float, float]) -> None:
        cv2.fillPoly(self.mask, [self.points(*corners)], 1.0)

    def fill(self, colour: tuple[float, ...], *corners: tuple[float, float]) -> None:
        cv2.fillPoly(self.rgb, [self.points(*corners)], colour)

    def box(self, colour: tuple[float, ...], x0: float, y0: float, x1: float, y1: float) -> None:
        self.fill(colour, (x0, y0), (x1, y0), (x1, y1), (x0, y1))

    def disc(self, colour: tuple[float, ...], x: float, y: float, radius_x: float, radius_y: float) -> None:
        (centre,) = self.points((x, y))
        axes = (round(radius_x * self._scale), round(radius_y * self._scale))
        cv2.ellipse(self.rgb, (int(centre[0]), int(centre[1])), axes, 0, 0, 360, colour, -1)

    def paste(self, picture: NDArray[np.uint8], box_m: tuple[float, float, float, float]) -> None:
        (x0, y0), (x1, y1) = self.points((box_m[0], box_m[1]), (box_m[2], box_m[3]))
        self.rgb[y0:y1, x0:x1] = cv2.resize(picture, (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_AREA)

    def done(self) -> Rgba:
        soft = cv2.GaussianBlur(self.mask, (0, 0), 3)
        whole = np.dstack([self.rgb, np.minimum(self.mask, soft * 1.2)])
        size = (whole.shape[1] // _SUPER, whole.shape[0] // _SUPER)
        return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)


def _shaded(canvas: _Canvas, colour: NDArray[np.float32]) -> None:
    """Paint that mirrors the sky above and the road below."""
    rows = np.linspace(1.22, 0.62, canvas.rgb.shape[0], dtype=np.float32)[:, np.newaxis, np.newaxis]
    columns = 1 - 0.16 * np.linspace(-1, 1, canvas.rgb.shape[1], dtype=np.float32)[np.newaxis, :, np.newaxis] ** 2
    canvas.rgb[:] = colour * rows * columns + 12


def _draw_end(
    rng: np.random.Generator,
    colour: NDArray[np.float32],
    size_m: tuple[float, float],
    *,
    front: bool,
    plate: Plate,
    box_m: tuple[float, float, float, float],
) -> Rgba:
    width, height = size_m
    canvas = _Canvas(width, height)
    _shaded(canvas, colour)
    waist, roof_inset = height * 0.62, 0.2
    canvas.shape(
        (0.06, 0.2), (width - 0.06, 0.2), (width, 0.45), (width - 0.01, waist), (width - roof_inset, height - 0.08),
        (width - roof_inset - 0.2, height), (roof_inset + 0.2, height), (roof_inset, height - 0.08), (0.01, waist),
        (0, 0.45),
    )  # fmt: skip
    _glass(canvas, width, height, waist)
    dark = (24.0, 25.0, 27.0)
    # Tyres and the shade beneath the bumper.
    for x in (0.08, width - 0.3):
        canvas.box(dark, x, 0.0, x + 0.22, 0.34)
        canvas.shape((x, 0.0), (x + 0.22, 0.0), (x + 0.22, 0.34), (x, 0.34))
    canvas.box(tuple(float(c) for c in colour * 0.45 + 8), 0.07, 0.2, width - 0.07, 0.34)
    if front:
        _front_details(canvas, width, waist, dark)
    else:
        _rear_details(rng, canvas, width, waist)
    margin = 0.035
    recess = tuple(float(c) for c in colour * 0.55)
    canvas.box(recess, box_m[0] - margin * 2, box_m[3] - margin, box_m[2] + margin * 2, box_m[1] + margin)
    canvas.paste(plate.rgb, box_m)
    return canvas.done()


def _glass(canvas: _Canvas, width: float, height: float, waist: float) -> None:
    inset = 0.2
    pane = ((inset - 0.02, waist + 0.03), (width - inset + 0.02, waist + 0.03), (width - inset - 0.14, height - 0.1),
            (inset + 0.14, height - 0.1))  # fmt: skip
    canvas.fill((38.0, 45.0, 52.0), *pane)
    canvas.fill((66.0, 76.0, 86.0), pane[0], (width * 0.42, waist + 0.03), (width * 0.3, height - 0.1), pane[3])


def _front_details(canvas: _Canvas, width: float, waist: float, dark: tuple[float, ...]) -> None:
    canvas.box(dark, width * 0.24, 0.56, width * 0.76, waist - 0.1)
    for y in np.arange(0.6, waist - 0.12, 0.05):
        canvas.box((96.0, 98.0, 102.0), width * 0.25, float(y), width * 0.75, float(y) + 0.012)
    canvas.disc((170.0, 174.0, 180.0), width / 2, waist - 0.17, 0.07, 0.05)
    for x in (0.24, width - 0.24):
        canvas.disc((196.0, 203.0, 210.0), x, waist - 0.16, 0.17, 0.075)
        canvas.disc((240.0, 244.0, 248.0), x, waist - 0.16, 0.07, 0.05)
        canvas.disc(dark, x, 0.42, 0.1, 0.045)


def _rear_details(rng: np.random.Generator, canvas: _Canvas, width: float, waist: float) -> None:
    tall = bool(rng.random() < 0.5)
    for x in (0.02, width - 0.02 - 0.22):
        low, high = (waist - 0.42, waist - 0.02) if tall else (waist - 0.24, waist - 0.05)
        canvas.box((128.0, 16.0, 18.0), x, low, x + 0.22, high)
        canvas.box((186.0, 44.0, 40.0), x + 0.03, low + 0.05, x + 0.19, high - 0.07)
    canvas.box((30.0, 31.0, 33.0), 0.05, 0.34, width - 0.05, 0.36)
    # A badge on one side, letters nobody can read on the other.
    canvas.box((160.0, 162.0, 166.0), width / 2 - 0.05, waist - 0.13, width / 2 + 0.05, waist - 0.06)
    for step in range(int(rng.integers(3, 7))):
        canvas.box(
            (165.0, 166.0, 170.0),
            width - 0.62 + step * 0.045,
            waist - 0.2,
            width - 0.6 + step * 0.045,
            waist - 0.17,
        )


def _draw_side(colour: NDArray[np.float32], length: float, height: float) -> Rgba:
    canvas = _Canvas(length / 4, height)
    _shaded(canvas, colour * 0.86)
    width, waist = length / 4, height * 0.62
    canvas.shape(
        (0, 0.22), (width, 0.22), (width, waist), (width * 0.8, height), (width * 0.18, height), (0, waist)
    )
    canvas.fill((34.0, 40.0, 47.0), (width * 0.08, waist + 0.03), (width * 0.92, waist + 0.03),
                (width * 0.78, height - 0.08), (width * 0.2, height - 0.08))  # fmt: skip
    for x in (width * 0.2, width * 0.8):
        (centre,) = canvas.points((x, 0.32))
        canvas.disc((22.0, 22.0, 24.0), x, 0.32, 0.08, 0.32)
        canvas.disc((120.0, 122.0, 126.0), x, 0.32, 0.045, 0.18)
        cv2.ellipse(canvas.mask, (int(centre[0]), int(centre[1])), (90, 358), 0, 0, 360, 1.0, -1)
    return canvas.done()

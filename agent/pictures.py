"""The pictures of a read: the plate picture and the overview, from the same frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from agent.errors import ImageError
from agent.policy.records import Shown
from agent.records import Picture
from protocol.policy.pack import Overview
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.records import Box, Sighting
    from protocol.policy.pack import VehicleBox

_QUALITY_STEP = 15
_MIN_QUALITY = 25
_SHRINK = 0.75


@dataclass(frozen=True, slots=True)
class PictureConfig:
    """Sizes and qualities of pictures."""

    plate: bool = True
    plate_quality: int = 85
    plate_max_bytes: int = 6 * 1024
    overview: bool = True
    overview_quality: int = 70
    overview_max_bytes: int = 60 * 1024
    overview_width_px: int = 1024


class PictureMaker:
    """Makes JPEGs within a byte budget.  One per thread."""

    def __init__(self, config: PictureConfig | None = None) -> None:
        self._config = config or PictureConfig()

    def make(self, sighting: Sighting, shown: Shown | None = None) -> tuple[Picture, ...]:
        """Return the plate picture and the overview, as configured and as far as the policy lets them be ``shown``.

        Raises ImageError when the pixels cannot be encoded.
        """
        config, shown = self._config, shown or Shown()
        pictures: list[Picture] = []
        if config.plate and shown.plate:
            crop = sighting.crop
            pictures.append(_jpeg(PictureKind.PLATE, crop, config.plate_quality, config.plate_max_bytes))
        if config.overview and shown.overview is not Overview.NONE:
            rgb = sighting.frame.rgb
            if shown.vehicle is not None:
                rgb = _only_vehicle(rgb, sighting.detection.box, shown.vehicle)
            scene = shrink(rgb, config.overview_width_px)
            pictures.append(_jpeg(PictureKind.OVERVIEW, scene, config.overview_quality, config.overview_max_bytes))
        return tuple(pictures)


def _only_vehicle(rgb: NDArray[np.uint8], plate: Box, vehicle: VehicleBox) -> NDArray[np.uint8]:
    """Blacken everything but the vehicle, before the picture is made smaller: nothing is left at its edges."""
    height, width = rgb.shape[:2]
    unit_px = plate.width_px
    left, right = (round(x) for x in (plate.x0 - vehicle.side * unit_px, plate.x1 + vehicle.side * unit_px))
    top, bottom = (round(y) for y in (plate.y0 - vehicle.above * unit_px, plate.y1 + vehicle.below * unit_px))
    rows = slice(min(max(top, 0), height), min(max(bottom, 0), height))
    columns = slice(min(max(left, 0), width), min(max(right, 0), width))
    masked = np.zeros_like(rgb)
    masked[rows, columns] = rgb[rows, columns]
    return masked


def shrink(rgb: NDArray[np.uint8], max_width_px: int) -> NDArray[np.uint8]:
    """Return a picture (height x width x 3) reduced to at most this width; the same array if it is not wider."""
    height, width = rgb.shape[:2]
    if width <= max_width_px:
        return rgb
    size = (max_width_px, max(1, round(height * max_width_px / width)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(rgb.dtype, copy=False)


def _jpeg(kind: PictureKind, rgb: NDArray[np.uint8], quality: int, max_bytes: int) -> Picture:
    """Encode, reducing first quality and then size until the budget is met."""
    while True:
        jpeg = encode_jpeg(rgb, quality, kind.value)
        height, width = rgb.shape[:2]
        at_min_quality = quality <= _MIN_QUALITY
        if len(jpeg) <= max_bytes or (at_min_quality and min(width, height) <= 1):
            return Picture(kind, hashlib.sha256(jpeg).digest(), jpeg, width, height)
        if not at_min_quality:
            quality = max(_MIN_QUALITY, quality - _QUALITY_STEP)
        else:
            rgb = shrink(rgb, max(1, int(width * _SHRINK)))


def encode_jpeg(rgb: NDArray[np.uint8], quality: int, name: str = "picture") -> bytes:
    """Return a JPEG of RGB pixels.  Raises ImageError with this name if they cannot be encoded."""
    try:
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise ImageError(f"{name}: pixels of shape {rgb.shape} cannot be encoded as JPEG: {error}") from error
    if not done:
        raise ImageError(f"{name}: pixels of shape {rgb.shape} cannot be encoded as JPEG")
    return bytes(jpeg)

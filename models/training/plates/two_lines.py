"""Plates whose serial stands in two lines, as on motorcycles and square mounts: the reader must not guess at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.plates.render import PlateRenderer

_LINE_PX = (176, 66)
_KEPT = (0.16, 0.86)
"""Share of a plate's height that holds the serial; the rest is rim and small print."""


def two_line_plate(renderer: PlateRenderer, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An RGB picture of one, edge to edge; nobody needs its text."""
    region = str(rng.choice(("EU", "BR", "US", "MX")))
    lines = []
    state = int(rng.integers(2**31))
    for _ in range(2):
        # One seed for both lines: one design, one face, one light.
        plate = renderer.render(np.random.default_rng(state), region=region, text=_line(rng), clean=True).rgb
        top, bottom = (round(share * plate.shape[0]) for share in _KEPT)
        left = round(0.11 * plate.shape[1]) if region == "EU" else 0
        lines.append(cv2.resize(plate[top:bottom, left:], _LINE_PX, interpolation=cv2.INTER_AREA))
    picture = np.vstack(lines)
    cv2.rectangle(picture, (1, 1), (picture.shape[1] - 2, picture.shape[0] - 2), (40, 40, 40), 2)
    return picture


def _line(rng: np.random.Generator) -> str:
    letters, digits = "ABCDEFGHJKLMNPRSTVWXYZ", "0123456789"
    pool = str(rng.choice((letters, digits, letters + digits)))
    return "".join(rng.choice(list(pool), size=int(rng.integers(2, 5))))

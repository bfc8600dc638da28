"""New plates from real ones: characters swapped between close-ups of one design.

Characters are the connected parts of the ink, where there are as many as the label has (a reader's own columns are no
guide: they do not stand amid what they tell).  Two close-ups of one issuer whose grounds and inks are nearly alike lend
each other some of theirs.  The result has the dies, the dirt and the light of real plates and a serial nobody carries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HEIGHT_PX, WIDTH_PX = 80, 160
_TALL = (0.33, 0.78)
_WIDE = (0.02, 0.22)
"""Sizes of a serial's characters, shares of the plate's height and width."""
_LEVEL = 0.12
"""How far tops and heights of one serial differ at most, share of the height."""
_ALIKE_GROUND, _ALIKE_INK, _ALIKE_TALL = 26.0, 45.0, 0.2
"""How far grounds and inks may differ (grey levels, mean of the colours), and heights (share)."""
_EDGE_PX, _FEATHER_PX = 2, 2

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Lettered:
    """A close-up at 160 x 80 with the box of each of its characters, and the colours of ground and ink."""

    rgb: NDArray[np.uint8]
    text: str
    boxes: tuple[Box, ...]
    region: int
    ground: NDArray[np.float64]
    ink: NDArray[np.float64]


def character_boxes(rgb: NDArray[np.uint8], count: int) -> tuple[tuple[Box, ...], NDArray[np.bool_]] | None:
    """Boxes (x0, y0, x1, y1) of `count` characters, left to right, and the ink; None where they are not clear."""
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    _, light = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    for mask in (255 - light, light):
        number, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        found = []
        for part in range(1, number):
            x, y, w, h, _area = (int(v) for v in stats[part])
            tall, wide = _TALL[0] * height < h < _TALL[1] * height, _WIDE[0] * width < w < _WIDE[1] * width
            if tall and wide and x > 1 and x + w < width - 1:
                found.append((x, y, x + w, y + h, part))
        if len(found) != count:
            continue
        found.sort()
        tops, bottoms = (np.array([f[i] for f in found]) for i in (1, 3))
        if max(np.ptp(tops), np.ptp(bottoms)) > _LEVEL * height:
            continue
        return tuple(f[:4] for f in found), np.isin(parts, [f[4] for f in found])
    return None


def lettered(picture: NDArray[np.uint8], text: str, region: int) -> Lettered | None:
    """A close-up, RGB edge to edge, whose characters are clear; None for the others."""
    rgb = cv2.resize(picture, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
    clear = character_boxes(rgb, len(text))
    if clear is None:
        return None
    boxes, ink = clear
    top, bottom = min(b[1] for b in boxes), max(b[3] for b in boxes)
    band, inked = rgb[top:bottom], ink[top:bottom]
    around = ~cv2.dilate(inked.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    ground, colour = np.median(band[around], axis=0), np.median(band[inked], axis=0)
    return Lettered(rgb, text, boxes, region, ground, colour)


def swapped(rng: np.random.Generator, plate: Lettered, donors: Sequence[Lettered]) -> Lettered | None:
    """`plate` with two or more characters of donors of its design; None where none fits."""
    fitting = [
        d
        for d in donors
        if d is not plate
        and np.abs(d.ground - plate.ground).mean() < _ALIKE_GROUND
        and np.abs(d.ink - plate.ink).mean() < _ALIKE_INK
    ]
    if not fitting:
        return None
    rgb, text = plate.rgb.copy(), list(plate.text)
    changed = 0
    for place in rng.permutation(len(text))[: int(rng.integers(2, len(text) + 1))]:
        donor = fitting[int(rng.integers(len(fitting)))]
        other = int(rng.integers(len(donor.text)))
        own, box = plate.boxes[place], donor.boxes[other]
        tall, own_tall = box[3] - box[1], own[3] - own[1]
        if donor.text[other] == text[place] or abs(tall - own_tall) > _ALIKE_TALL * own_tall:
            continue
        if _paste(rgb, plate, int(place), donor, other):
            text[place] = donor.text[other]
            changed += 1
    return replace(plate, rgb=rgb, text="".join(text)) if changed >= 2 else None


def _paste(rgb: NDArray[np.uint8], plate: Lettered, place: int, donor: Lettered, other: int) -> bool:
    """Put one character in the place of another, centred there; False where it would touch its neighbours."""
    x0, y0, x1, y1 = plate.boxes[place]
    a, b, c, d = donor.boxes[other]
    wide = round((c - a) * (y1 - y0) / (d - b))
    left = plate.boxes[place - 1][2] if place else 1
    right = plate.boxes[place + 1][0] if place + 1 < len(plate.boxes) else WIDTH_PX - 1
    start = round((x0 + x1 - wide) / 2)
    if start - _EDGE_PX < left or start + wide + _EDGE_PX > right or b < _EDGE_PX or d + _EDGE_PX > HEIGHT_PX:
        return False
    # The old character goes: a ground between what stands left and right of it.
    lo, hi = max(left, x0 - _EDGE_PX), min(right, x1 + _EDGE_PX)
    ground = np.linspace(rgb[y0 - 1 : y1 + 1, lo], rgb[y0 - 1 : y1 + 1, hi - 1], hi - lo, axis=1)
    rgb[y0 - 1 : y1 + 1, lo:hi] = ground.astype(np.uint8)
    source = donor.rgb[b - _EDGE_PX : d + _EDGE_PX, a - _EDGE_PX : c + _EDGE_PX]
    size = wide + 2 * _EDGE_PX, y1 - y0 + 2 * _EDGE_PX
    patch = cv2.resize(source, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    patch += (plate.ground - donor.ground).astype(np.float32)
    part = rgb[y0 - _EDGE_PX : y1 + _EDGE_PX, start - _EDGE_PX : start + wide + _EDGE_PX]
    if part.shape != patch.shape:
        return False
    ramps = (np.minimum(np.arange(n) + 1, n - np.arange(n)).clip(0, _FEATHER_PX) / _FEATHER_PX for n in size)
    alpha_x, alpha_y = ramps
    alpha = np.minimum(alpha_y[:, None], alpha_x[None])[..., None].astype(np.float32)
    part[:] = np.clip(part + alpha * (patch - part), 0, 255).astype(np.uint8)
    return True

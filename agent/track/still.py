"""Detects texts that do not move in the picture while the vehicle does: overlays, stickers on the windscreen.

While the vehicle drives, most of the picture changes, and plates move in it; even that of a car being followed shakes
by more than a pixel.  A detection whose pixels stay the same while most of the picture changes is not a plate.
Nothing is learnt while the picture does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agent.records import Box, Detection

_NS_PER_S = 1_000_000_000
_THUMB_PX = (64, 36)
"""A sixth of the detector's input: its cells are large enough for the noise of a camera to cancel out."""
_MANY_ROWS = 432
_PATCH_PX = (32, 16)
_INNER = 0.1
"""Margin of the box that is left out at each side: it contains background."""
_LATEST = 0.1
"""Weight of the latest box in the mean."""


@dataclass(frozen=True, slots=True)
class StillConfig:
    """Thresholds."""

    min_iou: float = 0.65
    """IoU of two boxes that count as the same place; boxes of the detector vary by some pixels."""
    drift_shares: float = 1 / 256
    """Maximum drift of the mean box of a place, as a share of the picture's width: 1.5 detector input pixels."""
    moved_levels: float = 3.0
    """Median change of the picture, in grey levels, from which the vehicle moves."""
    same_levels: float = 4.0
    """Mean change inside the box, in grey levels, up to which its pixels count as unchanged."""
    min_moves: int = 5
    """Number of changes of the picture."""
    min_s: float = 1.0
    """Time with unchanged pixels."""
    min_changing_s: float = 20.0
    """Time for a place where the pixels change and the boxes do not drift, such as a clock."""
    min_moves_at_end: int = 3
    """Number of changes at the end of a track."""
    forget_s: float = 600.0
    max_places: int = 32


@dataclass(slots=True)
class _Place:
    box: Box
    """The first box; pixels are compared inside it."""
    patch: NDArray[np.uint8]
    thumb: NDArray[np.uint8]
    t_first_ns: int
    t_last_ns: int
    t_same_ns: int
    """Start of the time with unchanged pixels."""
    first: list[float]
    mean: list[float]
    """Mean sides of the first and of the latest boxes."""
    moves: int = 0
    same_moves: int = 0
    drifted: bool = False


class StillTexts:
    """Filters the detections of one camera.  One per camera; no clock of its own."""

    def __init__(self, config: StillConfig | None = None) -> None:
        self._config = config or StillConfig()
        self._places: list[_Place] = []

    def moving(
        self,
        rgb: NDArray[np.uint8],
        t_mono_ns: int,
        detections: Sequence[Detection],
        small: NDArray[np.uint8] | None = None,
    ) -> list[Detection]:
        """Process the detections of a frame; return those that are not known to be static.

        ``small`` is the same picture, smaller, if there is one: the large one is slow to read.
        """
        if not detections:
            return []
        thumb = _thumb(rgb if small is None else small)
        moving = []
        for detection in detections:
            place = self._find(detection.box)
            if place is None:
                self._places.append(_new_place(detection.box, rgb, thumb, t_mono_ns))
            else:
                self._note(place, detection.box, rgb, thumb, t_mono_ns)
            if place is None or not self._is_still(place):
                moving.append(detection)
        self._forget(t_mono_ns)
        return moving

    def stood_still(self, box: Box) -> bool:
        """Return whether the text of a closed track was static, by its best box."""
        place = self._find(box)
        if place is None:
            return False
        return self._is_still(place) or place.same_moves >= self._config.min_moves_at_end

    def _note(self, place: _Place, box: Box, rgb: NDArray[np.uint8], thumb: NDArray[np.uint8], t_ns: int) -> None:
        place.t_last_ns = t_ns
        change = cv2.absdiff(thumb, place.thumb)
        # OpenCV's stubs do not know that it compares with a number.
        moved = cv2.compare(change, self._config.moved_levels, cv2.CMP_GE)  # type: ignore[call-overload]
        if 2 * cv2.countNonZero(moved) < moved.size:
            # Unchanged pixels mean nothing while the vehicle stands.
            return
        place.thumb = thumb
        place.moves += 1
        place.same_moves += 1
        patch = _patch(rgb, place.box)
        if cv2.norm(patch, place.patch, cv2.NORM_L1) > self._config.same_levels * patch.size:
            place.patch, place.same_moves, place.t_same_ns = patch, 0, t_ns
        share = max(_LATEST, 1 / (place.moves + 1))
        place.mean = [mean + share * (side - mean) for mean, side in zip(place.mean, _sides(box), strict=True)]
        if place.moves <= self._config.min_moves:
            place.first = place.mean
        room_px = self._config.drift_shares * rgb.shape[1]
        drift_px = max(abs(mean - first) for mean, first in zip(place.mean, place.first, strict=True))
        place.drifted = place.drifted or drift_px > room_px

    def _find(self, box: Box) -> _Place | None:
        x0, x1 = box.x0, box.x1
        near = [place for place in self._places if place.box.x0 < x1 and place.box.x1 > x0]
        best = max(near, key=lambda place: place.box.iou(box), default=None)
        return best if best is not None and best.box.iou(box) >= self._config.min_iou else None

    def _is_still(self, place: _Place) -> bool:
        config = self._config
        same_s = (place.t_last_ns - place.t_same_ns) / _NS_PER_S
        if place.same_moves >= config.min_moves and same_s >= config.min_s:
            return True
        lasted_s = (place.t_last_ns - place.t_first_ns) / _NS_PER_S
        return not place.drifted and place.moves >= config.min_moves and lasted_s >= config.min_changing_s

    def _forget(self, t_ns: int) -> None:
        oldest_ns = t_ns - self._config.forget_s * _NS_PER_S
        self._places = [place for place in self._places if place.t_last_ns >= oldest_ns]
        if len(self._places) > self._config.max_places:
            # Passing plates add places; known static places are kept in preference to them.
            self._places.sort(key=lambda place: (self._is_still(place), place.t_last_ns))
            del self._places[: -self._config.max_places]


def _new_place(box: Box, rgb: NDArray[np.uint8], thumb: NDArray[np.uint8], t_ns: int) -> _Place:
    return _Place(box, _patch(rgb, box), thumb, t_ns, t_ns, t_ns, _sides(box), _sides(box))


def _thumb(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of the green channel.  Halving first is eight times faster than one resize by a fractional factor."""
    width_px, height_px = _THUMB_PX
    # Of a large picture every second row: its means do not need more, and reading it takes most of the time.
    rows = rgb[::2] if rgb.shape[0] >= _MANY_ROWS else rgb
    green = cv2.extractChannel(rows, 1)
    while green.shape[1] > 3 * width_px and green.shape[0] > 3 * height_px:
        half_px = (green.shape[1] // 2, green.shape[0] // 2)
        green = cv2.resize(green, half_px, interpolation=cv2.INTER_AREA)
    # OpenCV's stubs leave the dtype open.
    return cv2.resize(green, _THUMB_PX, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _sides(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1]


def _patch(rgb: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The inside of a box, downscaled."""
    dx, dy = box.width_px * _INNER, box.height_px * _INNER
    x0, y0 = max(0, round(box.x0 + dx)), max(0, round(box.y0 + dy))
    x1, y1 = max(x0 + 1, round(box.x1 - dx)), max(y0 + 1, round(box.y1 - dy))
    inside = rgb[min(y0, rgb.shape[0] - 1) : y1, min(x0, rgb.shape[1] - 1) : x1]
    return cv2.resize(cv2.extractChannel(inside, 1), _PATCH_PX, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

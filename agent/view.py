"""Does a camera still see what it was set up to see?  Covered, dirty or moved: a person has to go and look.

Works on thumbnails of 96 x 54 pixels, on which no plate can be read.  While the car moves, the world passes through the
picture; what stays is how much each part of it usually changes, and the outline of what is fixed to the car (a bonnet,
the edge of a window).  Both are learnt once, after the installation, and kept: dirt and a knock come later.  Where a
camera sees nothing of the car, that it was moved cannot be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 96, 54
_CELLS_X, _CELLS_Y = 8, 6
_STANDING = 1.5
"""Median change in levels below which the car stands: noise and passers-by teach nothing."""
_NO_DETAIL = 4.0
"""Deviation of brightness, in levels, below which a thumbnail shows nothing."""
_LIVELY = 0.35
"""Of the median change: cells that change less from the start (sky, bonnet) say nothing about dirt."""
_DEAD = 0.25
"""Of what a cell changed when it was clean."""
_FIXED = 0.3
"""Of the median change: below it a pixel belongs to the car."""
_REACH_PX = 16
_MIN_LIKENESS, _MIN_GAIN = 0.5, 0.15
"""How alike the outlines must be after the shift, and how much more alike than without it."""
_ALPHA = 0.02


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """When to speak."""

    every_frames: int = 15
    learn_samples: int = 300
    judge_samples: int = 100
    blind_samples: int = 10
    dirty_share: float = 0.12
    moved_px: float = 3.0
    """Of the 96 pixels of a thumbnail's width: about two degrees with a usual lens."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """What is wrong with the sight of a camera."""

    blinded: bool = False
    dirty: bool = False
    moved: bool = False

    @property
    def is_clear(self) -> bool:
        """True when nothing is wrong."""
        return not (self.blinded or self.dirty or self.moved)


class ViewWatch:
    """Frames of one camera -> what is wrong with its sight.  One per camera; no clock."""

    def __init__(self, config: ViewConfig | None = None, reference: Path | None = None) -> None:
        """``reference`` is the file of what was learnt; without one, each start learns anew."""
        self._config = config or ViewConfig()
        self._path = reference
        self._frames = self._samples = self._blind = 0
        self._before: NDArray[np.float32] | None = None
        self._change = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
        self._outline = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
        self._known = _load(reference)
        self.state = ViewState()

    def step(self, rgb: NDArray[np.uint8]) -> None:
        """Take a frame; most are passed over."""
        self._frames += 1
        if self._frames % self._config.every_frames:
            return
        grey = cv2.resize(rgb[:, :, 1], (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
        self._blind = self._blind + 1 if grey.std() < _NO_DETAIL else 0
        blinded = self._blind >= self._config.blind_samples
        if self._blind:
            self._before = None
        elif self._before is not None:
            self._learn(grey, self._before)
        if not self._blind:
            self._before = grey
        dirty, moved = self._judge()
        self.state = ViewState(blinded=blinded, dirty=dirty, moved=moved)

    def _learn(self, grey: NDArray[np.float32], before: NDArray[np.float32]) -> None:
        difference = np.abs(grey - before)
        if np.median(difference) < _STANDING:
            return
        self._samples += 1
        share = max(_ALPHA, 1 / self._samples)
        self._change += share * (difference - self._change)
        edges = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        self._outline += share * (edges - self._outline)
        if self._known is None and self._samples == self._config.learn_samples:
            self._known = (self._change.copy(), self._outline.copy())
            self._samples = 0
            if self._path is not None:
                _save(self._path, *self._known)

    def _judge(self) -> tuple[bool, bool]:
        """Dirty, moved; both False until there is enough to compare."""
        if self._known is None or self._samples < self._config.judge_samples:
            return False, False
        change, outline = self._known
        dirty = _dead_share(change, self._change) >= self._config.dirty_share
        shift_px = _shift(_fixed(change, outline), _fixed(self._change, self._outline))
        return dirty, shift_px > self._config.moved_px


def _dead_share(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Of the cells that used to change: those that hardly do any more, while the rest goes on.

    A slow street changes less everywhere; dirt is what changes less than the rest does.
    """
    was, there = (cv2.resize(a, (_CELLS_X, _CELLS_Y), interpolation=cv2.INTER_AREA) for a in (before, now))
    lively = was > _LIVELY * np.median(was)
    pace = float(np.median(there[lively])) / max(1e-6, float(np.median(was[lively])))
    return float((there[lively] < _DEAD * pace * was[lively]).mean())


def _fixed(change: NDArray[np.float32], outline: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges of what does not change while the world passes by."""
    return np.where(change < _FIXED * np.median(change), outline, np.float32(0))


def _shift(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Pixels by which the outline lies elsewhere; 0 where it does not, or where that cannot be told."""
    room = np.pad(before, _REACH_PX)
    likeness = cv2.matchTemplate(room, now, cv2.TM_CCORR_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(likeness)
    if best < _MIN_LIKENESS or best < likeness[_REACH_PX, _REACH_PX] + _MIN_GAIN:
        return 0.0
    return float(np.hypot(x - _REACH_PX, y - _REACH_PX))


def _load(path: Path | None) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """What was learnt before; None where there is nothing, or nothing whole."""
    if path is None:
        return None
    try:
        both = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if both.shape != (2, HEIGHT_PX, WIDTH_PX) or both.dtype != np.float32:
        return None
    return both[0], both[1]


def _save(path: Path, change: NDArray[np.float32], outline: NDArray[np.float32]) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.save(file, np.stack([change, outline]))
    part.replace(path)

"""Detects that a camera is covered, dirty, moved or frozen, and needs a visit.

Works on thumbnails of 96 x 54 pixels, on which no plate can be read.  While the car moves, the scene changes;
constant are the usual amount of change in each part of the picture, and the outline of parts of the car (a bonnet, the
edge of a window).  Both are learnt once, after the installation, and stored.  If the camera sees no part of the car, a
moved camera cannot be detected.

A frozen camera repeats the same picture, and reads in it would get the current position of the vehicle; a broken stream
delivers partly decoded pictures.  :class:`SightCheck` detects both before a frame is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 96, 54
_CELLS_X, _CELLS_Y = 8, 6
_STANDING = 1.5
"""Median change in grey levels below which the car is considered stationary: nothing is learnt then."""
_NO_DETAIL = 4.0
"""Standard deviation of brightness, in grey levels, below which a thumbnail shows nothing."""
_LIVELY = 0.35
"""Share of the median change: cells that change less when clean (sky, bonnet) are ignored for dirt."""
_DEAD = 0.25
"""Share of a cell's change when it was clean."""
_FIXED = 0.3
"""Share of the median change below which a pixel belongs to the car."""
_REACH_PX = 16
_MIN_LIKENESS, _MIN_GAIN = 0.5, 0.15
"""Minimum similarity of the outlines after the shift, and minimum gain over no shift."""
_ALPHA = 0.02
_PARTS = (12, 9)
"""Columns and rows of the cells that are compared."""
_FLAT, _GREEN = 6.0, 60.0
"""Grey levels: maximum range within a missing row, and minimum excess of its green over red and blue."""
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """Thresholds."""

    every_frames: int = 15
    learn_samples: int = 300
    judge_samples: int = 100
    blind_samples: int = 10
    dirty_share: float = 0.12
    moved_px: float = 3.0
    """Pixels of the thumbnail's width of 96: about two degrees with a usual lens."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """Faults of a camera's view."""

    blinded: bool = False
    dirty: bool = False
    moved: bool = False
    frozen: bool = False
    """The camera repeats the same picture."""
    damaged: bool = False
    """Consecutive pictures are partly decoded."""
    upside_down: bool = False
    """Plates are upside down: set or remove ``rotate = 180`` in the camera's table."""

    @property
    def is_clear(self) -> bool:
        """True if there is no fault."""
        return self == ViewState()


@dataclass(frozen=True, slots=True)
class SightConfig:
    """Thresholds for frozen cameras and damaged pictures."""

    frozen_s: float = 4.0
    """A camera is frozen if the picture has not changed for this long and for ``frozen_frames`` frames."""
    frozen_frames: int = 4
    same_levels: float = 0.3
    """Mean change of a cell, in grey levels, up to which it counts as unchanged; sensor noise is larger."""
    changing_share: float = 0.08
    """Share of the picture that may change, such as a clock overlay on a frozen picture."""
    green_rows: float = 0.15
    """Minimum share of rows that are uniformly green, as decoders leave missing data."""
    damaged_frames: int = 10
    """Consecutive damaged frames until it is reported."""


class SightCheck:
    """Checks the frames of one camera.  One per camera; no clock of its own."""

    def __init__(self, config: SightConfig | None = None) -> None:
        self._config = config or SightConfig()
        self._still: NDArray[np.uint8] | None = None
        self._still_since_ns = 0
        self._still_frames = 0
        self._lasts = False
        self._changed = np.zeros(_PARTS[::-1], bool)
        self._damaged_frames = 0

    @property
    def frozen(self) -> bool:
        """True while the camera repeats the same picture."""
        return self._still_frames >= self._config.frozen_frames and self._lasts

    @property
    def damaged(self) -> bool:
        """True if the latest frame is partly decoded."""
        return self._damaged_frames > 0

    @property
    def often_damaged(self) -> bool:
        """True if many consecutive frames are damaged."""
        return self._damaged_frames >= self._config.damaged_frames

    def step(self, rgb: NDArray[np.uint8], t_mono_ns: int) -> None:
        """Add a frame."""
        # Single pixels, not means: sensor noise distinguishes a static scene from a repeated picture.
        sample = rgb[:: max(1, rgb.shape[0] // HEIGHT_PX), :: max(1, rgb.shape[1] // WIDTH_PX)]
        grey = np.ascontiguousarray(sample[:, :, 1])
        self._damaged_frames = self._damaged_frames + 1 if self._is_green(sample) else 0
        if self._is_same(grey):
            self._still_frames += 1
            self._lasts = t_mono_ns - self._still_since_ns >= self._config.frozen_s * _NS_PER_S
        else:
            self._still, self._still_since_ns = grey, t_mono_ns
            self._still_frames, self._lasts = 0, False
            self._changed = np.zeros(_PARTS[::-1], bool)

    def _is_same(self, grey: NDArray[np.uint8]) -> bool:
        """Compare with the first of the unchanged pictures; a few cells may differ, always the same ones.

        Pictures without any detail, as in the dark, do not count.
        """
        before, config = self._still, self._config
        if before is None or before.shape != grey.shape:
            return False
        # The first call of each function after a model ran takes ten times what it does in a loop.
        change = cv2.absdiff(grey, before)
        if cv2.countNonZero(change) > (config.changing_share + config.same_levels) * change.size:
            # More pixels than if each cell that counts as unchanged were at its limit.
            return False
        if cv2.meanStdDev(grey)[1].item() < _NO_DETAIL:
            return False
        parts = cv2.resize(change.astype(np.float32), _PARTS, interpolation=cv2.INTER_AREA)
        self._changed |= parts > config.same_levels
        return np.count_nonzero(self._changed) <= config.changing_share * self._changed.size

    def _is_green(self, sample: NDArray[np.uint8]) -> bool:
        """Find uniformly green rows: zeros in YUV."""
        needed = self._config.green_rows * len(sample)
        # Any pixel of such a row is green; few pictures are in a whole column.
        column, excess = sample[:, sample.shape[1] // 2].tobytes(), _GREEN - 2 * _FLAT
        pixels = zip(column[::3], column[1::3], column[2::3], strict=True)
        if sum([green - red >= excess and green - blue >= excess for red, green, blue in pixels]) < needed:
            return False
        sample = np.ascontiguousarray(sample)
        high, low = (cv2.reduce(sample, 1, kind) for kind in (cv2.REDUCE_MAX, cv2.REDUCE_MIN))
        flat = cv2.subtract(high, low).reshape(-1, 3).max(axis=1) <= _FLAT
        colour = cv2.reduce(sample, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
        green = colour[:, 1] - np.maximum(colour[:, 0], colour[:, 2]) >= _GREEN
        return bool(np.count_nonzero(flat & green) >= needed)


class ViewWatch:
    """Frames of one camera -> faults of its view.  One per camera; no clock."""

    def __init__(self, config: ViewConfig | None = None, reference: Path | None = None) -> None:
        """``reference`` is the file of what was learnt; without it, every start learns again."""
        self._config = config or ViewConfig()
        self._path = reference
        self._frames = self._samples = self._blind = 0
        self._before: NDArray[np.float32] | None = None
        self._change = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
        self._outline = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
        self._known = _load(reference)
        self.state = ViewState()

    def step(
        self, rgb: NDArray[np.uint8], *, frozen: bool = False, damaged: bool = False, upside_down: bool = False
    ) -> None:
        """Process a frame, with the results of other checks; most frames are skipped.

        Nothing is learnt from frozen or damaged frames.
        """
        state = self.state
        if (state.frozen, state.damaged, state.upside_down) != (frozen, damaged, upside_down):
            self.state = replace(state, frozen=frozen, damaged=damaged, upside_down=upside_down)
        if frozen or damaged:
            return
        self._frames += 1
        if self._frames % self._config.every_frames:
            return
        green = cv2.extractChannel(rgb, 1)
        grey = cv2.resize(green, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
        self._blind = self._blind + 1 if grey.std() < _NO_DETAIL else 0
        blinded = self._blind >= self._config.blind_samples
        if self._blind:
            self._before = None
        elif self._before is not None:
            self._learn(grey, self._before)
        if not self._blind:
            self._before = grey
        dirty, moved = self._judge()
        self.state = replace(self.state, blinded=blinded, dirty=dirty, moved=moved)

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
    """Share of cells that used to change and hardly do any more, relative to the others.

    In slow traffic all cells change less; dirty ones change less than the rest.
    """
    was, there = (cv2.resize(a, (_CELLS_X, _CELLS_Y), interpolation=cv2.INTER_AREA) for a in (before, now))
    lively = was > _LIVELY * np.median(was)
    pace = float(np.median(there[lively])) / max(1e-6, float(np.median(was[lively])))
    return float((there[lively] < _DEAD * pace * was[lively]).mean())


def _fixed(change: NDArray[np.float32], outline: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges of what does not change while the car moves."""
    return np.where(change < _FIXED * np.median(change), outline, np.float32(0))


def _shift(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Shift of the outline in pixels; 0 if there is none, or if it cannot be determined."""
    room = np.pad(before, _REACH_PX)
    likeness = cv2.matchTemplate(room, now, cv2.TM_CCORR_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(likeness)
    if best < _MIN_LIKENESS or best < likeness[_REACH_PX, _REACH_PX] + _MIN_GAIN:
        return 0.0
    return float(np.hypot(x - _REACH_PX, y - _REACH_PX))


def _load(path: Path | None) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """What was learnt before; None if the file is missing or invalid."""
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

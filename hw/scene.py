"""Mounting, mask and ignored texts of a camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hw.images import PictureError, load_rgb
from hw.ports import Exposable, Frame, HwConfigError, Mounting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hw.config import CameraConfig
    from hw.ports import Camera, Exposure

_GRID_PX = 320
"""Width of the mask grid: a cell is four pixels of a frame 1280 wide."""
_LOOKED_AT = 128
_MIN_CORNERS = 3
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"horizontal": 1, "vertical": 0}
_FOLD = str.maketrans("OI", "01")


@dataclass(frozen=True, slots=True)
class KnownScene:
    """Masks and ignored texts of one camera."""

    masked: NDArray[np.float32] | None = None
    """1 in masked areas, 0 elsewhere; any size, scaled to the frame."""
    ignored: tuple[str, ...] = ()

    def masked_share(self, x0: float, y0: float, x1: float, y1: float) -> float:
        """See the port."""
        if self.masked is None:
            return 0.0
        height, width = self.masked.shape
        left, right = _cells(x0, x1, width)
        top, bottom = _cells(y0, y1, height)
        return float(self.masked[top:bottom, left:right].mean())

    def ignores(self, text: str) -> bool:
        """See the port; O equals 0, I equals 1, and ``*`` matches any characters."""
        return any(fnmatchcase(text.translate(_FOLD), pattern) for pattern in self.ignored)


def _cells(low: float, high: float, cells: int) -> tuple[int, int]:
    first = min(max(0, int(low * cells)), cells - 1)
    return first, max(first + 1, min(cells, int(np.ceil(high * cells))))


def known_scene(
    mask: Sequence[tuple[float, float, float, float]] | Path | None, ignore: Sequence[str]
) -> KnownScene:
    """Build the scene of a camera.  Raises HwConfigError if the picture of the mask cannot be read, or masks all."""
    ignored = tuple(_normal(text) for text in ignore)
    if not mask:
        return KnownScene(None, ignored)
    return KnownScene(_mask_of_picture(mask) if isinstance(mask, Path) else _mask_of_boxes(mask), ignored)


def _normal(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum() or c == "*").translate(_FOLD)


def _mask_of_boxes(boxes: Sequence[tuple[float, float, float, float]]) -> NDArray[np.float32]:
    masked = np.zeros((_GRID_PX, _GRID_PX), np.float32)
    for x0, y0, x1, y1 in boxes:
        (left, right), (top, bottom) = _cells(x0, x1, _GRID_PX), _cells(y0, y1, _GRID_PX)
        masked[top:bottom, left:right] = 1
    return masked


def _mask_of_picture(path: Path) -> NDArray[np.float32]:
    """Dark areas are masked."""
    try:
        grey = load_rgb(path)[:, :, 1]
    except PictureError as error:
        raise HwConfigError(f"mask: {error}") from error
    width = min(_GRID_PX, grey.shape[1])
    height = max(1, round(grey.shape[0] * width / grey.shape[1]))
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    masked = np.asarray(small) < _LOOKED_AT
    if masked.all():
        raise HwConfigError(
            f"mask: {path}: dark everywhere, so that no plate would be read; paint white what is to be read, "
            "and save the picture without transparency, which counts as black"
        )
    return masked.astype(np.float32)


def mounted(camera: Camera, config: CameraConfig) -> Camera:
    """Wrap a camera, so that its pictures are rotated, flipped and masked, now or later.

    Raises HwConfigError if the picture of the mask cannot be read.
    """
    if isinstance(camera, Exposable):
        return _MountedExposable(camera, camera.expose, config)
    return _Mounted(camera, config)


def scene_of(config: CameraConfig, mounting: Mounting) -> KnownScene:
    """Mask and ignored texts of a camera; raises HwConfigError.

    The configured mask belongs to the configured rotation: under another one it would cover something else, and is left
    out.
    """
    turned = mounting.rotate not in {None, config.rotate}
    scene = known_scene(None if turned else config.mask, config.ignore)
    if len(mounting.polygon) < _MIN_CORNERS:
        return scene
    masked = _mask_of_polygon(mounting.polygon)
    if scene.masked is not None:
        size = (_GRID_PX, _GRID_PX)
        masked = np.maximum(masked, cv2.resize(scene.masked, size, interpolation=cv2.INTER_NEAREST))
    return KnownScene(masked, scene.ignored)


def _mask_of_polygon(corners: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    masked = np.zeros((_GRID_PX, _GRID_PX), np.float32)
    points = np.array([[x * (_GRID_PX - 1), y * (_GRID_PX - 1)] for x, y in corners]).round().astype(np.int32)
    cv2.fillPoly(masked, [points], (1.0,))
    return masked


class _Mounted:
    """Frames of another camera, rotated clockwise, then flipped."""

    def __init__(self, camera: Camera, config: CameraConfig) -> None:
        self._camera = camera
        self._config = config
        self._flip = _FLIPS.get(config.flip)
        self._rotation: int = config.rotate
        self._mount = self._mount_of(Mounting())

    @property
    def rotation(self) -> int:
        """See the port."""
        return self._rotation

    @property
    def name(self) -> str:
        """See the port."""
        return self._camera.name

    def remount(self, mounting: Mounting) -> None:
        """See the port."""
        self._mount = self._mount_of(mounting)
        self._rotation = self._config.rotate if mounting.rotate is None else mounting.rotate

    def next_frame(self, *, timeout_s: float) -> Frame:
        """See the port."""
        frame = self._camera.next_frame(timeout_s=timeout_s)
        turn, scene = self._mount
        if turn is None and self._flip is None and scene is None:
            return frame
        lores = None if frame.lores is None else self._turned(frame.lores, turn)
        return replace(frame, rgb=self._turned(frame.rgb, turn), lores=lores, scene=scene)

    def close(self) -> None:
        """See the port."""
        self._camera.close()

    def _mount_of(self, mounting: Mounting) -> tuple[int | None, KnownScene | None]:
        scene = scene_of(self._config, mounting)
        rotate = self._config.rotate if mounting.rotate is None else mounting.rotate
        return _TURNS.get(rotate), scene if scene.masked is not None or scene.ignored else None

    def _turned(self, rgb: NDArray[np.uint8], turn: int | None) -> NDArray[np.uint8]:
        turned = rgb if turn is None else cv2.rotate(rgb, turn)
        return np.asarray(turned if self._flip is None else cv2.flip(turned, self._flip), np.uint8)


class _MountedExposable(_Mounted):
    """The same for a camera whose exposure can be set."""

    def __init__(self, camera: Camera, expose: Callable[[Exposure], None], config: CameraConfig) -> None:
        super().__init__(camera, config)
        self._expose = expose

    def expose(self, exposure: Exposure) -> None:
        """See the port."""
        self._expose(exposure)

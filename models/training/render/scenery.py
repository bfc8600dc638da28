"""Everything that stands still: sky, road, houses, a tunnel.  One ray a pixel, nearest surface wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.render.camera import HEIGHT_PX, WIDTH_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.render.camera import Camera

    Image = NDArray[np.float32]

_TEXTURE_PX = 512
_TEXELS_PER_M = 48.0
_WALL_X_M = 9.5
_TUNNEL_X_M, _TUNNEL_Y_M = 5.6, 5.2
_PORTAL_Y_M = 16.0
_FAR_M = 400.0


@dataclass(frozen=True, slots=True)
class Light:
    """What lights the scene; factors of full daylight, RGB."""

    sky_top: tuple[float, float, float]
    sky_low: tuple[float, float, float]
    sun: float
    tint: tuple[float, float, float]
    headlights: float
    """Strength of our own lamps."""
    noise: float
    """Standard deviation of the sensor's noise in grey levels."""
    windows: float
    """Share of lit windows."""
    exposure_us: int
    gain: float


DAY = Light((120, 165, 215), (205, 215, 222), 1.0, (1.0, 1.0, 0.98), 0.0, 1.0, 0.0, 4000, 1.5)
DUSK = Light((70, 80, 120), (215, 160, 125), 0.5, (1.05, 0.95, 0.92), 0.25, 1.6, 0.15, 4000, 6.0)
NIGHT = Light((8, 10, 18), (26, 26, 34), 0.13, (0.95, 0.95, 1.1), 0.6, 2.6, 0.12, 5000, 16.0)


class Scenery:
    """The background of one drive."""

    def __init__(
        self, camera: Camera, light: Light, seed: int, tunnel_m: tuple[float, float] | None = None
    ) -> None:
        self._light = light
        self._tunnel = tunnel_m
        self._rays = camera.rays()
        self._eye_y = camera.height_m
        rng = np.random.default_rng(seed)
        self._asphalt = _rough(rng, 7.0)
        self._plaster = _rough(rng, 4.0)
        self._leaves = _rough(rng, 26.0)
        self._houses = rng.uniform(0.0, 1.0, (64, 6)).astype(np.float32)
        self._lit = rng.uniform(0.0, 1.0, 4096).astype(np.float32)
        x, y, z = (self._rays[..., i] for i in range(3))
        self._ground_t = np.where(y < -1e-4, -self._eye_y / np.minimum(y, -1e-4), _FAR_M).astype(np.float32)
        self._wall_t = (_WALL_X_M / np.maximum(np.abs(x), 1e-4)).astype(np.float32)
        self._sky = self._draw_sky()
        self._z = z

    def draw(self, ego_z_m: float) -> Image:
        """RGB float [720, 1280, 3] as seen from a place on the road."""
        image = self._sky.copy()
        depth = np.full((HEIGHT_PX, WIDTH_PX), _FAR_M, np.float32)
        self._houses_at(image, depth, ego_z_m)
        self._road(image, depth, ego_z_m)
        if self._tunnel is not None:
            self._draw_tunnel(image, depth, ego_z_m)
        return image * self._shade(depth, ego_z_m)[..., np.newaxis]

    def brightness(self, z_m: float) -> float:
        """Ambient light at a place on the road."""
        return 0.42 if self._inside(z_m) else self._light.sun

    def _inside(self, z_m: float) -> bool:
        return self._tunnel is not None and self._tunnel[0] < z_m < self._tunnel[1]

    def _draw_sky(self) -> Image:
        up = np.clip(self._rays[..., 1] / 0.35, 0, 1)[..., np.newaxis]
        low, top = (np.array(c, np.float32) for c in (self._light.sky_low, self._light.sky_top))
        scale = max(self._light.sun, 0.05)
        return (low * (1 - up) + top * up) / scale

    def _houses_at(self, image: Image, depth: NDArray[np.float32], ego_z_m: float) -> None:
        t = self._wall_t
        y = self._eye_y + t * self._rays[..., 1]
        z = ego_z_m + t * self._z
        right = self._rays[..., 0] > 0
        plot = (np.floor(z / 14.0).astype(int) * 2 + right) % len(self._houses)
        house = self._houses[plot]
        height = 4.0 + 9.0 * house[..., 0]
        tree = house[..., 5] > 0.72
        within = np.mod(z, 14.0)
        crown = 5.5 - 0.16 * (within - 7.0) ** 2
        hit = (y > 0) & (y < np.where(tree, crown, height)) & (t < _FAR_M) & (z > ego_z_m)
        # Brick, plaster, stone: a grey with a hint of colour.
        colour = 85 + 100 * house[..., 1:2] + 36 * (house[..., 2:5] - 0.5)
        colour *= (0.75 + 0.25 * house[..., 5:6]) * (self._sample(self._plaster, z, y)[..., np.newaxis] / 128)
        window = (np.mod(within, 2.8) > 1.1) & (np.mod(y, 3.0) > 1.2) & (y > 0.9) & (y < height - 0.5)
        index = (np.floor(within / 2.8) * 7 + np.floor(y / 3.0) * 13 + plot * 31).astype(int) % len(self._lit)
        lit = self._lit[index] < self._light.windows
        glass = np.where(lit[..., np.newaxis], np.array([255, 205, 130]) / max(self._light.sun, 0.1), (48, 58, 66))
        colour = np.where(window[..., np.newaxis], glass, colour)
        leaves = np.array([52, 84, 40]) * (self._sample(self._leaves, z * 2, y * 2)[..., np.newaxis] / 128)
        colour = np.where(tree[..., np.newaxis], leaves, colour)
        image[hit] = colour[hit]
        depth[hit] = t[hit]

    def _road(self, image: Image, depth: NDArray[np.float32], ego_z_m: float) -> None:
        t = self._ground_t
        x, z = t * self._rays[..., 0], ego_z_m + t * self._z
        hit = t < depth
        grain = self._sample(self._asphalt, x, z)
        # Far away the grain is finer than a pixel.
        grain = 128 + (grain - 128) * np.clip(14.0 / np.maximum(t, 1.0), 0, 1)
        colour = np.repeat((grain * 0.62)[..., np.newaxis], 3, axis=-1)
        pavement = np.abs(x - 0.4) > 5.0
        colour = np.where(pavement[..., np.newaxis], (grain * 1.02)[..., np.newaxis] * (1.0, 0.99, 0.95), colour)
        kerb = (np.abs(np.abs(x - 0.4) - 5.0) < 0.13)[..., np.newaxis]
        colour = np.where(kerb, 168.0, colour)
        middle = (np.abs(x + 1.7) < 0.07) & (np.mod(z, 6.0) < 3.0)
        edge = np.abs(x - 1.75) < 0.06
        colour = np.where((middle | edge)[..., np.newaxis], 205.0, colour)
        image[hit] = colour[hit]
        depth[hit] = t[hit]

    def _draw_tunnel(self, image: Image, depth: NDArray[np.float32], ego_z_m: float) -> None:
        if self._tunnel is None:
            return
        start, end = self._tunnel
        ray_x, ray_y = self._rays[..., 0], self._rays[..., 1]
        sides = _TUNNEL_X_M / np.maximum(np.abs(ray_x), 1e-4)
        roof = np.where(ray_y > 1e-4, (_TUNNEL_Y_M - self._eye_y) / np.maximum(ray_y, 1e-4), _FAR_M)
        t = np.minimum(sides, roof)
        x, y, z = t * ray_x, self._eye_y + t * ray_y, ego_z_m + t * self._z
        hit = (z > start) & (z < end) & (y > 0) & (t < np.maximum(depth, (start - ego_z_m)))
        grain = self._sample(self._plaster, z, y + x)[..., np.newaxis]
        colour = grain * np.array([1.0, 0.93, 0.8]) * 0.9
        lamp = (roof <= sides) & (np.abs(np.abs(x) - 3.0) < 0.25) & (np.mod(z, 8.0) < 2.2)
        colour = np.where(lamp[..., np.newaxis], np.array([520.0, 470.0, 380.0]), colour)
        image[hit] = colour[hit]
        depth[hit] = t[hit]
        if ego_z_m < start:
            self._portal(image, depth, start - ego_z_m)

    def _portal(self, image: Image, depth: NDArray[np.float32], ahead_m: float) -> None:
        t = ahead_m / np.maximum(self._z, 1e-3)
        x, y = t * self._rays[..., 0], self._eye_y + t * self._rays[..., 1]
        outside = (np.abs(x) > _TUNNEL_X_M) | (y > _TUNNEL_Y_M)
        hit = outside & (y > 0) & (y < _PORTAL_Y_M) & (t < np.maximum(depth, ahead_m))
        hit &= t <= depth
        image[hit] = (self._sample(self._plaster, x, y)[..., np.newaxis] * np.array([0.95, 0.92, 0.88]))[hit]
        depth[hit] = t[hit]

    def _shade(self, depth: NDArray[np.float32], ego_z_m: float) -> NDArray[np.float32]:
        z = ego_z_m + depth * self._z
        ambient = np.full(depth.shape, self._light.sun, np.float32)
        if self._tunnel is not None:
            ambient[(z > self._tunnel[0]) & (z < self._tunnel[1]) & (depth < _FAR_M)] = 0.42
        beam = self._light.headlights * np.exp(-((self._rays[..., 0] / 0.45) ** 2))
        return ambient + beam * np.clip(14.0 / np.maximum(depth, 6.0), 0, 1) ** 1.4 * (depth < _FAR_M)

    @staticmethod
    def _sample(
        texture: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Look a tiled texture up by two coordinates in metres."""
        u = np.mod(a * _TEXELS_PER_M, _TEXTURE_PX).astype(np.float32)
        v = np.mod(b * _TEXELS_PER_M, _TEXTURE_PX).astype(np.float32)
        return cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _rough(rng: np.random.Generator, contrast: float) -> NDArray[np.float32]:
    """Tileable noise around 128 with structure at several sizes."""
    total = np.zeros((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    for cells in (8, 32, 128, 512):
        noise = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        padded = np.pad(noise, 2, mode="wrap")
        grown = cv2.resize(
            padded, None, fx=_TEXTURE_PX / cells, fy=_TEXTURE_PX / cells, interpolation=cv2.INTER_CUBIC
        )
        edge = 2 * _TEXTURE_PX // cells
        total += grown[edge : edge + _TEXTURE_PX, edge : edge + _TEXTURE_PX]
    return 128 + contrast * total / total.std()

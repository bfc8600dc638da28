"""Scenery and vehicles -> the frame a camera would have delivered, with the truth of every plate in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.render.camera import HEIGHT_PX, WIDTH_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.render.camera import Camera
    from models.training.render.scenery import Image, Light, Scenery
    from models.training.render.vehicles import Rgba, Vehicle

_SUBFRAMES = 3
_NEAREST_M = 2.2
_FARTHEST_M = 90.0


@dataclass(frozen=True, slots=True)
class PlateTruth:
    """Where a plate is in a frame: pixels, `x1`/`y1` exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float
    text: str
    region: str


class Picture:
    """Takes frames of one scene."""

    def __init__(self, camera: Camera, scenery: Scenery, light: Light, vehicles: list[Vehicle]) -> None:
        self._camera = camera
        self._scenery = scenery
        self._light = light
        self._vehicles = vehicles

    def take(self, t_s: float, ego_z_m: float, speed_mps: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        """One exposure that begins at `t_s`: RGB uint8 [720, 1280, 3], blurred by what moved meanwhile."""
        exposure_s = self._light.exposure_us / 1e6
        total = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.float32)
        background = self._scenery.draw(ego_z_m)
        for step in range(_SUBFRAMES):
            later_s = exposure_s * step / _SUBFRAMES
            image = (
                background.copy()
                if speed_mps < 3 or step == 0
                else self._scenery.draw(ego_z_m + speed_mps * later_s)
            )
            self._draw_vehicles(image, t_s + later_s, ego_z_m + speed_mps * later_s)
            total += image
        return self._develop(total / _SUBFRAMES, rng)

    def truth(self, t_s: float, ego_z_m: float, min_width_px: float = 16.0) -> list[PlateTruth]:
        """Plates wholly in the picture as the exposure begins, not hidden by a nearer vehicle."""
        found: list[PlateTruth] = []
        hidden: list[NDArray[np.float64]] = []
        for vehicle in sorted(self._vehicles, key=lambda v: v.z_m + v.speed_mps * t_s):
            z = vehicle.z_m + vehicle.speed_mps * t_s
            if not _NEAREST_M < z - ego_z_m < _FARTHEST_M:
                continue
            x0, y1, x1, y0 = vehicle.plate_box_m
            left = vehicle.x_m - vehicle.width_m / 2
            corners, _ = self._camera.project(
                np.array([[left + x, y, z] for x in (x0, x1) for y in (y0, y1)]), ego_z_m
            )
            low, high = corners.min(0), corners.max(0)
            inside = (low >= 0).all() and high[0] <= WIDTH_PX and high[1] <= HEIGHT_PX
            covered = any(_overlaps(low, high, other) for other in hidden)
            if inside and not covered and high[0] - low[0] >= min_width_px:
                found.append(PlateTruth(*low, *high, vehicle.plate.text, vehicle.plate.region))
            outline, _ = self._camera.project(_end_corners(vehicle, z), ego_z_m)
            hidden.append(np.concatenate([outline.min(0), outline.max(0)]))
        return found

    def _draw_vehicles(self, image: Image, t_s: float, ego_z_m: float) -> None:
        for vehicle in sorted(self._vehicles, key=lambda v: -(v.z_m + v.speed_mps * t_s)):
            z = vehicle.z_m + vehicle.speed_mps * t_s
            if not _NEAREST_M < z - ego_z_m < _FARTHEST_M:
                continue
            shade = (
                self._scenery.brightness(z)
                + self._light.headlights * min(1.0, 14.0 / max(6.0, z - ego_z_m)) ** 1.4
            )
            self._shadow(image, vehicle, z, ego_z_m)
            self._sides(image, vehicle, z, ego_z_m, shade)
            self._warp(image, vehicle.end, _end_corners(vehicle, z), ego_z_m, shade)
            if self._light.sun < 0.3:
                self._glow(image, vehicle, z, ego_z_m)

    def _shadow(self, image: Image, vehicle: Vehicle, z: float, ego_z_m: float) -> None:
        half = vehicle.width_m / 2 + 0.12
        ground = [(vehicle.x_m + dx, 0.0, z + dz) for dx, dz in
                  ((-half, -0.15), (half, -0.15), (half, vehicle.length_m), (-half, vehicle.length_m))]  # fmt: skip
        pixels, depth = self._camera.project(np.array(ground), ego_z_m)
        if (depth < 1).any():
            return
        mask = np.zeros(image.shape[:2], np.float32)
        cv2.fillPoly(mask, [np.clip(pixels, -4000, 4000).astype(np.int32)], 0.72)
        x, y, w, h = cv2.boundingRect(np.clip(pixels, 0, [WIDTH_PX - 1, HEIGHT_PX - 1]).astype(np.int32))
        part = (slice(max(0, y - 12), y + h + 12), slice(max(0, x - 12), x + w + 12))
        soft = cv2.blur(mask[part], (9, 5))
        image[part] *= 1 - soft[..., np.newaxis]

    def _sides(self, image: Image, vehicle: Vehicle, z: float, ego_z_m: float, shade: float) -> None:
        """The side that faces the middle of the road, and the roof."""
        towards = -1.0 if vehicle.x_m > 0 else 1.0
        x = vehicle.x_m + towards * vehicle.width_m / 2 * 0.97
        far = z + vehicle.length_m
        h = vehicle.height_m
        self._body(image, vehicle, (x, z, far), ego_z_m, shade)
        near_left = [(x, h, z), (x, h, far), (x, 0.0, far), (x, 0.0, z)]
        self._warp(image, vehicle.side, np.array(near_left), ego_z_m, shade * 0.8)

    def _body(
        self, image: Image, vehicle: Vehicle, place: tuple[float, float, float], ego_z_m: float, shade: float
    ) -> None:
        """Paint behind the side's and the end's outline, so that no street shows through between them."""
        x, z, far = place
        waist, roof = vehicle.height_m * 0.62, vehicle.height_m * 0.99
        inset = vehicle.x_m + (x - vehicle.x_m) * 0.74
        hull = [(x, waist, z), (inset, roof, z + 0.05), (inset, roof, far - 1.0), (x, waist, far)]
        top = [(2 * vehicle.x_m - inset, roof, z + 0.05), (inset, roof, z + 0.05), (inset, roof, far - 1.0),
               (2 * vehicle.x_m - inset, roof, far - 1.0)]  # fmt: skip
        for corners, light in ((hull, 0.75), (top, 1.0)):
            pixels, depth = self._camera.project(np.array(corners), ego_z_m)
            if (depth > 0.5).all():
                colour = tuple(c * shade * light for c in vehicle.roof)
                cv2.fillPoly(image, [np.clip(pixels, -9000, 9000).astype(np.int32)], colour, cv2.LINE_AA)

    def _glow(self, image: Image, vehicle: Vehicle, z: float, ego_z_m: float) -> None:
        """Headlamps of oncoming vehicles and tail lamps of others; plates are retro-reflective as well."""
        waist = vehicle.height_m * 0.62 - 0.16
        lamps = [(vehicle.x_m + dx, waist, z) for dx in (-vehicle.width_m / 2 + 0.2, vehicle.width_m / 2 - 0.2)]
        pixels, _ = self._camera.project(np.array(lamps), ego_z_m)
        moving = abs(vehicle.speed_mps) > 0.5
        if not moving:
            return
        colour = np.array([255.0, 246.0, 220.0]) * 1.6 if vehicle.front else np.array([200.0, 22.0, 18.0])
        radius = 0.09 * self._camera.focal_px / (z - ego_z_m)
        for u, v in pixels:
            reach = int(radius * 4) + 2
            x0, y0 = int(u) - reach, int(v) - reach
            if x0 < 0 or y0 < 0 or x0 + 2 * reach >= WIDTH_PX or y0 + 2 * reach >= HEIGHT_PX:
                continue
            grid = np.arange(-reach, reach + 1, dtype=np.float32)
            fall = np.exp(-(grid[:, np.newaxis] ** 2 + grid**2) / (2 * radius**2))[..., np.newaxis]
            image[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1] += fall * colour

    def _warp(
        self, image: Image, texture: Rgba, corners: NDArray[np.float64], ego_z_m: float, shade: float
    ) -> None:
        """Put a texture on four corners: top left, top right, bottom right, bottom left."""
        pixels, depth = self._camera.project(corners, ego_z_m)
        if (depth < 0.5).any():
            return
        low = np.floor(np.maximum(pixels.min(0) - 1, 0)).astype(int)
        high = np.ceil(np.minimum(pixels.max(0) + 1, [WIDTH_PX, HEIGHT_PX])).astype(int)
        if (high <= low).any():
            return
        # Shrunk to about the size it will have, so that nothing aliases.
        size = np.maximum(np.ptp(pixels, axis=0) * 1.15, 4)
        factor = min(1.0, float(max(size[0] / texture.shape[1], size[1] / texture.shape[0])))
        small = cv2.resize(texture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        h, w = small.shape[:2]
        source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (pixels - low).astype(np.float32))
        laid = cv2.warpPerspective(small, matrix, tuple(int(v) for v in high - low), flags=cv2.INTER_LINEAR)
        part = image[low[1] : high[1], low[0] : high[0]]
        opacity = laid[..., 3:]
        part[:] = part * (1 - opacity) + laid[..., :3] * shade * opacity

    def _develop(self, image: Image, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Light to grey levels: tint, lens blur, exposure, shot noise."""
        lit = cv2.GaussianBlur(image * np.array(self._light.tint, np.float32), (0, 0), 0.55)
        gain = 1.0 if self._light.sun > 0.8 else 1.35 if self._light.sun > 0.3 else 1.75
        lit = 255 * (np.clip(lit * gain, 0, 255) / 255) ** 0.92
        # Coarse noise, because fine noise is what JPEG throws away first.
        noise = rng.normal(0, self._light.noise, (HEIGHT_PX, WIDTH_PX, 1)).astype(np.float32)
        noise = noise + rng.normal(0, self._light.noise * 0.4, image.shape).astype(np.float32)
        return np.clip(lit + noise * (0.5 + lit / 255), 0, 255).astype(np.uint8)


def _end_corners(vehicle: Vehicle, z: float) -> NDArray[np.float64]:
    left, right = vehicle.x_m - vehicle.width_m / 2, vehicle.x_m + vehicle.width_m / 2
    return np.array([(left, vehicle.height_m, z), (right, vehicle.height_m, z), (right, 0.0, z), (left, 0.0, z)])


def _overlaps(low: NDArray[np.float64], high: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool((np.minimum(high, other[2:]) > np.maximum(low, other[:2])).all())

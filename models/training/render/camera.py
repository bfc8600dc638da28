"""A pinhole camera on a moving car.  World: x to the right, y up, z along the road, metres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 1280, 720


@dataclass(frozen=True, slots=True)
class Camera:
    """Mounting and lens; the car drives along z at x = 0."""

    focal_px: float = 1800.0
    height_m: float = 1.35
    yaw_deg: float = 9.0
    """To the right, towards the kerb."""
    pitch_deg: float = 0.6
    """Downwards."""

    @property
    def rotation(self) -> NDArray[np.float64]:
        """World to camera axes (x right, y down, z ahead)."""
        yaw, pitch = math.radians(self.yaw_deg), math.radians(self.pitch_deg)
        turn = np.array([[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]])
        tilt = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
        return np.diag([1.0, -1.0, 1.0]) @ tilt @ turn

    def project(
        self, points: NDArray[np.float64], ego_z_m: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points [n, 3] to pixels [n, 2] and depths [n] in metres ahead."""
        seen = (points - np.array([0.0, self.height_m, ego_z_m])) @ self.rotation.T
        depth = seen[:, 2]
        safe = np.maximum(depth, 1e-3)
        pixels = seen[:, :2] / safe[:, np.newaxis] * self.focal_px + np.array([WIDTH_PX / 2, HEIGHT_PX / 2])
        return pixels, depth

    def rays(self) -> NDArray[np.float32]:
        """Direction of each pixel in the world [height, width, 3], z not normalised."""
        u, v = np.meshgrid(np.arange(WIDTH_PX) + 0.5, np.arange(HEIGHT_PX) + 0.5)
        ahead = np.stack(
            [(u - WIDTH_PX / 2) / self.focal_px, (v - HEIGHT_PX / 2) / self.focal_px, np.ones_like(u)], axis=-1
        )
        return (ahead @ self.rotation).astype(np.float32)

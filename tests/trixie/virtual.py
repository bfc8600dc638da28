"""Test only: where picamera2 assumes a Raspberry Pi's pipeline, it is told about libcamera's virtual camera."""

from __future__ import annotations

import mmap
from types import SimpleNamespace

import picamera2
from picamera2.allocators import LibcameraAllocator


class MappedSync:
    """A frame buffer's memory: the virtual camera never says how many bytes it used, so all planes are mapped."""

    def __init__(self, _allocator, buffer, _write) -> None:
        planes = buffer.planes
        self._map = mmap.mmap(planes[0].fd, max(p.offset + p.length for p in planes), mmap.MAP_SHARED)

    def __enter__(self):
        return self._map

    def __exit__(self, *_) -> None:
        self._map.close()


class Allocator(LibcameraAllocator):
    """libcamera's own buffers; those of picamera2 have one plane, and NV12 needs two."""

    def __init__(self, camera) -> None:
        super().__init__(camera)
        self.sync = MappedSync


class VirtualPicamera2(picamera2.Picamera2):
    """picamera2's own class in all but where buffers come from; the virtual camera has no raw modes to list."""

    def _get_raw_modes(self):
        return [{"format": "NV12", "size": (1280, 720)}]

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.allocator = Allocator(self.camera)


MODULE = SimpleNamespace(Picamera2=VirtualPicamera2)

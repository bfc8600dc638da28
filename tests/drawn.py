"""Pictures and videos for tests, drawn from the project's own rendered drives: no real plate in them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hw.images import load_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLATE = "6KYN051"
_FRAME = Path(__file__).resolve().parent / "drives/city-day/frames/0010.jpg"
_CAR = (slice(420, 620), slice(1020, 1280))
_PLATE_LEFT, _PLATE_TOP, _PLATE_WIDTH = 163, 81, 78
"""Of the plate, in pixels of the car's cut."""
_IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_TURNS = {
    90: struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000),
    180: struct.pack(">9i", -0x10000, 0, 0, 0, -0x10000, 0, 0, 0, 0x40000000),
    270: struct.pack(">9i", 0, -0x10000, 0, 0x10000, 0, 0, 0, 0, 0x40000000),
}
"""Display matrices by the degrees, clockwise, that a player turns the picture (ISO/IEC 14496-12, 6.2.2)."""


def car(scale: float = 2.0) -> np.ndarray:
    """A car's back, its plate ``78 * scale`` pixels wide."""
    return cv2.resize(load_rgb(_FRAME)[_CAR], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def scene(x: int = 380, y: int = 160, *, scale: float = 2.0, size: tuple[int, int] = (1280, 720)) -> np.ndarray:
    """The car on grey; what lies outside is cut off."""
    width, height = size
    canvas = np.full((height, width, 3), 105, np.uint8)
    paste(canvas, car(scale), x, y)
    return canvas


def scene_cut_right(share: float, *, scale: float = 2.0, size: tuple[int, int] = (1280, 720)) -> np.ndarray:
    """The right edge of the picture cuts off a share of the plate."""
    plate_right = (_PLATE_LEFT + _PLATE_WIDTH * (1 - share)) * scale
    return scene(round(size[0] - plate_right), (size[1] - round(200 * scale)) // 2, scale=scale, size=size)


def paste(canvas: np.ndarray, part: np.ndarray, x: int, y: int) -> None:
    """Put a picture into another, as far as it lies inside."""
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + part.shape[1]), min(height, y + part.shape[0])
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = part[y0 - y : y1 - y, x0 - x : x1 - x]


def noisy(rgb: np.ndarray, rng: np.random.Generator, levels: int = 5) -> np.ndarray:
    """As a sensor sees it."""
    noise = rng.integers(-levels, levels + 1, rgb.shape, np.int16)
    return np.clip(rgb.astype(np.int16) + noise, 0, 255).astype(np.uint8)


def write_mp4(path: Path, frames: Iterable[np.ndarray], fps: float = 10) -> Path:
    """An MPEG-4 video."""
    writer = None
    for rgb in frames:
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (rgb.shape[1], rgb.shape[0]))
        writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert writer is not None
    writer.release()
    return path


def turn_mp4(path: Path, degrees: int) -> None:
    """Have the file say that it is to be turned clockwise, as a phone does."""
    _set_matrix(path, _TURNS[degrees])


def mirror_mp4(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Have the file say that x is shown at ``a x + c y``, y at ``b x + d y``."""
    one = 0x10000
    _set_matrix(path, struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 0x40000000))


def _set_matrix(path: Path, matrix: bytes) -> None:
    data = path.read_bytes()
    at = data.index(b"tkhd")
    at = data.index(_IDENTITY, at)
    path.write_bytes(data[:at] + matrix + data[at + len(_IDENTITY) :])


def trim_mp4(path: Path, start_s: float, shown_s: float) -> None:
    """Have the file say that only a part is to be shown, as phones trim their videos."""
    data = bytearray(path.read_bytes())
    (film,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    (track,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    struct.pack_into(">II", data, data.index(b"elst") + 12, round(shown_s * film), round(start_s * track))
    path.write_bytes(data)


def vary_rate(path: Path, durations: Sequence[tuple[int, float]], fps: float) -> None:
    """Give so many frames each a duration, in seconds: the file's table of times is written anew."""
    data = bytearray(path.read_bytes())
    moov = data.index(b"moov") - 4
    assert data.index(b"mdat") < moov, "frames must lie in front of what grows"
    (scale,) = struct.unpack_from(">I", data, data.index(b"mdhd", moov) + 16)
    at = data.index(b"stts", moov) - 4
    (old_bytes,) = struct.unpack_from(">I", data, at)
    entries = b"".join(struct.pack(">II", count, round(seconds * scale)) for count, seconds in durations)
    table = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(durations)) + entries
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        box = data.index(name, moov) - 4
        (size,) = struct.unpack_from(">I", data, box)
        struct.pack_into(">I", data, box, size + len(table) - old_bytes)
    data[at : at + old_bytes] = table
    whole_s = sum(count * seconds for count, seconds in durations)
    struct.pack_into(">I", data, data.index(b"mdhd", moov) + 20, round(whole_s * scale))
    _stretch(data, moov, whole_s)
    path.write_bytes(data)


def _stretch(data: bytearray, moov: int, whole_s: float) -> None:
    """The same length in the movie's and the track's headers, and in the edit list."""
    (scale,) = struct.unpack_from(">I", data, data.index(b"mvhd", moov) + 16)
    for name, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"elst", 12)):
        at = data.find(name, moov)
        if at >= 0:
            struct.pack_into(">I", data, at + offset, round(whole_s * scale))

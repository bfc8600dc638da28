"""Repairs truncated and damaged picture files so that a decoder accepts them."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by PNG's colour type."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column and row, distance of columns and rows."""
_KEPT = frozenset({b"PLTE", b"tRNS"})
_BMP_HEADER_BYTES = 54
_LAST_FILTER = 4
"""Of PNG's: none, sub, up, average, Paeth."""
_MAX_PADDED = 8
"""A WebP of which less than an eighth is there is not padded."""
_COMB_ROWS = 2
"""Distance of rows that are there when the last pass of an interlaced file is missing; fewer are too coarse to read."""
_BLOCK_PX = 16
"""The last row of JPEG's blocks that is there may be incomplete."""


def end_jpeg(data: bytes) -> bytes:
    """Append the missing end marker; libjpeg then fills the missing part."""
    return data + b"\xff\xd9"


def whole_png(data: bytes) -> bytes | None:
    """Keep the rows that can be decompressed, fill the rest with zeros; None if there are none."""
    chunks = list(_png_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:  # noqa: PLR2004 - its size
        return None
    header = chunks[0][1]
    rows = _png_rows(header)
    size_bytes = sum(rows)
    found = _inflated((body for name, body in chunks if name == b"IDAT"), size_bytes)
    found = found[: _sound_bytes(found, rows)]
    if not found:
        return None
    kept = [(name, body) for name, body in chunks if name in _KEPT]
    packed = zlib.compress(found.ljust(size_bytes, b"\0"), 1)
    return _PNG + b"".join(_chunk(*c) for c in ((b"IHDR", header), *kept, (b"IDAT", packed), (b"IEND", b"")))


def whole_bmp(data: bytes) -> bytes | None:
    """Pad with zeros; None if the header is incomplete or the pixels are compressed."""
    if len(data) <= _BMP_HEADER_BYTES:
        return None
    (start,) = struct.unpack_from("<I", data, 10)
    width, height, _, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    size_bytes = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    return None if packing not in {0, 3} or len(data) <= start else data.ljust(size_bytes, b"\0")


def whole_webp(data: bytes, *, without_bytes: int = 0) -> bytes | None:
    """Pad a lossy WebP, of which a decoder makes smears; None if nothing is missing, or nearly all is.

    ``without_bytes``: as if as many bytes more were missing.
    """
    expected = 8 + int.from_bytes(data[4:8], "little")
    kept = data[: max(0, len(data) - without_bytes)]
    return kept.ljust(expected, b"\0") if len(data) < expected <= _MAX_PADDED * len(data) else None


def blank_guesses(picture: NDArray[np.uint8], shorter: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blank the rows that depend on the last bytes of a file: ``shorter`` was decoded without them."""
    guessed = np.flatnonzero((picture != shorter).any(axis=(1, 2)))
    if guessed.size:
        picture[guessed[0] :] = 0
    return picture


def fill_comb(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the row above where single rows are missing between others: of interlaced files the last pass is."""
    filled = (rgb == rgb[:, :1]).all(axis=(1, 2))
    rows = np.arange(len(rgb))
    above = np.maximum.accumulate(np.where(filled, -1, rows))
    below = np.minimum.accumulate(np.where(filled, len(rgb), rows)[::-1])[::-1]
    narrow = filled & (above >= 0) & (below - above <= _COMB_ROWS)
    rgb[narrow] = rgb[above[narrow]]
    return rgb


def rows_there(rgb: NDArray[np.uint8], *, from_top: bool) -> tuple[int, int]:
    """Return the first row that was decoded of a damaged picture as it is stored, and the one after the last.

    Decoders fill missing rows with one colour each.  With ``from_top`` rows are missing below others only: what has one
    colour above is of the picture itself, such as a frame around it.
    """
    filled = (rgb == rgb[:, :1]).all(axis=(1, 2))
    start, stop = _between_filled(filled)
    return (0 if from_top and filled[: max(0, start - _BLOCK_PX)].all() else start), stop


def columns_there(rgb: NDArray[np.uint8]) -> tuple[int, int]:
    """As :func:`rows_there`, of a picture that its decoder may have turned."""
    return _between_filled((rgb == rgb[:1]).all(axis=(0, 2)))


def _between_filled(filled: NDArray[np.bool_]) -> tuple[int, int]:
    """First row of the longest run that is not filled and the first one behind it; all rows if there is none."""
    changes = np.flatnonzero(np.diff(np.concatenate(([True], filled, [True])).astype(np.int8)))
    runs = changes.reshape(-1, 2)
    if not len(runs):
        return 0, len(filled)
    first, end = (int(v) for v in runs[np.diff(runs).argmax()])
    start = first + _BLOCK_PX if first else 0
    stop = end - _BLOCK_PX if end < len(filled) else end
    return (start, stop) if start < stop else (0, len(filled))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _png_rows(header: bytes) -> list[int]:
    """Size in bytes of each row of the inflated picture, in the order of the file; each has a byte for its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(colour, 4)
    rows = []
    for x, y, dx, dy in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns = (width - x + dx - 1) // dx
        if columns > 0:
            rows += [1 + (columns * bits + 7) // 8] * max(0, (height - y + dy - 1) // dy)
    return rows


def _sound_bytes(found: bytes, rows: list[int]) -> int:
    """Return the number of bytes before the first row with an invalid filter; from there on the data are garbage."""
    at = 0
    for size in rows:
        if at >= len(found) or found[at] > _LAST_FILTER:
            break
        at += size
    return min(at, len(found))


def _inflated(parts: Iterator[bytes], limit_bytes: int) -> bytes:
    inflate, rows = zlib.decompressobj(), bytearray()
    for part in parts:
        # Small pieces: what comes before the damage inside one is kept.
        for at in range(0, len(part), 1024):
            try:
                rows += inflate.decompress(part[at : at + 1024], max(1, limit_bytes - len(rows)))
            except zlib.error:
                return bytes(rows[:limit_bytes])
            if len(rows) >= limit_bytes:
                return bytes(rows[:limit_bytes])
    return bytes(rows)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

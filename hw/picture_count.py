"""How many pictures a PNG, WebP or TIFF file has: decoders return the first alone, without a word."""

from __future__ import annotations

import struct

_MAX_PICTURES = 10_000
_TYPE_TAG = 254
_SMALLER, _MASK = 1, 4
"""Bits of TIFF's NewSubfileType: a preview of another picture, or its transparency."""
_ORDERS = {b"II": "<", b"MM": ">"}


def png_pictures(data: bytes) -> int:
    """Frames of an animated PNG (chunk acTL, before the pixels); 1 for others."""
    head = data[: max(0, data.find(b"IDAT"))]
    at = head.find(b"acTL")
    return 1 if at < 0 else max(1, int.from_bytes(head[at + 4 : at + 8], "big"))


def webp_pictures(data: bytes) -> int:
    """Frames of an animated WebP (chunks ANMF); 1 for others."""
    at, count = 12, 0
    while at + 8 <= len(data):
        count += data[at : at + 4] == b"ANMF"
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return max(1, count)


def tiff_pictures(data: bytes) -> int:
    """Pages of a TIFF file, without previews and masks; 1 if its directories are damaged."""
    order = _ORDERS.get(data[:2], "<")
    count, seen = 0, set[int]()
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        while at and at not in seen and len(seen) < _MAX_PICTURES:
            seen.add(at)
            (entries,) = struct.unpack_from(f"{order}H", data, at)
            # The first is what is decoded, whatever it is: in raw files it is a preview.
            count += not count or not _subfile_type(data, order, at + 2, entries) & (_SMALLER | _MASK)
            (at,) = struct.unpack_from(f"{order}I", data, at + 2 + 12 * entries)
    except struct.error:
        return max(1, count)
    return max(1, count)


def _subfile_type(data: bytes, order: str, start: int, entries: int) -> int:
    for at in range(start, start + 12 * entries, 12):
        (tag,) = struct.unpack_from(f"{order}H", data, at)
        if tag == _TYPE_TAG:
            return int(struct.unpack_from(f"{order}I", data, at + 8)[0])
    return 0

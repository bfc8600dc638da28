"""Orientation of JPEG, PNG and WebP files: by Exif (tag 274, CIPA DC-008), or else by XMP (tiff:Orientation)."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

UPRIGHT = 1
_TAG = 274
_LARGEST = 8
_MAX_ENTRIES = 1000
_PREFIX = b"Exif\0\0"
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])[\"'<]")
_RAW_PROFILES = frozenset({b"Raw profile type exif", b"Raw profile type APP1"})
"""Texts of PNG files that were written before it had a chunk for Exif."""
_MAX_TEXT_BYTES = 1 << 20
_VALUE = {1: "B", 3: "H", 4: "I"}
"""Types of whole numbers.  It must be a SHORT (3), which some writers do not know."""
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}


def jpeg_orientation(data: bytes) -> int:
    """Return 1 to 8; 1 (upright) if there is none."""
    bodies = [body for marker, body in _jpeg_segments(data) if marker == _APP1]
    exif = (body for body in bodies if body.startswith(_PREFIX))
    return _of(exif) or _of_xmp(body for body in bodies if body.startswith(_XMP_PREFIX))


def png_orientation(data: bytes) -> int:
    """See :func:`jpeg_orientation`."""
    chunks = [(name, body) for name, body in _png_chunks(data) if name in {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}]
    found = _of(body for name, body in chunks if name == b"eXIf")
    found = found or _of(filter(None, (_raw_profile(name, body) for name, body in chunks)))
    return found or _of_xmp(body for name, body in chunks if name == b"iTXt")


def webp_orientation(data: bytes) -> int:
    """See :func:`jpeg_orientation`."""
    chunks = list(_riff_chunks(data))
    exif = (body for name, body in chunks if name == b"EXIF")
    return _of(exif) or _of_xmp(body for name, body in chunks if name == b"XMP ")


def upright(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an orientation; returns the same array if it is upright."""
    match orientation:
        case 2:
            turned = cv2.flip(picture, 1)
        case 3:
            turned = cv2.rotate(picture, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(picture, 0)
        case 5:
            turned = cv2.transpose(picture)
        case 6:
            turned = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.transpose(cv2.rotate(picture, cv2.ROTATE_180))
        case 8:
            turned = cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return picture
    return np.ascontiguousarray(turned, np.uint8)


def _of(blocks: Iterator[bytes]) -> int | None:
    return next((found for block in blocks if (found := _tag(block.removeprefix(_PREFIX)))), None)


def _of_xmp(documents: Iterator[bytes]) -> int:
    return next((int(found[1]) for text in documents if (found := _XMP.search(text))), UPRIGHT)


def _raw_profile(name: bytes, body: bytes) -> bytes | None:
    """The Exif block that a PNG file has as hexadecimal text, after two lines with its kind and size."""
    keyword, _, text = body.partition(b"\0")
    if keyword not in _RAW_PROFILES or name == b"iTXt":
        return None
    try:
        if name == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], _MAX_TEXT_BYTES)
        return binascii.unhexlify(b"".join(text.split()[2:]))
    except (zlib.error, binascii.Error):
        return None


def _tag(tiff: bytes) -> int | None:
    """The orientation in the first directory of a TIFF structure; None if missing or damaged."""
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * min(entries, _MAX_ENTRIES), 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, at)
            if tag == _TAG and kind in _VALUE:
                (value,) = struct.unpack_from(f"{order}{_VALUE[kind]}", tiff, at + 8)
                return int(value) if UPRIGHT <= value <= _LARGEST else None
    except struct.error:
        return None
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 - what a marker begins with
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            at += 1
            continue
        if marker in {_START_OF_SCAN, _END_OF_IMAGE}:
            return
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + max(2, size)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2

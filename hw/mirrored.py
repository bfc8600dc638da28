"""Whether a video file says that it is to be shown mirrored: OpenCV honours the turn of a display matrix alone.

ISO files (MP4, MOV, 3GP; ISO/IEC 14496-12) have a matrix for each track, Matroska (RFC 9559) angles of a projection.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_HEADER_BYTES = 64 * 1024 * 1024
_MAX_ELEMENTS = 1000
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _TRACKS, _TRACK, _VIDEO, _PROJECTION = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x7670
_YAW, _PITCH = 0x7673, 0x7674
_HALF_TURN = 180.0


def is_mirrored(path: Path) -> bool:
    """Return whether the first video track is to be shown mirrored; False for other or damaged files."""
    try:
        with path.open("rb") as file:
            if file.read(4) == _EBML:
                return _matroska(file)
            file.seek(0)
            return _iso(_moov(file))
    except (struct.error, OSError, ValueError, OverflowError):  # sizes that are none
        return False


def _moov(file: BinaryIO) -> bytes:
    """The box with the tracks; empty if there is none."""
    for _ in range(_MAX_ELEMENTS):
        head = file.read(16)
        if len(head) < 8:  # noqa: PLR2004 - size and kind
            break
        size, kind = struct.unpack_from(">I4s", head)
        start = 8
        if size == 1 and len(head) == 16:  # noqa: PLR2004 - with a long size
            (size,), start = struct.unpack_from(">Q", head, 8), 16
        if kind == b"moov":
            return (head + file.read(min(size, _MAX_HEADER_BYTES)))[start:size]
        if size < start:
            break
        file.seek(size - len(head), 1)
    return b""


def _iso(moov: bytes) -> bool:
    for kind, track in _boxes(moov):
        if kind != b"trak":
            continue
        parts = dict(_boxes(track))
        handler = dict(_boxes(parts.get(b"mdia", b""))).get(b"hdlr", b"")
        header = parts.get(b"tkhd", b"")
        if handler[8:12] == b"vide" and header:
            a, b, _, c, d = struct.unpack_from(">5i", header, 40 if header[0] == 0 else 52)
            return bool(a * d - b * c < 0)
    return False


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:  # noqa: PLR2004 - its own head
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _matroska(file: BinaryIO) -> bool:
    """The first track with a video; turns about the upright and the level axis mirror it, both together do not."""
    file.seek(0)
    for kind, size in _elements(file):
        if kind == _SEGMENT:
            for inner, length in _elements(file):
                if inner == _TRACKS:
                    return _tracks(file.read(min(length or 0, _MAX_HEADER_BYTES)))
                file.seek(length or 0, 1)
            return False
        file.seek(size or 0, 1)
    return False


def _elements(file: BinaryIO) -> Iterator[tuple[int, int | None]]:
    """Identifier and size (None: unknown) of each element; the caller moves on to the next."""
    for _ in range(_MAX_ELEMENTS):
        kind, size = _number(file, keep_marker=True), _number(file, keep_marker=False)
        if kind is None:
            return
        yield kind, size


def _number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """A number of variable length; None at the end of the file, or if all its bits are set."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value


def _tracks(data: bytes) -> bool:
    for kind, track in _inside(data):
        for part, video in _inside(track) if kind == _TRACK else ():
            if part == _VIDEO:
                poses = {
                    name: value
                    for inner, projection in _inside(video)
                    if inner == _PROJECTION
                    for name, value in _inside(projection)
                }
                return _is_half(poses.get(_YAW)) != _is_half(poses.get(_PITCH))
    return False


def _inside(data: bytes) -> Iterator[tuple[int, bytes]]:
    file = io.BytesIO(data)
    for kind, size in _elements(file):
        yield kind, file.read(size or 0)


def _is_half(value: bytes | None) -> bool:
    if value is None or len(value) not in {4, 8}:
        return False
    form = ">f" if len(value) == 4 else ">d"  # noqa: PLR2004 - bytes of a short float
    return bool(abs(struct.unpack(form, value)[0]) == _HALF_TURN)

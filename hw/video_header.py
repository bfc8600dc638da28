"""What a video file says that OpenCV does not tell: whether it is to be shown mirrored, its tracks, its edits.

ISO files (MP4, MOV, 3GP; ISO/IEC 14496-12) have a matrix for each track, Matroska (RFC 9559) angles of a projection.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What the header says; the values of other and of damaged files are those given here."""

    mirrored: bool = False
    """The first video track is to be shown mirrored."""
    video_tracks: int = 0
    """With more than one picture."""
    shown_s: float | None = None
    """Length of the first video track without what its edit list leaves out, as trimmed videos have it."""
    matroska: bool = False


def video_header(path: Path) -> VideoHeader:
    """Read the header of a video file."""
    try:
        with path.open("rb") as file:
            if file.read(4) == _EBML:
                return _matroska(file)
            file.seek(0)
            return _iso(_moov(file))
    except (struct.error, OSError, ValueError, OverflowError):  # sizes that are none
        return VideoHeader()


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


def _iso(moov: bytes) -> VideoHeader:
    inside = list(_boxes(moov))
    tracks = [parts for kind, track in inside if kind == b"trak" and (parts := _video_track(track))]
    if not tracks:
        return VideoHeader()
    header = tracks[0][b"tkhd"]
    a, b, _, c, d = struct.unpack_from(">5i", header, 40 if header[0] == 0 else 52)
    return VideoHeader(
        mirrored=bool(a * d - b * c < 0),
        video_tracks=max(1, sum(_pictures(track) > 1 for track in tracks)),
        shown_s=_shown_s(dict(inside).get(b"mvhd", b""), tracks[0]),
    )


def _video_track(track: bytes) -> dict[bytes, bytes]:
    """The parts of a track; empty if it has no pictures."""
    parts = dict(_boxes(track))
    handler = _part(parts, b"mdia", b"hdlr")
    return parts if handler[8:12] == b"vide" and parts.get(b"tkhd") else {}


def _part(parts: dict[bytes, bytes], *names: bytes) -> bytes:
    """A part of a part; empty if there is none."""
    first, *others = names
    found = parts.get(first, b"")
    for name in others:
        found = dict(_boxes(found)).get(name, b"")
    return found


def _pictures(track: dict[bytes, bytes]) -> int:
    sizes = _part(track, b"mdia", b"minf", b"stbl", b"stsz")
    return int.from_bytes(sizes[8:12], "big")


def _shown_s(film: bytes, track: dict[bytes, bytes]) -> float | None:
    """Sum of the edits, except the empty ones, which delay the track; None without a list of edits."""
    edits = _part(track, b"edts", b"elst")
    if not film or not edits:
        return None
    (scale,) = struct.unpack_from(">I", film, 12 if film[0] == 0 else 20)
    (count,) = struct.unpack_from(">I", edits, 4)
    form = struct.Struct(">Iii" if edits[0] == 0 else ">Qqi")
    last = min(count, _MAX_ELEMENTS) * form.size
    shown = sum(length for length, start, _ in form.iter_unpack(edits[8 : 8 + last]) if start >= 0)
    return shown / scale if shown and scale else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:  # noqa: PLR2004 - its own head
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _matroska(file: BinaryIO) -> VideoHeader:
    file.seek(0)
    for kind, size in _elements(file):
        if kind == _SEGMENT:
            for inner, length in _elements(file):
                if inner == _TRACKS:
                    return _tracks(file.read(min(length or 0, _MAX_HEADER_BYTES)))
                file.seek(length or 0, 1)
            break
        file.seek(size or 0, 1)
    return VideoHeader(matroska=True)


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


def _tracks(data: bytes) -> VideoHeader:
    """Turns about the upright and the level axis mirror a picture, both together do not."""
    videos = [
        video
        for kind, track in _inside(data)
        if kind == _TRACK
        for part, video in _inside(track)
        if part == _VIDEO
    ]
    poses = {
        name: value
        for inner, projection in _inside(videos[0] if videos else b"")
        if inner == _PROJECTION
        for name, value in _inside(projection)
    }
    return VideoHeader(
        mirrored=_is_half(poses.get(_YAW)) != _is_half(poses.get(_PITCH)), video_tracks=len(videos), matroska=True
    )


def _inside(data: bytes) -> Iterator[tuple[int, bytes]]:
    file = io.BytesIO(data)
    for kind, size in _elements(file):
        yield kind, file.read(size or 0)


def _is_half(value: bytes | None) -> bool:
    if value is None or len(value) not in {4, 8}:
        return False
    form = ">f" if len(value) == 4 else ">d"  # noqa: PLR2004 - bytes of a short float
    return bool(abs(struct.unpack(form, value)[0]) == _HALF_TURN)

"""Columns of a package: frames of at most 64 Ki values, bytes of equal weight side by side, deflated.

Sorted numbers are stored as differences; those of five million plates need about two bytes each.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from protocol.errors import HotlistError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Column = NDArray[np.unsignedinteger[Any]]

_FRAME = struct.Struct("<II")
_FRAME_ROWS = 2**16
_LEVEL = 1


def encode_column(values: Column, *, is_sorted: bool) -> Iterator[bytes]:
    """Yield the frames of a column."""
    before = values.dtype.type(0)
    for start in range(0, len(values), _FRAME_ROWS):
        part = values[start : start + _FRAME_ROWS]
        stored = np.diff(part, prepend=before) if is_sorted else part
        before = part[-1]
        planes = stored.astype(stored.dtype.newbyteorder("<")).view(np.uint8).reshape(len(part), -1).T
        data = zlib.compress(planes.tobytes(), _LEVEL)
        yield _FRAME.pack(len(part), len(data)) + data


def decode_column(read: Callable[[int], bytes], size: int, out: Column, *, is_sorted: bool) -> None:
    """Read ``size`` bytes of frames into ``out``, which they must fill exactly; raises HotlistError."""
    done, before, width = 0, out.dtype.type(0), out.dtype.itemsize
    while size:
        rows, length = _FRAME.unpack(_exactly(read, _FRAME.size, size))
        size -= _FRAME.size
        if not 0 < rows <= min(_FRAME_ROWS, len(out) - done):
            raise HotlistError("a column of the list has more rows than its manifest says")
        planes = np.frombuffer(inflate(_exactly(read, length, size), rows * width), np.uint8)
        size -= length
        if len(planes) != rows * width:
            raise HotlistError("a column of the list has too few rows in a frame")
        part = out[done : done + rows]
        part[:] = np.ascontiguousarray(planes.reshape(width, rows).T).view(out.dtype.newbyteorder("<"))[:, 0]
        if is_sorted:
            np.cumsum(part, out=part)
            part += before
            if part[0] < before or np.any(part[1:] < part[:-1]):
                raise HotlistError("the plates of the list are not sorted")
            before = part[-1]
        done += rows
    if done != len(out):
        raise HotlistError(f"a column of the list has {done} rows, {len(out)} are expected")


def inflate(data: bytes, max_bytes: int) -> bytes:
    """Inflate at most ``max_bytes``; raises HotlistError for more and for damaged data."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise HotlistError(f"the list is damaged: {error}") from error
    if len(found) > max_bytes or not stream.eof:
        raise HotlistError("a part of the list is larger than it may be, or cut off")
    return found


def _exactly(read: Callable[[int], bytes], size: int, left: int) -> bytes:
    if size > left:
        raise HotlistError("a column of the list is cut off")
    data = read(size)
    if len(data) != size:
        raise HotlistError("the list is truncated: fetch it again")
    return data

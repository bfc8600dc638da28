"""Detects damage in the middle of the write-ahead log, which SQLite silently takes for the end of the log.

SQLite reads the log up to the first frame whose checksum is wrong (sqlite.org/fileformat.html, 4.4): after a power
cut that is the transaction that was being written.  But only one is written at a time, and each is on the disk before
the next begins: a commit beyond that frame with another frame behind it was once whole.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADER_BYTES, _FRAME_HEADER_BYTES, _INDEX_BYTES = 32, 24, 48
_MAGIC = b"\x37\x7f\x06"
_USUAL_PAGE = 4096


def lost_commits(file: Path) -> bool:
    """True if the log of an open file has commits that SQLite does not see; raises OSError."""
    log = file.with_name(f"{file.name}-wal")
    index = file.with_name(f"{file.name}-shm")
    if not log.exists() or not index.exists() or log.stat().st_size <= _HEADER_BYTES:
        return False
    with index.open("rb") as shared:
        state = shared.read(_INDEX_BYTES)
    # sqlite.org/walformat.html, 2.1: number of valid frames, in the machine's byte order, and their salt.
    seen, salt = int.from_bytes(state[16:20], sys.byteorder), state[32:40]
    with log.open("rb") as frames:
        header = frames.read(_HEADER_BYTES)
        frame_bytes = _FRAME_HEADER_BYTES + (int.from_bytes(header[8:12], "big") or _USUAL_PAGE)
        if header[:3] != _MAGIC:
            seen, frame_bytes = 0, _FRAME_HEADER_BYTES + _USUAL_PAGE
            salt = frames.read(_FRAME_HEADER_BYTES)[8:16]
        committed = False
        for at in range(_HEADER_BYTES + seen * frame_bytes, log.stat().st_size, frame_bytes):
            frames.seek(at)
            frame = frames.read(_FRAME_HEADER_BYTES)
            # Frames with another salt are from before the log was restarted.
            if frame[8:16] == salt:
                if committed:
                    return True
                committed = any(frame[4:8])
    return False

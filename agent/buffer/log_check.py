"""Detects damage in the middle of the write-ahead log, which SQLite silently takes for the end of the log.

SQLite reads the log up to the first frame whose checksum is wrong (sqlite.org/fileformat.html, 4.4): after a power
cut that is the transaction that was being written.  But only one is written at a time, and each is on the disk before
the next begins: a commit beyond that frame with another frame behind it was once whole.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_MAGIC = b"\x37\x7f\x06"
_USUAL_PAGE = 4096


def lost_commits(file: Path, con: sqlite3.Connection) -> bool:
    """True if the log of a file, which ``con`` has open, has commits that SQLite does not see; raises OSError.

    SQLite tells the number of frames that it sees.  Nobody may look it up in the index: closing a handle of that file,
    or of the database, drops the locks of the whole process, and the next other process deletes the log, with all that
    is committed from then on (sqlite.org/howtocorrupt.html, 2.2).
    """
    log = file.with_name(f"{file.name}-wal")
    if not log.exists() or log.stat().st_size <= _HEADER_BYTES:
        return False
    try:
        seen = max(0, con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
    except sqlite3.OperationalError:
        return False  # the disk is full or not writable, as the first commit will tell
    with log.open("rb") as frames:
        header = frames.read(_HEADER_BYTES)
        frame_bytes = _FRAME_HEADER_BYTES + (int.from_bytes(header[8:12], "big") or _USUAL_PAGE)
        salt = header[16:24]
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

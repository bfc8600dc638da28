"""The high-water mark of the sequence, in a small file of its own.

The outbox file may be lost or damaged; even then a sequence number must not be assigned twice, or a receipt for the
old record would delete the new one.  So numbers are reserved in blocks in this file, before they are used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 10_000


class SeqMark:
    """Numbers above :attr:`high` were never used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.high = _read(path)

    def cover(self, seq: int) -> None:
        """Raise the mark to at least ``seq``, durably; raises OSError."""
        if seq <= self.high:
            return
        high = seq + BLOCK
        write_durably(self._path, f"{high}\n".encode())
        self.high = high


def _read(path: Path) -> int:
    try:
        return max(0, int(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        # Written by rename after fsync, so a torn file means a failing disk; the outbox still has the number.
        return 0


def write_durably(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a small file atomically: after a power cut it has the old or the new content.  Raises OSError.

    The umask applies to ``mode``.
    """
    fresh = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        opened = os.open(fresh, flags, mode)
    except FileExistsError:
        # Left by a power cut, perhaps with another mode.
        fresh.unlink()
        opened = os.open(fresh, flags, mode)
    with os.fdopen(opened, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries; raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

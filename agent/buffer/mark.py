"""The high-water mark of the sequence, in a small file of its own.

The outbox file may be lost or damaged; even then a sequence number must not be assigned twice, or a receipt for the
old record would delete the new one.  So numbers are reserved in blocks in this file, before they are used.

A second file has the number of the latest commit.  It is written after each commit, without a sync: it may be behind,
never ahead.  Commits that are not in the outbox although this file has them were lost with the log.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 10_000
_MAX_SEQ = 2**63 - 1 - 2 * BLOCK
LATEST_NAME = "outbox-3.latest"


class SeqMark:
    """Numbers above :attr:`high` were never used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._latest_path = path.with_name(LATEST_NAME)
        self.latest = _read_latest(self._latest_path)
        """Lower bound of the latest number that was committed; 0 if unknown."""
        self.high = max(_read(path), self.latest)

    def cover(self, seq: int) -> None:
        """Raise the mark to at least ``seq``, durably; raises OSError."""
        if seq <= self.high:
            return
        high = seq + BLOCK
        write_durably(self._path, f"{high}\n".encode())
        self.high = high

    def note(self, seq: int) -> None:
        """Note that ``seq`` was committed.  Never raises: without the note, less is noticed."""
        if seq <= self.latest:
            return
        self.latest = seq
        number = f"{seq:020}"
        with suppress(OSError):
            handle = os.open(self._latest_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                os.pwrite(handle, f"{number} {zlib.crc32(number.encode()):08x}\n".encode(), 0)
            finally:
                os.close(handle)


def _read_latest(path: Path) -> int:
    """Return the number; 0 for a missing or torn file."""
    try:
        number, check = path.read_bytes().split()
        whole = int(check, 16) == zlib.crc32(number)
        return _valid(int(number)) if whole else 0
    except (OSError, ValueError):
        return 0


def _valid(seq: int) -> int:
    return seq if 0 <= seq <= _MAX_SEQ else 0


def _read(path: Path) -> int:
    try:
        return _valid(int(path.read_bytes()))
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

"""Files offered to units: in folders beside the SQLite file, or in the database that all workers share."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from protocol.wire.control.transfer import MAX_PART_BYTES, UPDATE
from station.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

KEEP_US = 86_400_000_000
"""A copy that no offer names is kept this long: another process may be about to offer it."""


class OfferedFiles(Protocol):
    """Keeps copies of files by kind and hash.  Every method raises StoreError."""

    def keep(self, source: Path, kind: str) -> tuple[bytes, int]:
        """Copy a file; return its hash and size."""

    def read(self, kind: str, sha256: bytes, offset: int) -> bytes:
        """Return up to ``MAX_PART_BYTES`` from an offset, at least one byte."""

    def drop(self, kind: str, in_use: AbstractSet[bytes], now_us: int) -> int:
        """Delete copies that are not in use and were not kept again for ``KEEP_US``; return their number."""


def folder_of(db: Path, kind: str = UPDATE) -> Path:
    """Return the folder of the copies of a kind, beside the station's file."""
    return db.with_name(f"{db.name}-{'updates' if kind == UPDATE else 'files'}")


def suffix_of(kind: str) -> str:
    """Return the suffix of the copies of a kind."""
    return ".lprup" if kind == UPDATE else f".{kind}"


class FolderFiles:
    """See :class:`OfferedFiles`."""

    def __init__(self, db: Path) -> None:
        """``db`` is the station's file; a folder is made with its first file."""
        self._db = db

    def keep(self, source: Path, kind: str) -> tuple[bytes, int]:
        """Under its hash."""
        try:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            target = self._copy(kind, digest.digest())
            if target.exists():
                os.utime(target)
            else:
                target.parent.mkdir(exist_ok=True)
                part = target.with_suffix(".part")
                shutil.copyfile(source, part)
                part.replace(target)
            size_bytes = target.stat().st_size
        except OSError as error:
            raise StoreError(f"{source}: cannot be copied for the units: {error}") from error
        return digest.digest(), size_bytes

    def read(self, kind: str, sha256: bytes, offset: int) -> bytes:
        """From the folder."""
        path = self._copy(kind, sha256)
        again = f"offer the {kind} again"
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(MAX_PART_BYTES)
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}; {again}") from error
        if not data:
            raise StoreError(f"{path}: truncated; {again}")
        return data

    def drop(self, kind: str, in_use: AbstractSet[bytes], now_us: int) -> int:
        """By the time of the file."""
        names = {sha256.hex() for sha256 in in_use}
        dropped = 0
        for copy in folder_of(self._db, kind).glob(f"*{suffix_of(kind)}"):
            # What cannot be deleted now is tried again with the next offer.
            with suppress(OSError):
                if copy.stem not in names and copy.stat().st_mtime * 1e6 + KEEP_US <= now_us:
                    copy.unlink()
                    dropped += 1
        return dropped

    def _copy(self, kind: str, sha256: bytes) -> Path:
        return folder_of(self._db, kind) / f"{sha256.hex()}{suffix_of(kind)}"

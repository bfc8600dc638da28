"""Files offered to units: in a folder beside the SQLite file, or in the database that all workers share."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Protocol

from protocol.wire.control.transfer import MAX_PART_BYTES
from station.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


class OfferedFiles(Protocol):
    """Keeps files by their hash.  Every method raises StoreError."""

    def keep(self, source: Path) -> tuple[bytes, int]:
        """Copy a file; return its hash and size."""

    def read(self, sha256: bytes, offset: int) -> bytes:
        """Return up to ``MAX_PART_BYTES`` from an offset, at least one byte."""


def folder_of(db: Path) -> Path:
    """Return the folder of offered files, beside the station's file."""
    return db.with_name(f"{db.name}-updates")


class FolderFiles:
    """See :class:`OfferedFiles`."""

    def __init__(self, db: Path) -> None:
        """``db`` is the station's file; the folder is made with the first file."""
        self._folder = folder_of(db)

    def keep(self, source: Path) -> tuple[bytes, int]:
        """Under its hash."""
        try:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            target = self._folder / f"{digest.hexdigest()}.lprup"
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                part = target.with_suffix(".part")
                shutil.copyfile(source, part)
                part.replace(target)
        except OSError as error:
            raise StoreError(f"{source}: cannot be copied for the units: {error}") from error
        return digest.digest(), target.stat().st_size

    def read(self, sha256: bytes, offset: int) -> bytes:
        """From the folder."""
        path = self._folder / f"{sha256.hex()}.lprup"
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(MAX_PART_BYTES)
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}; offer the update again") from error
        if not data:
            raise StoreError(f"{path}: truncated; offer the update again")
        return data

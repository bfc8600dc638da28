"""Files offered to units, in the database: workers may run on several machines."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from protocol.wire.control.transfer import MAX_PART_BYTES
from station.errors import StoreError
from station.store.files import KEEP_US

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from station.store.postgres.database import PostgresDatabase

_KEEP = """
INSERT INTO offered_files (kind, sha, "offset", data) VALUES (%s, %s, %s, %s)
ON CONFLICT (kind, sha, "offset") DO UPDATE SET kept = now()
"""
_READ = """
SELECT "offset", data FROM offered_files WHERE kind = %s AND sha = %s AND "offset" <= %s ORDER BY "offset" DESC LIMIT 1
"""
_DROP = """
DELETE FROM offered_files WHERE kind = %s AND sha <> ALL(%s) AND extract(epoch FROM kept) * 1000000 <= %s RETURNING sha
"""


class DatabaseFiles:
    """See :class:`station.store.files.OfferedFiles`."""

    def __init__(self, db: PostgresDatabase) -> None:
        self._db = db

    def keep(self, source: Path, kind: str) -> tuple[bytes, int]:
        """In rows of the size that units ask for, in one transaction."""
        with self._db.transaction():
            return self.add(source, kind)

    def add(self, source: Path, kind: str) -> tuple[bytes, int]:
        """As ``keep``, inside a transaction."""
        try:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
                size = 0
                file.seek(0)
                while data := file.read(MAX_PART_BYTES):
                    self._db.fetch(_KEEP, (kind, digest, size, data))
                    size += len(data)
        except OSError as error:
            raise StoreError(f"{source}: cannot be copied for the units: {error}") from error
        return digest, size

    def read(self, kind: str, sha256: bytes, offset: int) -> bytes:
        """The rest of the row that has the offset: a unit asks again from where it ends."""
        with self._db.transaction():
            rows = self._db.fetch(_READ, (kind, sha256, offset))
        data = bytes(rows[0][1][offset - rows[0][0] :]) if rows else b""
        if not data:
            raise StoreError(f"{sha256.hex()}: not in the database; offer the {kind} again")
        return data

    def drop(self, kind: str, in_use: AbstractSet[bytes], now_us: int) -> int:
        """By the time of the database's server."""
        with self._db.transaction():
            return len(set(self._db.fetch(_DROP, (kind, list(in_use), now_us - KEEP_US))))

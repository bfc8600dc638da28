"""Files offered to units, in the database: workers may run on several machines."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from protocol.wire.control.transfer import MAX_PART_BYTES
from station.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from station.store.postgres.database import PostgresDatabase

_KEEP = 'INSERT INTO offered_files (sha, "offset", data) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING'
_READ = """
SELECT "offset", data FROM offered_files WHERE sha = %s AND "offset" <= %s ORDER BY "offset" DESC LIMIT 1
"""


class DatabaseFiles:
    """See :class:`station.store.files.OfferedFiles`."""

    def __init__(self, db: PostgresDatabase) -> None:
        self._db = db

    def keep(self, source: Path) -> tuple[bytes, int]:
        """In rows of the size that units ask for, in one transaction."""
        with self._db.transaction():
            return self.add(source)

    def add(self, source: Path) -> tuple[bytes, int]:
        """As ``keep``, inside a transaction."""
        try:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
                size = 0
                file.seek(0)
                while data := file.read(MAX_PART_BYTES):
                    self._db.fetch(_KEEP, (digest, size, data))
                    size += len(data)
        except OSError as error:
            raise StoreError(f"{source}: cannot be copied for the units: {error}") from error
        return digest, size

    def read(self, sha256: bytes, offset: int) -> bytes:
        """The rest of the row that has the offset: a unit asks again from where it ends."""
        with self._db.transaction():
            rows = self._db.fetch(_READ, (sha256, offset))
        data = bytes(rows[0][1][offset - rows[0][0] :]) if rows else b""
        if not data:
            raise StoreError(f"{sha256.hex()}: not in the database; offer the update again")
        return data

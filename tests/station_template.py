"""New station files for tests: copies of one that was migrated once in this process.

All migrations together take a tenth of a second, and most tests of the station open a new file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from station.store import open_store, sqlite_file

if TYPE_CHECKING:
    from station.store.database import Database


class StationTemplate:
    """What a station leaves that opened a new file and closed it; made when the first new file is opened."""

    def __init__(self) -> None:
        self.run_migrations = sqlite_file._migrate
        self._lock = threading.RLock()
        self._is_made = False
        self._contents = sqlite3.connect(":memory:", check_same_thread=False)

    def migrate(self, con: sqlite3.Connection, database: Database) -> None:
        """Stands in for the store's own, which then finds nothing to do; files of earlier versions it migrates."""
        with self._lock:
            if sqlite_file._version(con) == 0 and self._has_contents():
                con.execute("PRAGMA synchronous = OFF")
                self._contents.backup(con)
        self.run_migrations(con, database)

    def close(self) -> None:
        self._contents.close()

    def _has_contents(self) -> bool:
        """False while the template itself is opened."""
        if self._is_made:
            return sqlite_file._version(self._contents) > 0
        self._is_made = True
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "station.db"
            open_store(path).close()
            with contextlib.closing(sqlite3.connect(path)) as file:
                file.backup(self._contents)
        return True

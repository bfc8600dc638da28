"""Restores the first page of a damaged file, which says where the tables are: without it no row can be reached.

All files of one version have their tables in the same places, so the page of a new, empty file takes its place.  The
rows that are then found are checked one by one, as all salvaged rows are.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from agent.buffer import schema
from agent.buffer.mark import write_durably
from agent.buffer.salvage import Wreck

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE_BYTES = 4096
_CHANGES, _PAGES = slice(24, 28), slice(28, 32)
"""The number of pages counts only if the number of changes occurs twice (sqlite.org/fileformat.html, 1.3.7)."""


def restore_first_page(file: Path, migrations: Sequence[str]) -> bool:
    """Replace the first page if the tables cannot be reached; return whether that was done.

    The old page is kept beside the file.  Raises OSError.
    """
    if file.stat().st_size <= _PAGE_BYTES:
        return False
    with Wreck(file) as wreck:
        if wreck.has_tables:
            return False
    old = file.with_name(f"{file.name}.page-1")
    with file.open("r+b") as pages:
        if not old.exists():
            write_durably(old, pages.read(_PAGE_BYTES))
        pages.seek(0)
        pages.write(_first_page(migrations))
    return True


def _first_page(migrations: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as con:
            con.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            con.execute("PRAGMA journal_mode = WAL")
            schema.migrate(con, migrations)
        page = bytearray(path.read_bytes()[:_PAGE_BYTES])
    page[_CHANGES] = bytes(4)
    page[_PAGES] = bytes(4)
    return bytes(page)

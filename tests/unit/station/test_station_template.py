"""Tests open copies of a new file: a copy is what the migrations make."""

from __future__ import annotations

import contextlib
import re
import sqlite3

from station.store import open_store, sqlite_file

TIMES = re.compile(r"\b\d{16}\b")


def contents(path) -> list[str]:
    """Everything in the file, without the times of its making."""
    with contextlib.closing(sqlite3.connect(path)) as con:
        header = [
            con.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version", "journal_mode")
        ]
        # In any order: indexes of one table are made in the order of a set.
        return [str(header), *sorted(TIMES.sub("TIME", line) for line in con.iterdump())]


def test_a_copy_is_what_the_migrations_make(tmp_path, monkeypatch, station_template):
    """Tables, indexes, first rows and header."""
    open_store(tmp_path / "copy.db").close()
    monkeypatch.setattr(sqlite_file, "_migrate", station_template.run_migrations)
    open_store(tmp_path / "migrated.db").close()
    assert contents(tmp_path / "copy.db") == contents(tmp_path / "migrated.db")

"""The file of an older release: renamed once, and taken over after a rollback.

Release 0.1 refuses a file of a newer version.  Each version that it could not read therefore has a file name of its
own: after a rollback the older release finds no file, creates one, and continues above the assigned numbers
(``outbox.seq``).  When the newer release returns, it takes over the rows of that file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.buffer.mark import sync_folder
from agent.buffer.rescue import Rescue
from agent.buffer.salvage import Wreck

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from agent.buffer.mark import SeqMark
    from agent.buffer.rows import Encoder

OLDER_NAME = "outbox.db"
"""The file of versions 1 and 2."""
_SIDE_FILES = ("-shm", "-wal")


def rename_older(folder: Path, name: str) -> None:
    """Rename the file of an older release to the current name, unless it is missing or both exist.

    Raises OSError.  The log is renamed first: the presence of the file shows that the move is complete.
    """
    older, present = folder / OLDER_NAME, folder / name
    if present.exists() or not older.exists():
        return
    for suffix in (*_SIDE_FILES, ""):
        part = older.with_name(f"{OLDER_NAME}{suffix}")
        if part.exists():
            part.rename(present.with_name(f"{name}{suffix}"))
    sync_folder(folder)


def absorb_older(
    folder: Path, con: sqlite3.Connection, encoder: Encoder, mark: SeqMark, *, has_room: Callable[[int], bool]
) -> tuple[str, ...]:
    """Take over the file that an older release has left since a rollback; return what to report.

    An interrupted takeover is repeated: records are identified by their numbers.  Raises sqlite3.Error, OSError.
    """
    older = folder / OLDER_NAME
    if not older.exists():
        return ()
    with Wreck(older) as wreck:
        found = Rescue(con, encoder, has_room=has_room).absorb(wreck, mark)
    for suffix in (*_SIDE_FILES, ""):
        older.with_name(f"{OLDER_NAME}{suffix}").unlink(missing_ok=True)
    sync_folder(folder)
    told = f"{found.records} records and {found.pictures} pictures taken over from the release before"
    return (told if not found.damaged else f"{told}; its file was damaged, the rest is announced",)

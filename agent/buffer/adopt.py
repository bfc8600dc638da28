"""The file of an older release: renamed once, and taken over when a roll-back has made another.

Release 0.1 refuses a file of a newer version.  Each version that it could not read therefore has a file name of its
own: after a roll-back the older release finds no file, makes one, and goes on above the numbers that were given out
(``outbox.seq``).  When the newer release comes back, it takes over what that file holds.
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
    """Give the file of an older release the present name; nothing where there is none, or both are there.

    Raises OSError.  The log goes first: the file itself is what says that the move was made.
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
    """Take over what an older release has left since a roll-back; return what is worth telling.

    Cut short anywhere, it is repeated as a whole: records are known by their numbers.  Raises sqlite3.Error, OSError.
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

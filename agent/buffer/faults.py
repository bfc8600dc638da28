"""Classifies disk errors by what to do: free space, wait and reopen, or check for damage."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from agent.errors import OutboxDiskError, OutboxError, OutboxFullError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PERHAPS_FULL = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC})
_NOT_TAKEN = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_BUSY,
    }
)
_UNREADABLE = frozenset(
    {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
)
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_SCHEMA,
    }
)
"""Errors that do not indicate damage of the file."""
_PRIMARY = 0xFF
"""Mask of a result code without what SQLite adds to it (sqlite.org/rescode.html)."""


def classify_error(
    error: sqlite3.Error | OSError, path: Path, *, nothing_free: Callable[[], bool] = lambda: False
) -> OutboxError:
    """Return OutboxFullError or OutboxDiskError, otherwise OutboxError."""
    if is_full(error, nothing_free):
        return OutboxFullError(f"{path}: the disk is full ({error}); nothing was lost; free some space")
    if is_unreadable(error):
        return OutboxDiskError(
            f"{path}: read failed ({error}); nothing was lost, it is retried; if this persists, the file is damaged"
        )
    if isinstance(error, OSError) or _code(error) & _PRIMARY in _NOT_TAKEN:
        return OutboxDiskError(
            f"{path}: write failed ({error}); nothing was lost, it is retried: "
            "is the card worn out, or mounted read-only?"
        )
    return OutboxError(f"{path}: {error}")


def is_unreadable(error: sqlite3.Error | OSError) -> bool:
    """True for a failed or wrong read: a single one may be transient, repeated ones are damage.

    SQLite reports a failed read of a page as corruption (SQLITE_IOERR_CORRUPTFS becomes SQLITE_CORRUPT in a statement).
    """
    if not isinstance(error, sqlite3.Error):
        return False
    return _code(error) in _UNREADABLE or _code(error) & _PRIMARY in _CORRUPT


def is_contradiction(error: sqlite3.Error | OSError) -> bool:
    """True if the file was read and its contents are not what this program writes: a retry would not help.

    A missing table or column, invalid UTF-8, a duplicate number.  A failing disk reports other errors.
    """
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return False
    return not is_unreadable(error) and _code(error) & _PRIMARY not in _NOT_TAKEN | _PASSING


def means_damage(error: sqlite3.Error | OSError) -> bool:
    """True for all errors that, if they persist, only a damaged file explains."""
    return is_unreadable(error) or is_contradiction(error)


def is_full(error: sqlite3.Error | OSError, nothing_free: Callable[[], bool] = lambda: False) -> bool:
    """True if the disk is full."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    code = _code(error)
    # A full disk may also be reported as a failed write of the log or its index; so may a failing disk.
    return code == sqlite3.SQLITE_FULL or (code in _PERHAPS_FULL and nothing_free())


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))

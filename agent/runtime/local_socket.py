"""A listening UNIX socket: created with restricted permissions, removed at the end."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODE = 0o660
SUFFIX = ".new"
_BACKLOG = 8


class LocalSocket:
    """A listening UNIX socket."""

    def __init__(self, path: Path) -> None:
        """The agent's user and the group of the socket may connect: the process's, or that of a setgid folder.

        A socket left by an earlier process is replaced.  Raises OSError if the socket cannot be created, or if
        ``path`` exists and is not a socket.
        """
        self._path = path
        _refuse_other_files(path)
        # Created under a temporary name and renamed: it is listening, and its permissions are set, once it is visible.
        fresh = path.with_name(path.name + SUFFIX)
        fresh.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.listener.setblocking(False)
            self.listener.bind(os.fspath(fresh))
            fresh.chmod(MODE)
            self.listener.listen(_BACKLOG)
            self._identity = _identity(fresh)
            fresh.replace(path)
        except OSError:
            self.listener.close()
            raise

    def accept(self) -> socket.socket | None:
        """Return the next connection; None if it is gone already.  Raises OSError if none can be accepted any more."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            return self.listener.accept()[0]
        return None

    def close(self) -> None:
        """Stop listening and remove the file, unless it is another process's."""
        self.listener.close()
        with suppress(FileNotFoundError):
            if _identity(self._path) == self._identity:
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _refuse_other_files(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} exists and is not a socket: remove it, or configure another path")

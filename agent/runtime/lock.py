"""One writer for a state folder: the agent, or a command that changes the outbox."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.errors import StateFolderInUseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = "agent.lock"


@contextmanager
def state_folder(folder: Path) -> Iterator[None]:
    """Hold the folder, which is made if it is missing; the kernel lets go when the process ends, however it ends.

    Raises StateFolderInUseError when another process holds it or the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateFolderInUseError(
            f"{folder}: cannot be written ({error.strerror}): check its rights, or run as the user patrol-lpr"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            raise StateFolderInUseError(
                f"{folder}: in use by another patrol-lpr{f' (process {holder})' if holder else ''}: stop it first, "
                "or set another state_dir"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(handle)

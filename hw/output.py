"""Files that a person named: whole or not at all, and nothing but the contents of a regular file is replaced."""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from protocol.errors import PatrolError

if TYPE_CHECKING:
    from collections.abc import Iterator


class OutputError(PatrolError):
    """What a person asked for cannot be written where they asked for it; nothing that lay there was changed."""


_IN_MEMORY_BYTES = 2**20
_OWN, _OTHERS = 0o600, 0o666


@contextmanager
def output(path: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """Open what becomes the contents of ``path`` when the block ends without an error.

    Links are followed.  A regular file is replaced atomically (rename(2)) and keeps its rights; a new one gets those
    that the umask leaves, one that is ``private`` those of its owner alone.  What is no regular file, such as a pipe
    or a device, and what this process has open already (/dev/stdout), is written into.

    Raises OutputError, also for an OSError of the block.
    """
    try:
        found = _status(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if found is not None and (not stat.S_ISREG(found.st_mode) or _is_open_already(path)):
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as aside:
                yield aside
                aside.seek(0)
                # Appending: a shell that opened it for several commands goes on where this one ends.
                with path.open("ab") as out:
                    shutil.copyfileobj(aside, out)
            return
        with _replacing(Path(os.path.realpath(path)), found, private=private) as file:
            yield file
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; name a file in a folder that you may write to"
        ) from error


def check_output(path: Path) -> None:
    """Raise OutputError if ``output`` would certainly fail: before work that takes long.  Writes nothing."""
    try:
        found = _status(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        written = path if found is not None and not stat.S_ISREG(found.st_mode) else _first_there(path)
        if not os.access(written, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; name a file in a folder that you may write to"
        ) from error


def _first_there(path: Path) -> Path:
    """The folder in which the file will be, or the first one above that there is."""
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return folder


@contextmanager
def text_output(path: Path, *, private: bool = False) -> Iterator[IO[str]]:
    """Text, UTF-8, line ends as written; else as ``output``."""
    with output(path, private=private) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        yield text
        text.detach()


@contextmanager
def _replacing(target: Path, found: os.stat_result | None, *, private: bool) -> Iterator[IO[bytes]]:
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    rights = _OWN if private or found is not None else _OTHERS
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, rights)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if found is not None:
                _keep_rights(file.fileno(), found, private=private)
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder (fsync(2) of a file does not).  Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep_rights(handle: int, found: os.stat_result, *, private: bool) -> None:
    with suppress(PermissionError):  # root can keep the owner; for others the file is their own now
        os.fchown(handle, found.st_uid, found.st_gid)
    os.fchmod(handle, _OWN if private else stat.S_IMODE(found.st_mode))


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_open_already(path: Path) -> bool:
    """True for a link to an open file of this process: /dev/stdout, /dev/fd/3, /proc/self/fd/1."""
    for _ in range(40):  # as many links as the kernel follows
        if os.path.realpath(path.parent).startswith("/proc/"):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False

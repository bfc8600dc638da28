"""Lines that libraries in C write to standard error themselves, such as libjpeg's and FFmpeg's, are not shown."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_STDERR = 2


@contextmanager
def library_lines_hidden() -> Iterator[None]:
    """Send file descriptor 2 to the null device; what Python writes to ``sys.stderr`` still arrives.

    For the whole of a command that runs no other threads yet: the descriptor belongs to the process.
    """
    own, shown = sys.stderr, os.dup(_STDERR)
    null = os.open(os.devnull, os.O_WRONLY)
    own.flush()
    os.dup2(null, _STDERR)
    os.close(null)
    moved = None
    if _is_descriptor(own):
        moved = io.TextIOWrapper(os.fdopen(os.dup(shown), "wb", 0), own.encoding, own.errors, write_through=True)
        sys.stderr = moved
    try:
        yield
    finally:
        os.dup2(shown, _STDERR)
        os.close(shown)
        sys.stderr = own
        if moved is not None:
            moved.close()


def _is_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STDERR
    except (OSError, ValueError):
        return False

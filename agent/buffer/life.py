"""The id of this unit's series, in a small file of its own beside the outbox.

A unit whose card or state folder was replaced counts from 1 again.  Every record names the life that it belongs to, and
is signed with it, so the station tells the new series from the old one.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from agent.buffer.adopt import sources
from agent.buffer.mark import write_durably
from agent.buffer.opening import MARK_NAME
from agent.buffer.outbox import FILE_NAME
from agent.errors import OutboxError
from protocol.wire.record import LIFE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIFE_NAME = "outbox.life"


def life_of(folder: Path, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """Return the life of the outbox in a folder; a folder without an outbox begins a new one, durably.

    Empty for an outbox that was made before there were lives, whose series goes on as it began, and if the file of the
    life is damaged: reads are kept whatever happened, and the station shows the numbers that its series lacks.  Raises
    OutboxError if the folder cannot be written.
    """
    path = folder / LIFE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return _read(path)
        if (folder / FILE_NAME).exists() or (folder / MARK_NAME).exists() or sources(folder):
            return b""
        life = random_bytes(LIFE_BYTES)
        write_durably(path, f"{life.hex()}\n".encode())
    except OSError as error:
        raise OutboxError(f"{path}: {error}; check the disk and its permissions") from error
    return life


def _read(path: Path) -> bytes:
    try:
        life = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        # Written by rename after fsync, so a torn file means a failing disk.
        return b""
    return life if len(life) == LIFE_BYTES else b""

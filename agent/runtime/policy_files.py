"""Small files of the policy: the key for hashes of plates, and the last time that was believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agent.buffer.mark import write_durably
from agent.policy.hashing import KEY_BYTES
from protocol.errors import KeyFileError

if TYPE_CHECKING:
    from pathlib import Path

_LOG = structlog.get_logger(__name__)
TIME_FILE = "believed-time"
"""In the state folder."""
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class TimeFile:
    """UTC in microseconds, as text."""

    path: Path

    def load(self) -> int | None:
        """Return it; None if there is none."""
        try:
            return int(self.path.read_bytes())
        except (OSError, ValueError):
            return None

    def save(self, utc_us: int) -> None:
        """Replace it; a failure is logged, the next save follows."""
        try:
            write_durably(self.path, f"{utc_us}\n".encode())
        except OSError as error:
            _LOG.warning("time_not_saved", reason=str(error))


def load_hash_key(path: Path | None) -> bytes | None:
    """Return the key for hashes of plates; None if none is configured.  Raises KeyFileError."""
    if path is None:
        return None
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
        key = bytes.fromhex(text.strip())
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{path}: not a key for hashes; create one with `patrol-lpr keys hash`") from error
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"{path}: the key has {len(key)} bytes, it must have {KEY_BYTES}")
    if mode & _OTHERS:
        raise KeyFileError(f"{path}: other users may read this key; run chmod 600 {path}")
    return key

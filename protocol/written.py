"""Files that people write or name: read whole or refused, never in part, and no device is read without end."""

from __future__ import annotations

import codecs
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAX_WRITTEN_BYTES = 16 * 2**20
"""Above what anybody writes; a roster of ten thousand officers has 3 MB."""
MAX_SECRET_BYTES = 64 * 2**10
"""Of a file with a password, a secret, a signature or a certificate."""
_MEBI, _KIBI = 2**20, 2**10


class WrittenFileError(ValueError):
    """The contents cannot be used; the message does not name the file."""


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file.  Raises OSError, and WrittenFileError if it has more than ``limit`` bytes, as an endless device."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        size = f"{limit // _MEBI} MiB" if limit >= _MEBI else f"{limit // _KIBI} KiB"
        raise WrittenFileError(f"larger than {size}, which no file of this kind is")
    return data


def read_written(path: Path, limit: int = MAX_WRITTEN_BYTES) -> str:
    """Read a text in UTF-8, with or without the mark that editors of Windows put first.

    Raises OSError and WrittenFileError.
    """
    return text_of(read_bounded(path, limit))


def text_of(data: bytes) -> str:
    """Decode UTF-8; raises WrittenFileError."""
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise WrittenFileError(f"not UTF-8 at byte {error.start + 1}; save it as UTF-8") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML; raises WrittenFileError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrittenFileError(f"not TOML: {error}") from error
    except RecursionError:
        raise WrittenFileError("not TOML: nested too deeply") from None

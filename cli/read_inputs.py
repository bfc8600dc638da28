"""The inputs of ``patrol-lpr read``: pictures, videos, and the errors of all others.

An input that cannot be read is reported, the others are read, and the exit status is 1.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hw.images import IMAGE_SUFFIXES, PictureKind, kind_of
from hw.video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD_BYTES = 400
_SYNC, _PACKETS = 0x47, (188, 192)
"""How packets of an MPEG transport stream begin, and how long they are."""
_JPEG_STREAMS = frozenset({".mjpg", ".mjpeg"})
"""Videos that begin as a picture does: JPEG files end to end."""
_ASK = f"expected a picture ({', '.join(PictureKind)}), a video or a folder of them"
_RAW = frozenset({".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"})
"""Files of cameras; many are TIFF files whose first picture is a preview."""
_OTHER_PICTURES = frozenset(
    _RAW | {".jp2", ".j2k", ".jxl", ".psd", ".exr", ".hdr", ".tga", ".ppm", ".pgm", ".pnm", ".heics"}
)
"""Picture formats that are not supported: in a folder they are reported as errors, other unknown files as a note."""


@dataclass(slots=True)
class Inputs:
    """The inputs, in the order given."""

    images: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    """Name, and why it is not read."""
    notes: list[str] = field(default_factory=list)
    """Messages that are not errors."""


def expand(names: Iterable[str]) -> Inputs:
    """Classify the inputs; folders are searched recursively, names with a leading dot are skipped."""
    found = Inputs()
    for name in names:
        if not name:
            found.wrong.append((name, f"empty name: {_ASK}"))
            continue
        path = Path(name)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            found.wrong.append((name, f"{name}: {error.strerror or error}"))
        except ValueError as error:
            found.wrong.append((name, f"{name}: {error}"))
        else:
            if stat.S_ISDIR(mode):
                _search(path, found)
            elif stat.S_ISREG(mode):
                _add_file(path, found)
            else:
                found.wrong.append((name, f"{name}: not a regular file"))
    return found


def _add_file(path: Path, found: Inputs) -> None:
    """Add a named file; its contents take precedence over its name."""
    suffix = path.suffix.lower()
    try:
        kind = kind_of(_head(path))
    except OSError as error:
        found.wrong.append((str(path), f"{path}: {error.strerror or error}"))
        return
    if kind is PictureKind.JPEG and suffix in _JPEG_STREAMS:
        found.videos.append(path)
    elif kind is PictureKind.TIFF and suffix in _RAW:
        found.wrong.append((str(path), _other(path)))
    elif kind is not None or (suffix in IMAGE_SUFFIXES and suffix not in VIDEO_SUFFIXES):
        found.images.append(path)
    elif suffix in VIDEO_SUFFIXES:
        found.videos.append(path)
    elif suffix in _OTHER_PICTURES:
        found.wrong.append((str(path), _other(path)))
    else:
        found.wrong.append((str(path), f"{path}: neither a picture nor a video that is read; {_ASK}"))


def _other(path: Path) -> str:
    return f"{path}: {path.suffix.lower()} is not read; convert it to JPEG, PNG or TIFF"


def _search(folder: Path, found: Inputs) -> None:
    """Add all files below a folder, sorted by name; unreadable folders are reported."""
    before = len(found.images) + len(found.videos)
    unread: Counter[str] = Counter()

    def on_error(error: OSError) -> None:
        name = str(error.filename or folder)
        found.wrong.append((name, f"{name}: folder cannot be read: {error.strerror}"))

    failures = len(found.wrong)
    for root, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [str(link) for name in folders if (link := Path(root) / name).is_symlink()]
        found.notes += [f"{link}: link to a folder, not followed; name it to read it" for link in links]
        for name in sorted(name for name in files if not name.startswith(".")):
            _add_found(Path(root) / name, found, unread)
    if unread:
        kinds = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in sorted(unread.items()))
        found.notes.append(f"{folder}: skipped, neither pictures nor videos: {kinds}")
    if len(found.images) + len(found.videos) == before and len(found.wrong) == failures:
        found.wrong.append((str(folder), f"{folder}: contains no pictures or videos"))


def _add_found(path: Path, found: Inputs, unread: Counter[str]) -> None:
    """Add a file found in a folder, by its suffix."""
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            found.wrong.append((str(path), f"{path}: not a regular file, or a broken link"))
        elif suffix in IMAGE_SUFFIXES or (not suffix and _begins_like_a_picture(path)):
            found.images.append(path)
        elif suffix in VIDEO_SUFFIXES and (suffix != ".ts" or is_transport_stream(_head(path))):
            found.videos.append(path)
        elif suffix in _OTHER_PICTURES:
            found.wrong.append((str(path), _other(path)))
        else:
            unread[suffix] += 1
    except OSError as error:
        found.wrong.append((str(path), f"{path}: {error.strerror or error}"))


def _begins_like_a_picture(path: Path) -> bool:
    """Not if only the two letters of a BMP say so: a text may begin with them."""
    return kind_of(_head(path)) not in {None, PictureKind.BMP}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def is_transport_stream(head: bytes) -> bool:
    """Distinguish MPEG transport streams from TypeScript files (ISO/IEC 13818-1: packets start with 0x47)."""
    return any(
        len(head) > start + size and head[start] == head[start + size] == _SYNC
        for size in _PACKETS
        for start in (0, size - 188)
    )

"""Write an image to a card and read it back.  Dry by default; never a disk that is in use."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 4 * 2**20
_MOST_CARD_BYTES = 256 * 2**30
"""Above this it is no card."""


def check_image(image: Path) -> str:
    """Hold an image to IMAGE.sha256 beside it; return the hash.  Raises ProvisionError."""
    listed = image.with_name(f"{image.name}.sha256")
    try:
        expected = listed.read_text(encoding="ascii").split()[0]
        with image.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise ProvisionError(f"{image}: cannot be checked against {listed.name}: {error}") from error
    if found != expected:
        raise ProvisionError(
            f"{image}: its hash is {found[:16]}..., {listed.name} says {expected[:16]}...: do not use it"
        )
    return found


def check_target(target: Path, image: Path, *, mounts: Path = Path("/proc/self/mounts")) -> int:
    """Return the target's size in bytes; raises ProvisionError when it is no card that may be overwritten."""
    try:
        mode = target.stat().st_mode
    except OSError as error:
        raise ProvisionError(f"{target}: {error.strerror}") from error
    if not (stat.S_ISBLK(mode) or stat.S_ISREG(mode)):
        raise ProvisionError(f"{target}: neither a block device nor a file")
    real = target.resolve()
    for line in mounts.read_text(encoding="utf-8").splitlines():
        source = Path(line.split()[0])
        if str(source).startswith("/dev/") and _is_part_of(source.resolve(), real):
            raise ProvisionError(f"{target}: {source} is mounted at {line.split()[1]}; this disk is in use")
    size = size_of(real)
    if size > _MOST_CARD_BYTES:
        raise ProvisionError(f"{target}: {size / 2**30:.0f} GiB is no card")
    if size < image.stat().st_size:
        raise ProvisionError(f"{target}: too small: {size:,} bytes for an image of {image.stat().st_size:,}")
    return size


def size_of(path: Path) -> int:
    """Bytes of a device or file."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def _is_part_of(device: Path, disk: Path) -> bool:
    """True for the disk itself and its partitions (sdb1, mmcblk0p2)."""
    rest = str(device).removeprefix(str(disk))
    return rest != str(device) and (not rest or rest.lstrip("p").isdecimal())


def write(image: Path, target: Path, *, expected: str, progress: Callable[[str, int], None]) -> None:
    """Write, flush, read back and compare; ``progress`` hears the step and its bytes.  Raises ProvisionError."""
    size = image.stat().st_size
    try:
        with image.open("rb") as source, target.open("r+b", buffering=0) as card:
            while block := source.read(_BLOCK):
                card.write(block)
                progress("write", len(block))
            os.fsync(card.fileno())
            # What comes back must come from the card, not from memory.
            os.posix_fadvise(card.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        digest = hashlib.sha256()
        with target.open("rb", buffering=0) as card:
            left = size
            while left:
                block = card.read(min(_BLOCK, left))
                if not block:
                    break
                digest.update(block)
                left -= len(block)
                progress("verify", len(block))
    except OSError as error:
        raise ProvisionError(f"{target}: {error.strerror}: the card may be worn or locked") from error
    if digest.hexdigest() != expected:
        raise ProvisionError(f"{target}: what was read back differs from the image: throw this card away")

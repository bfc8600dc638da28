"""Write an image to a card and read it back.  Dry run by default; never a disk that is in use."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.image import boot_and_root

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 4 * 2**20
_MAX_CARD_BYTES = 256 * 2**30
"""Larger disks are not cards."""


def check_image(image: Path) -> str:
    """Check an image against IMAGE.sha256; return the hash.  Raises ProvisionError."""
    boot_and_root(image)
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
    """Return the target's size in bytes; raises ProvisionError if it is not a card that can be overwritten."""
    try:
        mode = target.stat().st_mode
        if not (stat.S_ISBLK(mode) or stat.S_ISREG(mode)):
            raise ProvisionError(f"{target}: neither a block device nor a file")
        check_unused(target, mounts=mounts)
        size = size_of(target)
    except PermissionError as error:
        raise ProvisionError(f"{target}: reading disks requires root: run the command with sudo") from error
    except OSError as error:
        raise ProvisionError(f"{target}: {error.strerror}; `lsblk` lists the disks") from error
    if size > _MAX_CARD_BYTES:
        raise ProvisionError(f"{target}: {size / 2**30:.0f} GiB is too large for a card; `lsblk` lists the disks")
    if size < image.stat().st_size:
        raise ProvisionError(
            f"{target}: too small: {size:,} bytes for an image of {image.stat().st_size:,}; use a larger card"
        )
    return size


def check_unused(target: Path, *, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raise ProvisionError if any part of a disk is mounted, used as swap, or belongs to LVM, RAID or encryption."""
    real = target.resolve()
    if not real.exists():
        raise ProvisionError(f"{target}: no such file or device; `lsblk` lists the disks")
    for line in mounts.read_text(encoding="utf-8").splitlines():
        source = Path(line.split()[0])
        if str(source).startswith("/dev/") and _is_part_of(source.resolve(), real):
            raise ProvisionError(
                f"{target}: {source} is mounted at {line.split()[1]}; the disk is in use;"
                " if it is the card, unmount it first"
            )
    if not stat.S_ISBLK(real.stat().st_mode):
        return
    try:
        # The kernel's own word: it holds a disk for whoever uses any part of it.
        os.close(os.open(real, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise ProvisionError(
                f"{target}: this disk is in use (mounted, swap, or part of an encrypted or RAID volume)"
            ) from error
        raise


def size_of(path: Path) -> int:
    """Size of a device or file in bytes."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def _is_part_of(device: Path, disk: Path) -> bool:
    """True for the disk itself and its partitions (sdb1, mmcblk0p2)."""
    rest = str(device).removeprefix(str(disk))
    return rest != str(device) and (not rest or rest.lstrip("p").isdecimal())


def write(image: Path, target: Path, *, expected: str, progress: Callable[[str, int], None]) -> None:
    """Write, flush, read back and compare; ``progress`` gets step and bytes.  Raises ProvisionError."""
    size = image.stat().st_size
    done = {"writing": 0, "reading back": 0}
    step = "writing"

    def count(name: str, count_bytes: int) -> None:
        done[step] += count_bytes
        progress(name, count_bytes)

    try:
        _write(image, target, lambda count_bytes: count("write", count_bytes))
        step = "reading back"
        found = _read_back(target, size, lambda count_bytes: count("verify", count_bytes))
    except OSError as error:
        raise ProvisionError(
            f"{target}: failed {step} after {done[step]:,} of {size:,} bytes: {error.strerror}: check that"
            " the card is inserted, not write-protected and not worn out.  It is not usable: flash it again"
        ) from error
    if done["reading back"] != size:
        raise ProvisionError(
            f"{target}: only {done['reading back']:,} of {size:,} bytes could be read back: the card was"
            " removed, or is smaller than it claims; do not use it"
        )
    if found != expected:
        raise ProvisionError(f"{target}: data read back differs from the image: discard this card")


def _write(image: Path, target: Path, progress: Callable[[int], None]) -> None:
    exclusive = os.O_EXCL if stat.S_ISBLK(target.stat().st_mode) else 0
    handle = os.open(target, os.O_WRONLY | os.O_CLOEXEC | exclusive)
    with image.open("rb") as source, os.fdopen(handle, "wb", buffering=0) as card:
        while block := source.read(_BLOCK):
            left = memoryview(block)
            while left:
                left = left[card.write(left) :]
            progress(len(block))
        os.fsync(card.fileno())
        # What comes back must come from the card, not from memory.
        os.posix_fadvise(card.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_back(target: Path, size: int, progress: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with target.open("rb", buffering=0) as card:
        left = size
        while left and (block := card.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
            progress(len(block))
    return digest.hexdigest()

"""Install the product into a Raspberry Pi OS or Debian image, without mounting its boot partition.

The boot partition (FAT) is written with mtools at its offset, the root partition (ext4) through a loop device at its
offset: both work on kernels without support for FAT and partition tables.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from provision.card import CARD, load_card
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECTOR = 512
_SIGNATURE = b"\x55\xaa"
_FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E})
_LINUX_TYPE = 0x83
_ENABLED = (
    "patrol-lpr.service",
    "patrol-lpr-setup.service",
    "patrol-lpr-enrol.service",
    "patrol-lpr-poweroff.path",
    "patrol-lpr-update.path",
    "patrol-lpr-confirm.path",
)
_TIMERS = ("patrol-lpr-renew.timer",)
_STARTED_BY_OTHERS = (
    "patrol-lpr-poweroff.service",
    "patrol-lpr-renew.service",
    "patrol-lpr-update.service",
    "patrol-lpr-confirm.service",
    "patrol-lpr-trial.timer",
    "patrol-lpr-trial.service",
    "patrol-lpr-firewall.service",
    "patrol-lpr-console.service",
)
_UNITS = (*_ENABLED, *_TIMERS, *_STARTED_BY_OTHERS)
_FILES = {
    "patrol-lpr.sysusers.conf": "usr/lib/sysusers.d/patrol-lpr.conf",
    "patrol-lpr.tmpfiles.conf": "usr/lib/tmpfiles.d/patrol-lpr.conf",
    "patrol-lpr.nft": "usr/lib/patrol-lpr/patrol-lpr.nft",
    "99-patrol-gnss.rules": "etc/udev/rules.d/99-patrol-gnss.rules",
    "journald-patrol-lpr.conf": "etc/systemd/journald.conf.d/patrol-lpr.conf",
    "watchdog-patrol-lpr.conf": "etc/systemd/system.conf.d/patrol-lpr.conf",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of a DOS partition table."""

    kind: int
    offset_bytes: int
    size_bytes: int


def partitions(image: Path) -> list[Partition]:
    """Read the DOS partition table; raises ProvisionError if there is none."""
    try:
        with image.open("rb") as file:
            sector = file.read(_SECTOR)
    except OSError as error:
        raise ProvisionError(f"{image}: cannot be read: {error.strerror}") from error
    if len(sector) < _SECTOR or sector[-2:] != _SIGNATURE:
        raise ProvisionError(
            f"{image}: no partition table, so not a disk image; decompress it first (unxz, unzip)"
        )
    found = []
    for index in range(4):
        entry = sector[446 + 16 * index :][:16]
        start, count = struct.unpack_from("<II", entry, 8)
        if entry[4] and count:
            found.append(Partition(entry[4], start * _SECTOR, count * _SECTOR))
    return found


def boot_and_root(image: Path) -> tuple[Partition, Partition]:
    """Return the FAT and the Linux partition; raises ProvisionError if one is missing."""
    found = partitions(image)
    boot = next((p for p in found if p.kind in _FAT_TYPES), None)
    root = next((p for p in found if p.kind == _LINUX_TYPE), None)
    if boot is None or root is None:
        raise ProvisionError(
            f"{image}: needs a FAT and a Linux partition, has types {[hex(p.kind) for p in found]}"
        )
    return boot, root


def build(base: Path, out: Path, *, systemd: Path, wheels: Path) -> None:
    """Create an image for a whole fleet from a base image, without secrets.  Needs root for the loop mount."""
    part, digest_file = out.with_name(f"{out.name}.part"), out.with_name(f"{out.name}.sha256")
    for path in (out, digest_file):
        if path.exists():
            raise ProvisionError(f"{path}: already exists; images are never overwritten")
    if not any(wheels.glob("patrol_lpr-*.whl")):
        raise ProvisionError(f"{wheels}: no patrol_lpr wheel; run: pip wheel . -w {wheels}")
    _, root = boot_and_root(base)
    _check_before(base, out, systemd)
    try:
        shutil.copyfile(base, part)
        with _mounted(part, root) as mount:
            install_into(mount, systemd=systemd, wheels=wheels)
        _check_file_system(part, root)
        digest_file.write_text(f"{_sha256(part)}  {out.name}\n", encoding="ascii")
        part.replace(out)
    except BaseException as error:
        part.unlink(missing_ok=True)
        digest_file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ProvisionError(f"{out}: cannot be made: {error.strerror}; nothing was left behind") from error
        raise


def _check_before(base: Path, out: Path, systemd: Path) -> None:
    """Raise ProvisionError for what would only show after gigabytes were copied."""
    if not out.parent.is_dir():
        raise ProvisionError(f"{out.parent}: no such folder; make it first")
    size, free = base.stat().st_size, shutil.disk_usage(out.parent).free
    if free < size:
        raise ProvisionError(f"{out.parent}: the image needs {size:,} bytes, {free:,} are free; use another disk")
    for name in (*_UNITS, *_FILES):
        if not (systemd / name).exists():
            raise ProvisionError(f"{systemd / name}: missing; run from a checkout or give the folder")
    for tool in ("mount", "umount", "e2fsck"):
        _tool(tool)


def install_into(root: Path, *, systemd: Path, wheels: Path) -> None:
    """Copy units and wheels into a root folder and enable the units; first boot creates the environment."""
    for name in _UNITS:
        _copy(systemd / name, root / "etc/systemd/system" / name)
    for name, target in _FILES.items():
        _copy(systemd / name, root / target)
    for target, names in (("multi-user.target", _ENABLED), ("timers.target", _TIMERS)):
        wants = root / f"etc/systemd/system/{target}.wants"
        wants.mkdir(parents=True, exist_ok=True)
        for name in names:
            link = wants / name
            link.unlink(missing_ok=True)
            link.symlink_to(f"/etc/systemd/system/{name}")
    command = root / "usr/local/bin/patrol-lpr"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.unlink(missing_ok=True)
    command.symlink_to("/opt/patrol-lpr/bin/patrol-lpr")
    for wheel in sorted(wheels.glob("*.whl")):
        _copy(wheel, root / "opt/patrol-lpr/wheels" / wheel.name)
    # Each unit gets its own identity at its first boot.
    machine = root / "etc/machine-id"
    machine.parent.mkdir(parents=True, exist_ok=True)
    machine.write_bytes(b"")


def put_card(image: Path, card: Path) -> None:
    """Write a unit's card into the boot partition of an image; raises ProvisionError."""
    load_card(card)
    boot, _ = boot_and_root(image)
    drive = f"{image}@@{boot.offset_bytes}"
    subprocess.run(  # noqa: S603 - a program found by name, arguments of our own
        [_tool("mmd"), "-D", "s", "-i", drive, "::/patrol-lpr"], capture_output=True, check=False
    )
    _run("mcopy", "-o", "-i", drive, str(card), f"::/patrol-lpr/{CARD}")


@contextmanager
def _mounted(image: Path, root: Partition) -> Iterator[Path]:
    with TemporaryDirectory(prefix="patrol-image-") as name:
        options = f"loop,offset={root.offset_bytes},sizelimit={root.size_bytes}"
        _run("mount", "-t", "ext4", "-o", options, str(image), name)
        try:
            yield Path(name)
        finally:
            _run("umount", name)


def _check_file_system(image: Path, root: Partition) -> None:
    _run("e2fsck", "-fn", f"{image}?offset={root.offset_bytes}")


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise ProvisionError(f"{source}: missing; run from a checkout or give the folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise ProvisionError(f"{name} is missing; on Debian: apt-get install mtools e2fsprogs mount")
    return found


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - as above
        [_tool(name), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ProvisionError(f"{name}: {(done.stderr or done.stdout).strip()[-300:]}")

"""Just enough to mount the root partition: busybox and a few modules of Debian's own kernel."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.chroot import run, tool

if TYPE_CHECKING:
    from pathlib import Path

FOR_ROOT = ("virtio_pci", "virtio_blk", "bcm2835", "sdhci-iproc", "crc32c_generic", "ext4", "i6300esb")
"""Disks of `-M virt` and cards of `-M raspi3b`, the file system, the watchdog of `-M virt` (a Pi's kernel has its own).

The one of `-M raspi3b` is left out: QEMU's bites as soon as it is armed.
"""
FOR_UNITS = ("vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "virtio_net")
_INIT = """#!/bin/sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do $b insmod /modules/$module; done
for word in $($b cat /proc/cmdline); do case $word in root=*) root=${word#root=};; esac; done
tries=0
while [ ! -b $root ] && [ $tries -lt 300 ]; do $b sleep 0.1; tries=$((tries+1)); done
$b mount -t ext4 -o rw $root /root || { echo INITRAMFS: no root; exec $b sh; }
$b mount --move /dev /root/dev; $b umount /proc; $b umount /sys
exec $b switch_root /root /sbin/init
"""


def release(kernel: Path) -> str:
    """Of the one kernel in an unpacked package."""
    (found,) = (kernel / "lib/modules").iterdir()
    return found.name


def install_modules(kernel: Path, root: Path, wanted: tuple[str, ...]) -> list[Path]:
    """Copy modules and what they need into a root; return them in the order in which they can be loaded."""
    version = release(kernel)
    source = kernel / "lib/modules" / version
    if not (source / "modules.dep").exists():
        run(tool("depmod"), "-b", str(kernel), version)
    needs = dict(line.split(":", 1) for line in (source / "modules.dep").read_text().splitlines())
    paths = {name.rpartition("/")[2].partition(".")[0].replace("-", "_"): name for name in needs}
    order: list[str] = []
    for name in wanted:
        path = paths[name.replace("-", "_")]
        # modules.dep lists a module before what it needs.
        order += [p for p in (*reversed(needs[path].split()), path) if p not in order]
    target = root / "lib/modules" / version
    for name in order:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target / name)
    for file in source.glob("modules.builtin*"):
        shutil.copy(file, target)
    shutil.copy(source / "modules.order", target)
    run(tool("depmod"), "-b", str(root), version)
    return [target / name for name in order]


def make(kernel: Path, busybox: Path, folder: Path) -> Path:
    """An initramfs in a folder; ``busybox`` is a static one for the guest."""
    tree = folder / "initramfs"
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/busybox")
    (tree / "bin/sh").symlink_to("busybox")
    order = install_modules(kernel, folder / "modules", FOR_ROOT)
    for module in order:
        shutil.copy(module, tree / "modules")
    (tree / "modules/order").write_text("\n".join(module.name for module in order) + "\n")
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    out = folder / "initramfs.cpio"
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with out.open("wb") as file:
        subprocess.run(
            [tool("cpio"), "-o", "-H", "newc", "--quiet"], input=names.encode(), stdout=file, cwd=tree, check=True
        )
    return out

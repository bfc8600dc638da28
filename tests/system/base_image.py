"""A disk image with the layout of Raspberry Pi OS, made of a plain Debian: FAT boot partition, ext4 root."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

from tests.arm64 import base_system
from tests.chroot import run, tool
from tests.system.initramfs import FOR_ROOT, FOR_UNITS, install_modules

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
SIZE_MIB = 2048
"""A card must have a power of two for `-M raspi3b`."""
_BOOT_AT, _BOOT_MIB = 4, 40
_ROOT_AT = _BOOT_AT + _BOOT_MIB + 4
_ROOT_MIB = SIZE_MIB - _ROOT_AT - 8
_NETWORK = "[Match]\nName=en*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
# The journal is what the console shows, and the console is what the tests read.
_JOURNAL = "[Journal]\nForwardToConsole=yes\nTTYPath=/dev/console\nMaxLevelConsole=info\n"
# Raspberry Pi OS gives its header to the group gpio; the receiver of these boards is on a plain UART.
_UDEV = 'KERNEL=="ttyS0", SYMLINK+="patrol-gnss"\n'
_SHELL = """[Unit]
Description=a shell for the tests
[Service]
ExecStart=/bin/sh -c 'exec < /dev/ttyS1 > /dev/ttyS1 2>&1; stty raw -echo; echo shell; cat | /bin/bash'
Restart=always
[Install]
WantedBy=multi-user.target
"""
# An emulated core is twenty times slower than a Pi's.
_PATIENCE = "[Service]\nTimeoutStartSec=300\nWatchdogSec=120\n"
_MASKED = ("systemd-firstboot.service", "serial-getty@ttyAMA0.service", "serial-getty@ttyS0.service",
           "serial-getty@ttyS1.service", "getty@tty1.service", "apt-daily.timer", "apt-daily-upgrade.timer",
           "systemd-networkd-wait-online.service")  # fmt: skip


def make(kernel: Path, folder: Path, *, lgpio: Path) -> Path:
    """The image; ``lgpio`` is the wheel that stands in for the python3-lgpio of Raspberry Pi OS."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    run("tar", "-xf", str(base_system()), "-C", str(tree))
    _dress(tree)
    install_modules(kernel, tree, (*FOR_ROOT, *FOR_UNITS))
    with zipfile.ZipFile(lgpio) as wheel:
        wheel.extractall(tree / "usr/lib/python3/dist-packages")
    path = folder / "base.img"
    with path.open("wb") as file:
        file.truncate(SIZE_MIB * MIB)
    parts = ((_BOOT_AT, _BOOT_MIB, "c"), (_ROOT_AT, _ROOT_MIB, "83"))
    table = "label: dos\n" + "".join(f"start={at}MiB,size={mib}MiB,type={kind}\n" for at, mib, kind in parts)
    subprocess.run([tool("sfdisk"), "-q", str(path)], input=table, text=True, check=True, capture_output=True)
    fat = folder / "fat"
    fat.write_bytes(bytes(_BOOT_MIB * MIB))
    run(tool("mkfs.vfat"), "-F", "32", "-n", "bootfs", str(fat))
    run("dd", f"if={fat}", f"of={path}", "bs=1M", f"seek={_BOOT_AT}", "conv=notrunc", "status=none")
    run(tool("mke2fs"), "-q", "-F", "-t", "ext4", "-L", "rootfs", "-d", str(tree), "-E", f"offset={_ROOT_AT * MIB}",
        str(path), f"{_ROOT_MIB}M")  # fmt: skip
    shutil.rmtree(tree)
    fat.unlink()
    return path


def _dress(tree: Path) -> None:
    """What the maker of an operating system for this board would have seen to."""
    (tree / "boot/firmware").mkdir(parents=True)
    (tree / "etc/fstab").write_text("LABEL=bootfs /boot/firmware vfat defaults 0 2\n")
    (tree / "etc/hostname").write_text("unit\n")
    (tree / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    units = tree / "etc/systemd/system"
    for folder, name, text in (
        (tree / "etc/systemd/network", "wired.network", _NETWORK),
        (tree / "etc/systemd/journald.conf.d", "zz-console.conf", _JOURNAL),
        (tree / "etc/udev/rules.d", "90-board.rules", _UDEV),
        (units, "test-shell.service", _SHELL),
        (units / "patrol-lpr.service.d", "emulated.conf", _PATIENCE),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "test-shell.service").symlink_to("/etc/systemd/system/test-shell.service")
    (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")

"""How QEMU makes the two boards of these tests, with one kernel and one initramfs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.arm64 import kernel
from tests.chroot import run, tool
from tests.system import initramfs

if TYPE_CHECKING:
    from pathlib import Path

_QUIET = "rw console=ttyAMA0 quiet systemd.show_status=0"
_REVISION_3B = "a02082"
"""What the firmware of a Pi 3B tells; gpiozero asks for it."""
_VIRT = ("virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024")
_DTB_3B = "broadcom/bcm2837-rpi-3-b.dtb"


@dataclass(frozen=True, slots=True)
class Boards:
    """What every boot needs."""

    kernel: Path
    initrd: Path
    folder: Path

    def virt(self, card: Path) -> list[str]:
        """Two cores, a watchdog, a PL061 with eight pins, UARTs for receiver and shell; a clock that is right."""
        dtb = self.folder / "virt.dtb"
        if not dtb.exists():
            board, *rest = _VIRT
            run(
                tool("qemu-system-aarch64"),
                "-M",
                f"{board},dumpdtb={dtb}",
                *rest,
                "-display",
                "none",
                "-nodefaults",
            )
            run(tool("fdtput"), "-p", "-t", "x", str(dtb), "/system", "linux,revision", _REVISION_3B)
        return [
            "-M", *_VIRT, "-accel", "tcg,thread=multi", *self._boot("root=/dev/vda2"), "-dtb", str(dtb),
            "-drive", f"file={card},format=raw,if=virtio,cache=writeback",
            "-device", "pci-serial,chardev=gnss", "-device", "pci-serial,chardev=shell",
            "-device", "i6300esb", "-action", "watchdog=reset",
        ]  # fmt: skip

    def raspi3b(self, card: Path) -> list[str]:
        """A Pi 3B: its 54 pins, its card; no network, and a clock that starts when systemd was built."""
        dtb = self.folder / "pi3.dtb"
        if not dtb.exists():
            version = initramfs.release(self.kernel)
            shipped = self.kernel / f"usr/lib/linux-image-{version}" / _DTB_3B
            dtb.write_bytes(shipped.read_bytes())
            run(tool("fdtput"), "-p", "-t", "x", str(dtb), "/system", "linux,revision", _REVISION_3B)
        return [
            "-M", "raspi3b", "-no-reboot", *self._boot("root=/dev/mmcblk0p2"), "-dtb", str(dtb),
            "-drive", f"file={card},format=raw,if=sd,cache=writeback",
        ]  # fmt: skip

    def _boot(self, root: str) -> list[str]:
        vmlinuz = self.kernel / f"boot/vmlinuz-{initramfs.release(self.kernel)}"
        return ["-kernel", str(vmlinuz), "-initrd", str(self.initrd), "-append", f"{root} {_QUIET}"]


def prepare(folder: Path, busybox: Path) -> Boards:
    """Unpack the kernel, make the initramfs; ``busybox`` is the guest's static one."""
    unpacked = kernel(folder / "kernel")
    return Boards(unpacked, initramfs.make(unpacked, busybox, folder), folder)

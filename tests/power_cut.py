"""A disk whose power can be cut: a small ext4 on a loop device, shut down without flushing its journal."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_MEBI = 2**20


class CuttableDisk:
    """Mounted at ``mount``; needs root."""

    def __init__(self, folder: Path, *, mib: int = 32) -> None:
        assert os.geteuid() == 0, "cutting the power of a disk needs root: run the tests as root"
        self._image = folder / "disk.img"
        self.mount = folder / "disk"
        self.mount.mkdir()
        with self._image.open("wb") as file:
            file.truncate(mib * _MEBI)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self.power_on()

    def power_on(self) -> None:
        """Mount; the journal is replayed."""
        _run("mount", "-o", "loop", str(self._image), str(self.mount))
        self._is_on = True

    def cut(self) -> None:
        """Everything not on the disk is gone; whoever has files open gets errors from now on."""
        handle = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def abort(self) -> None:
        """Let ext4 meet an error as on a worn card: it turns read-only under whoever works on it."""
        # ext4(5), "abort": simulate the effects of calling ext4_abort().
        _run("mount", "-o", "remount,errors=remount-ro,abort", str(self.mount))
        with pytest.raises(OSError, match="Read-only"):
            (self.mount / "probe").touch()

    def remount(self, how: str) -> None:
        """``ro`` or ``rw``; for ``ro`` nobody may write."""
        _run("mount", "-o", f"remount,{how}", str(self.mount))

    def power_off(self) -> None:
        """Unmount; all files must be closed.

        A mount namespace that another process made meanwhile holds a copy of the mount: the next mount of the image
        would get the same, cut file system back.  What is on the disk is then copied to another image.
        """
        _run("umount", str(self.mount))
        self._is_on = False
        if self._is_held():
            os.sync()
            fresh = self._image.with_name(f"{self._image.name}+")
            shutil.copyfile(self._image, fresh)
            self._image = fresh

    def _is_held(self) -> bool:
        for path in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):  # let go just now
                if path.read_text(encoding="utf-8").strip() == str(self._image):
                    return True
        return False

    def release(self) -> None:
        """Unmount whatever a failed test has left open."""
        if self._is_on:
            _run("umount", "--lazy", str(self.mount))
            self._is_on = False


def _run(program: str, *arguments: str) -> None:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert path, f"{program} is missing; run: make system-packages"
    subprocess.run([path, *arguments], check=True, capture_output=True)

"""Debian for aarch64 on this machine: a root, a kernel, an emulator for its programs, wheels for its Python."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chroot import base_tar, cache, run

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "python3",
    "python3-venv",
    "ca-certificates",
    "util-linux",
    "procps",
    "kmod",
    "iproute2",
    "busybox-static",
)
_ARM64 = ("--architectures=arm64",)
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_NAME = f"patrol-aarch64-{os.getpid()}"
# The first 20 bytes of a 64-bit little-endian ELF program for machine 183, and which of their bits count.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_GLIBC = range(17, 37)
"""Bookworm has glibc 2.36."""
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def emulator() -> Path:
    """QEMU's user emulation as trixie has it (10): LiteRT crashes under the 7.2 of Bookworm."""
    packages = ("qemu-user",)
    program = cache() / "qemu-aarch64"
    if not program.exists():
        with tarfile.open(base_tar("trixie", packages, variant="extract")) as tar:
            source = tar.extractfile("./usr/bin/qemu-aarch64")
            assert source is not None
            part = program.with_suffix(".part")
            with part.open("wb") as out:
                shutil.copyfileobj(source, out)
            part.chmod(0o755)
            part.rename(program)
    return program


@contextmanager
def programs_run() -> Iterator[None]:
    """The kernel hands programs for aarch64 to the emulator, in chroots as well."""
    if not (_BINFMT / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT))
    _forget()
    (_BINFMT / "register").write_text(f":{_NAME}:M::{_MAGIC}:{_MASK}:{emulator()}:OCF")
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    if (_BINFMT / _NAME).exists():
        (_BINFMT / _NAME).write_text("-1")


def base_system() -> Path:
    """The tar of a plain Bookworm; its packages are configured under the emulator: minutes, once."""
    with programs_run():
        return base_tar("bookworm", PACKAGES, options=(*_ARM64, "--skip=check/qemu"))


def kernel(folder: Path) -> Path:
    """Bookworm's kernel package, unpacked: its scripts would fork for an hour under the emulator."""
    tar = base_tar("bookworm", ("linux-image-arm64",), variant="extract", options=_ARM64)
    folder.mkdir()
    run("tar", "-xf", str(tar), "-C", str(folder), "./boot", "./lib/modules", "./usr/lib")
    return folder


def busybox(folder: Path) -> Path:
    """The static one out of the base system."""
    run("tar", "-xf", str(base_system()), "-C", str(folder), "--strip-components=3", "./usr/bin/busybox")
    return folder / "busybox"


def product_wheels(repo: Path, folder: Path) -> Path:
    """Everything a unit installs."""
    run(*_PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(repo))
    return wheels(folder, f"{repo}[litert]")


def wheels(folder: Path, what: str) -> Path:
    """A package and what it needs, for Python 3.11 on aarch64."""
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in _GLIBC]
    run(*_PIP, "download", "--quiet", "--dest", str(folder), *platforms, "--platform=manylinux2014_aarch64",
        "--python-version=311", "--implementation=cp", "--only-binary=:all:", what)  # fmt: skip
    return folder

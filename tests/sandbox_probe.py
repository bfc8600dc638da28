"""Runs as the service, within its walls, before the agent starts: tries what a taken-over agent would try.

Needs nothing but the standard library; writes what happened, by name, to the file it is given.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
PTRACE_ATTACH = 16


def call(name: str, *arguments: object) -> None:
    """A call of the C library that must not succeed."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path: str) -> None:
    Path(path).write_bytes(b"x")


def writable_code() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)


def set_user_bit() -> None:
    path = Path("/var/lib/patrol-lpr/suid")
    path.write_bytes(b"")
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


TRIES: dict[str, Callable[[], object]] = {
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "namespace": lambda: call("unshare", CLONE_NEWUSER),
    "trace": lambda: call("ptrace", PTRACE_ATTACH, 1, 0, 0),
    "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
    "hostname": lambda: socket.sethostname("taken"),
    "reboot": lambda: call("reboot", 0x1234567),
    "module": lambda: call("syscall", 313, -1, b"", 0),
    "root": lambda: os.setuid(0),
    "raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "raw ip": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "writable code": writable_code,
    "set-user bit": set_user_bit,
    "write /etc": lambda: write("/etc/patrol-lpr/x"),
    "write /usr": lambda: write("/usr/x"),
    "write /opt": lambda: write("/opt/patrol-lpr/x"),
    "write /proc/sys": lambda: write("/proc/sys/kernel/core_pattern"),
    "write cgroup": lambda: write("/sys/fs/cgroup/x"),
    "root's home": lambda: list(Path("/root").iterdir()),
    "password hashes": lambda: Path("/etc/shadow").read_bytes(),
    "the key as a file": lambda: Path("/etc/patrol-lpr/unit.key").read_bytes(),
    "other processes": lambda: Path("/proc/1/status").read_bytes(),
}


def attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


if __name__ == "__main__":
    told = {name: attempt(action) for name, action in TRIES.items()}
    told["credential"] = (
        "there" if (Path(os.environ["CREDENTIALS_DIRECTORY"]) / "unit.key").exists() else "missing"
    )
    Path(sys.argv[1]).write_text(json.dumps(told), encoding="utf-8")

"""A Debian with our own installer run on it, booted with its own systemd in a container."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from provision.image import install_into

CACHE = Path("/var/tmp/patrol-lpr-tests")  # noqa: S108 - a cache that outlives the test run on purpose
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "python3-venv",
    "ca-certificates",
    "util-linux",
    "procps",
)
_BOOT = """
set -eu
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/patrol-test
echo $$ > /sys/fs/cgroup/patrol-test/cgroup.procs
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn -q --register=no --keep-unit --private-network --console=pipe -D "$1" -b
"""


def base_system() -> Path:
    """The tar of a plain Debian, built once for each list of packages."""
    CACHE.mkdir(exist_ok=True)
    name = hashlib.sha256(",".join(PACKAGES).encode()).hexdigest()[:12]
    tar = CACHE / f"bookworm-{name}.tar"
    if not tar.exists():
        part = tar.with_suffix(".part.tar")
        part.unlink(missing_ok=True)
        _run("mmdebstrap", "--variant=apt", f"--include={','.join(PACKAGES)}", "bookworm", str(part))
        part.rename(tar)
    return tar


def wheels(repo: Path, folder: Path) -> Path:
    """Everything the installer needs without a network, for the Python of Bookworm."""
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder), f"{repo}[litert]")
    return folder


def image_root(repo: Path, folder: Path) -> Path:
    """A root folder as a fleet image holds it before its first boot."""
    root = _plain_root(folder)
    install_into(root, systemd=repo / "systemd", wheels=wheels(repo, folder / "wheels"))
    return root


def installed_root(repo: Path, folder: Path) -> Path:
    """A root folder on which install.sh has run."""
    root = _plain_root(folder)
    source = root / "src"
    for part in ("provision", "systemd"):
        shutil.copytree(repo / part, source / part)
    wheels(repo, source / "wheels")
    _run("chroot", str(root), "/src/provision/install.sh", "--wheels", "/src/wheels")
    shutil.rmtree(source / "wheels")
    return root


def _plain_root(folder: Path) -> Path:
    root = folder / "root"
    root.mkdir()
    _run("tar", "-xf", str(base_system()), "-C", str(root))
    # debootstrap forbids services to start; enabling must still work, and the boot must find nothing in its way.
    (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/systemd/system/systemd-firstboot.service").symlink_to("/dev/null")
    return root


def boot(root: Path, *, timeout_s: float) -> str:
    """Boot and wait for the system to switch itself off; return its console."""
    unshare = ["unshare", "-mp", "--fork", "--mount-proc", "--kill-child", "sh", "-c", _BOOT, "boot", str(root)]
    done = subprocess.run(
        unshare,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, f"{' '.join(command[:3])}: {done.stdout[-1500:]}{done.stderr[-1500:]}"

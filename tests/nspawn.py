"""A Debian with our own installer run on it, booted with its own systemd in a container."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from provision.image import install_into
from tests.chroot import base_tar, run, wheels

if TYPE_CHECKING:
    from pathlib import Path

SUITE = "bookworm"
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
POWERED_OFF, REBOOTED = 0, 133
_BOOT = """
set -eu
mount --make-rprivate /
# nspawn removes its folder here only on a tmpfs, which /run is not on every machine, and names it after the root.
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/patrol-test
echo $$ > /sys/fs/cgroup/patrol-test/cgroup.procs
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn -q --register=no --keep-unit --private-network --console=pipe -D "$1" -b
"""
_PROBE_UNIT = """[Unit]
After={after}
{wants}
[Service]
Type=exec
ExecStart=/probe.sh
"""


def image_root(repo: Path, folder: Path) -> Path:
    """A root folder as a fleet image holds it before its first boot."""
    root = plain_root(folder)
    install_into(root, systemd=repo / "systemd", wheels=wheels(repo, SUITE, PACKAGES, folder / "wheels", "litert"))
    return root


def installed_root(repo: Path, folder: Path, *, keep_wheels: Path | None = None) -> Path:
    """A root folder on which install.sh has run; the wheels it was made from are moved to ``keep_wheels``."""
    root = plain_root(folder)
    source = root / "src"
    for part in ("provision", "systemd"):
        shutil.copytree(repo / part, source / part)
    wheels(repo, SUITE, PACKAGES, source / "wheels", "litert")
    # A shell whose umask keeps files from others must not keep the program from the service's user.
    run("chroot", str(root), "sh", "-c", "umask 077; exec /src/provision/install.sh --wheels /src/wheels")
    if keep_wheels is None:
        shutil.rmtree(source / "wheels")
    else:
        shutil.move(source / "wheels", keep_wheels)
    return root


def plain_root(folder: Path, tar: Path | None = None) -> Path:
    """A Debian that boots, with nothing of ours on it."""
    root = folder / "root"
    root.mkdir()
    run("tar", "-xf", str(tar or base_tar(SUITE, PACKAGES)), "-C", str(root))
    # debootstrap forbids services to start; enabling must still work, and the boot must find nothing in its way.
    (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/systemd/system/systemd-firstboot.service").symlink_to("/dev/null")
    return root


def boot(root: Path, *, timeout_s: float, ends: int = POWERED_OFF) -> str:
    """Boot and wait for the system to switch itself off, or to want to start again; return its console."""
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
    console = done.stdout + done.stderr
    assert done.returncode == ends, (
        f"ended with {done.returncode}, not {ends}\n{console[-3000:]}\n{journal_of(root)}"
    )
    return console


def journal_of(root: Path) -> str:
    """The last lines that a system which has ended wrote into its journal."""
    command = [
        "journalctl",
        "-D",
        str(root / "var/log/journal"),
        "-o",
        "short-monotonic",
        "-n",
        "100",
        "--no-pager",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    return done.stdout + done.stderr


def boot_with_probe(
    root: Path, script: str, *, timeout_s: float, after: str = "patrol-lpr.service", wants: str | None = None
) -> tuple[dict[str, str], str]:
    """Boot; once ``after`` is up, ``script`` runs inside as root, writes name=value lines to /probe, ends the boot.

    Returns what it wrote, and the console.
    """
    (root / "probe.sh").write_text(script)
    (root / "probe.sh").chmod(0o755)
    units = root / "etc/systemd/system"
    (units / "probe.service").write_text(
        _PROBE_UNIT.format(after=after, wants="" if wants is None else f"Wants={wants}")
    )
    (units / "multi-user.target.wants/probe.service").symlink_to("/etc/systemd/system/probe.service")
    console = boot(root, timeout_s=timeout_s)
    assert (root / "probe").exists(), f"the probe wrote nothing\n{console[-3000:]}\n{journal_of(root)}"
    return dict(line.partition("=")[::2] for line in (root / "probe").read_text().splitlines()), console

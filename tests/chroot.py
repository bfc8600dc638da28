"""Roots of Debian releases to run the product in, built once and kept in a cache outside the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHE = Path("/var/tmp/patrol-lpr-tests")  # noqa: S108 - a cache that outlives the test run on purpose
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def cache() -> Path:
    """The folder for what takes long to make, there even on a machine that ran no test before."""
    _CACHE.mkdir(exist_ok=True)
    return _CACHE


def run(*command: str) -> str:
    """Run, and fail with what was said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, f"{' '.join(command[:4])}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def tool(name: str) -> str:
    """Where a program lies, also where the path of a plain user does not lead."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is missing; run: make system-packages"
    return found


def requirements(repo: Path, *extras: str) -> list[str]:
    """What the project and some of its extras need, as pip wants it."""
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(line for e in extras for line in project["optional-dependencies"][e])]


def base_tar(
    suite: str,
    packages: tuple[str, ...],
    pip: tuple[str, ...] = (),
    *,
    variant: str = "apt",
    options: tuple[str, ...] = (),
) -> Path:
    """The tar of a Debian with packages and, in /venv, what pip installs there; built once for each list.

    ``variant`` and ``options`` are mmdebstrap's: ``extract`` unpacks packages and runs none of their scripts.
    """
    extra = () if variant == "apt" and not options else (variant, *options)
    name = hashlib.sha256("\n".join([*packages, *pip, *extra]).encode()).hexdigest()[:12]
    tar = cache() / f"{suite}-{name}.tar"
    if tar.exists():
        return tar
    part = tar.with_suffix(f".{os.getpid()}.part.tar")
    run("mmdebstrap", f"--variant={variant}", *options, f"--include={','.join(packages)}", suite, str(part))
    if pip:
        with TemporaryDirectory(dir=cache()) as work, unpacked(part, Path(work)) as root:
            _let_out(root)
            run("chroot", str(root), "python3", "-m", "venv", "--system-site-packages", "/venv")
            run("chroot", str(root), "/venv/bin/pip", "install", "--quiet", *pip)
            run("tar", "-cf", str(part), "--exclude=./proc/*", "--exclude=./dev/*", "-C", str(root), ".")
    part.rename(tar)
    return tar


def wheels(repo: Path, suite: str, packages: tuple[str, ...], folder: Path, *extras: str) -> Path:
    """Fill a folder with all that a suite's own Python installs without a network; what is not ours is fetched once."""
    needs = requirements(repo, *extras)
    kept = cache() / f"wheels-{suite}-{hashlib.sha256(chr(10).join(needs).encode()).hexdigest()[:12]}"
    if not kept.exists():
        with TemporaryDirectory(dir=cache()) as work, unpacked(base_tar(suite, packages), Path(work)) as root:
            _let_out(root)
            run("chroot", str(root), "python3", "-m", "venv", "/fetch")
            run("chroot", str(root), "/fetch/bin/pip", "wheel", "--quiet", "--wheel-dir", "/wheels", *needs)
            part = kept.with_suffix(f".{os.getpid()}.part")
            shutil.copytree(root / "wheels", part)
        part.rename(kept)
    shutil.copytree(kept, folder)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(repo))
    return folder


def _let_out(root: Path) -> None:
    """Names and certificates of this machine, for what has to be fetched."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(_CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")


@contextmanager
def unpacked(tar: Path, folder: Path) -> Iterator[Path]:
    """A root folder out of a tar, with /proc and /dev; taken away at the end."""
    root = folder / "root"
    root.mkdir()
    run("tar", "-xf", str(tar), "-C", str(root))
    mounted = []
    try:
        for kind in ("proc", "dev"):
            run("mount", "--rbind", f"/{kind}", str(root / kind))
            run("mount", "--make-rslave", str(root / kind))
            mounted.append(root / kind)
        yield root
    finally:
        for path in reversed(mounted):
            run("umount", "-l", str(path))
        shutil.rmtree(root)

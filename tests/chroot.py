"""Roots of Debian releases to run the product in, built once and kept in a cache outside the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path("/var/tmp/patrol-lpr-tests")  # noqa: S108 - a cache that outlives the test run on purpose
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def run(*command: str) -> str:
    """Run, and fail with what was said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, f"{' '.join(command[:4])}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def requirements(repo: Path, *extras: str) -> list[str]:
    """What the project and some of its extras need, as pip wants it."""
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(line for e in extras for line in project["optional-dependencies"][e])]


def base_tar(suite: str, packages: tuple[str, ...], pip: tuple[str, ...] = ()) -> Path:
    """The tar of a Debian with packages and, in /venv, what pip installs there; built once for each list."""
    CACHE.mkdir(exist_ok=True)
    name = hashlib.sha256("\n".join([*packages, *pip]).encode()).hexdigest()[:12]
    tar = CACHE / f"{suite}-{name}.tar"
    if tar.exists():
        return tar
    part = tar.with_suffix(".part.tar")
    part.unlink(missing_ok=True)
    run("mmdebstrap", "--variant=apt", f"--include={','.join(packages)}", suite, str(part))
    if pip:
        with unpacked(part, CACHE) as root:
            shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
            shutil.copy(_CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
            run("chroot", str(root), "python3", "-m", "venv", "--system-site-packages", "/venv")
            run("chroot", str(root), "/venv/bin/pip", "install", "--quiet", *pip)
            run("tar", "-cf", str(part), "--exclude=./proc/*", "--exclude=./dev/*", "-C", str(root), ".")
    part.rename(tar)
    return tar


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

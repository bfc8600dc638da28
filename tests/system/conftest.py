"""What the system tests share: made once, the roots and packages of Debian even once for all runs."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests import arm64
from tests.chroot import cache, run, unpacked
from tests.system import base_image, board
from tests.system.steps import Steps

CODE = "/opt/patrol-lpr/code/0"
SETUP = (
    ("python3", "-m", "venv", "--system-site-packages", CODE),
    (f"{CODE}/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/wheels", "patrol-lpr[litert]"),
    (f"{CODE}/bin/python", "-I", "-m", "updater.releases", "adopt"),
)
"""As patrol-lpr-setup.service has it."""


@pytest.fixture(scope="session")
def steps():
    return Steps(cache() / "system-steps.txt")


@pytest.fixture(scope="session")
def product_wheels(tmp_path_factory, repo, steps):
    with steps.step("wheels for aarch64"):
        return arm64.product_wheels(repo, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory, repo, steps, product_wheels):
    """A root for aarch64 with the product installed as on a unit, whose programs run here, and the drives."""
    folder = tmp_path_factory.mktemp("installed")
    with steps.step("Debian for aarch64 (cached)"):
        tar = arm64.base_system()
    with arm64.programs_run(), unpacked(tar, folder) as root:
        shutil.copytree(product_wheels, root / "wheels")
        shutil.copytree(repo / "tests/drives", root / "drives")
        with steps.step("product installed under qemu-user"):
            for command in SETUP:
                run("chroot", str(root), *command)
        yield root


@pytest.fixture(scope="session")
def boards(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("boards")
    with steps.step("kernel and initramfs"):
        return board.prepare(folder, arm64.busybox(folder))


@pytest.fixture(scope="session")
def fleet_image(tmp_path_factory, repo, steps, boards, product_wheels):
    """What `patrol-lpr provision image` makes of a base image with the layout of Raspberry Pi OS."""
    folder = tmp_path_factory.mktemp("image")
    with steps.step("base image: FAT boot partition, ext4 root, Debian for aarch64"):
        lgpio = next(arm64.wheels(folder / "lgpio", "lgpio").glob("lgpio-*.whl"))
        base = base_image.make(boards.kernel, folder / "base", lgpio=lgpio)
    with steps.step("patrol-lpr provision image"):
        out = folder / "fleet.img"
        subprocess.run(
            [sys.executable, "-m", "cli", "provision", "image", str(base), "--out", str(out),
             "--wheels", str(product_wheels), "--systemd", str(repo / "systemd")],
            cwd=repo, check=True, capture_output=True,
        )  # fmt: skip
    base.unlink()
    return out

"""Cards as block devices: loop devices that are in use, or are removed while being written."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest

from provision.errors import ProvisionError
from provision.flash import check_target, check_unused, write
from tests.power_cut import CuttableDisk, _run

pytestmark = pytest.mark.integration
MIB = 2**20


@pytest.fixture
def attach():
    """Makes block devices out of files; detached at the end."""
    devices = []

    def make(path):
        found = subprocess.run(["losetup", "-f", "--show", path], check=True, capture_output=True, text=True)
        devices.append(found.stdout.strip())
        return path.__class__(devices[-1])

    yield make
    for device in devices:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "fleet.img"
    path.write_bytes(os.urandom(12 * MIB))
    return path


def test_card_is_written_to_a_block_device_and_verified(attach, image, tmp_path):
    (tmp_path / "card").write_bytes(bytes(16 * MIB))
    device = attach(tmp_path / "card")
    assert check_target(device, image) == 16 * MIB
    write(image, device, expected=hashlib.sha256(image.read_bytes()).hexdigest(), progress=lambda *_: None)
    assert (tmp_path / "card").read_bytes()[: 12 * MIB] == image.read_bytes()


def test_disk_in_use_by_the_kernel_is_refused_even_if_not_mounted(attach, image, tmp_path):
    """A system disk under LVM or encryption is not in the list of mounts by its own name."""
    (tmp_path / "card").write_bytes(bytes(16 * MIB))
    device = attach(tmp_path / "card")
    (tmp_path / "mounts").write_text("")
    _run("mkfs.ext4", "-q", str(device))
    mount = tmp_path / "at"
    mount.mkdir()
    _run("mount", str(device), str(mount))
    try:
        with pytest.raises(ProvisionError, match="in use"):
            check_unused(device, mounts=tmp_path / "mounts")
        with pytest.raises(ProvisionError, match="failed writing after 0 of"):
            write(image, device, expected="", progress=lambda *_: None)
    finally:
        _run("umount", str(mount))
    check_unused(device)


@pytest.mark.parametrize("kind", ["file", "device"])
def test_card_removed_during_writing_is_an_error(attach, image, tmp_path, kind):
    disk = CuttableDisk(tmp_path)
    card = disk.mount / "card"
    card.write_bytes(bytes(16 * MIB))
    target = attach(card) if kind == "device" else card
    told = []

    def take_out(step: str, count: int) -> None:
        told.append(step)
        if len(told) == 1:
            disk.cut()

    try:
        with pytest.raises(ProvisionError, match=r"failed writing after .*inserted.*flash it again"):
            write(image, target, expected=hashlib.sha256(image.read_bytes()).hexdigest(), progress=take_out)
        assert "verify" not in told, "what is not on the card for certain is not read back"
    finally:
        disk.release()

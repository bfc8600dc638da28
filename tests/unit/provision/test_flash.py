"""A card is written only when it is one, and only what was checked; what comes back is compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from provision.errors import ProvisionError
from provision.flash import check_image, check_target, write
from provision.image import boot_and_root, partitions


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "fleet.img"
    path.write_bytes(bytes(range(256)) * 20_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "fleet.img.sha256").write_text(f"{digest}  fleet.img\n")
    return path


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "card"
    path.write_bytes(b"\xff" * 6_000_000)
    return path


def test_what_is_written_comes_back_equal(image, card):
    told = []
    write(image, card, expected=check_image(image), progress=lambda step, count: told.append((step, count)))
    assert card.read_bytes()[: image.stat().st_size] == image.read_bytes()
    for step in ("write", "verify"):
        assert sum(count for name, count in told if name == step) == image.stat().st_size


def test_an_image_that_is_not_the_one_listed_is_refused(image):
    with image.open("r+b") as file:
        file.write(b"other")
    with pytest.raises(ProvisionError, match="do not use it"):
        check_image(image)
    image.with_name("fleet.img.sha256").unlink()
    with pytest.raises(ProvisionError, match="cannot be checked"):
        check_image(image)


def test_a_card_that_lies_is_thrown_away(image, card):
    with pytest.raises(ProvisionError, match="throw this card away"):
        write(image, card, expected="0" * 64, progress=lambda *_: None)


def test_disks_in_use_are_refused(image, tmp_path):
    mounts = tmp_path / "mounts"
    disk = tmp_path / "sdb"
    disk.write_bytes(bytes(6_000_000))
    for source, refused in (
        (f"{disk}1", True),
        (str(disk), True),
        (f"{disk}p2", True),
        (f"{tmp_path}/sdc1", False),
    ):
        mounts.write_text(f"proc /proc proc rw 0 0\n/dev/../{source} /media/x vfat rw 0 0\n")
        if refused:
            with pytest.raises(ProvisionError, match="in use"):
                check_target(disk, image, mounts=mounts)
        else:
            assert check_target(disk, image, mounts=mounts) == 6_000_000


def test_the_system_disk_of_this_machine_is_refused(image):
    """Whatever is mounted here now: its device is not overwritten."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    sources = {line.split()[0] for line in mounts.splitlines() if line.startswith("/dev/")}
    devices = [Path(source) for source in sources if Path(source).is_block_device()]
    assert devices, "this machine has no mounted disk to try"
    for device in devices:
        with pytest.raises(ProvisionError, match="in use"):
            check_target(device, image)


def test_what_is_no_card_is_refused(image, tmp_path):
    small = tmp_path / "small"
    small.write_bytes(b"x")
    for target, words in ((small, "too small"), (tmp_path, "neither"), (tmp_path / "absent", "No such")):
        with pytest.raises(ProvisionError, match=words):
            check_target(target, image)


def test_what_is_no_image_is_refused(tmp_path):
    path = tmp_path / "x.img"
    path.write_bytes(bytes(512))
    with pytest.raises(ProvisionError, match="no partition table"):
        partitions(path)
    path.write_bytes(bytes(510) + b"\x55\xaa")
    with pytest.raises(ProvisionError, match="needs a FAT"):
        boot_and_root(path)

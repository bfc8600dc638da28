"""A card is written only when it is one, and only what was checked; what comes back is compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.provision import app
from provision.errors import ProvisionError
from provision.flash import check_image, check_target, write
from provision.image import boot_and_root, partitions

MIB = 2**20


def test_written_image_is_read_back_and_compared(image, card):
    told = []
    write(image, card, expected=check_image(image), progress=lambda step, count: told.append((step, count)))
    assert card.read_bytes()[: image.stat().st_size] == image.read_bytes()
    for step in ("write", "verify"):
        assert sum(count for name, count in told if name == step) == image.stat().st_size


def test_dry_run_writes_nothing(image, card):
    before = card.read_bytes()
    said = CliRunner().invoke(app, ["flash", str(image), str(card)])
    assert said.exit_code == 0
    assert "dry run: nothing was written" in said.output
    assert card.read_bytes() == before
    said = CliRunner().invoke(app, ["flash", str(image), str(card), "--really"])
    assert said.exit_code == 0
    assert "written and read back, equal" in said.output
    for step in ("write", "verify"):
        assert step in said.output, "the bars"
    assert card.read_bytes()[: image.stat().st_size] == image.read_bytes()


def test_image_with_wrong_hash_is_refused(image):
    with image.open("r+b") as file:
        file.write(b"other")
    with pytest.raises(ProvisionError, match="do not use it"):
        check_image(image)
    image.with_name("fleet.img.sha256").unlink()
    with pytest.raises(ProvisionError, match="cannot be checked"):
        check_image(image)


def test_read_back_mismatch_fails(image, card):
    with pytest.raises(ProvisionError, match="discard this card"):
        write(image, card, expected="0" * 64, progress=lambda *_: None)


def test_card_with_false_capacity_fails(image, card):
    """The second half is gone when it is read back."""

    def lose(step: str, _: int) -> None:
        if step == "verify":
            with card.open("r+b") as file:
                file.truncate(4 * MIB)

    with pytest.raises(ProvisionError, match="bytes could be read back"):
        write(image, card, expected=check_image(image), progress=lose)


def test_card_that_cannot_be_opened_fails(image, tmp_path):
    with pytest.raises(ProvisionError, match="No such"):
        CliRunner().invoke(
            app, ["flash", str(image), str(tmp_path / "absent"), "--really"], catch_exceptions=False
        )


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


def test_system_disk_is_refused(image):
    """Whatever is mounted here now: its device is not overwritten."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    sources = {line.split()[0] for line in mounts.splitlines() if line.startswith("/dev/")}
    devices = [Path(source) for source in sources if Path(source).is_block_device()]
    assert devices, "this machine has no mounted disk to try"
    for device in devices:
        with pytest.raises(ProvisionError, match="in use"):
            check_target(device, image)


def test_unsuitable_target_is_refused(image, tmp_path):
    small = tmp_path / "small"
    small.write_bytes(b"x")
    for target, words in (
        (small, "too small: 1 bytes for an image of 5,120,512; use a larger card"),
        (tmp_path, "neither"),
        (tmp_path / "absent", "No such.*lsblk"),
    ):
        with pytest.raises(ProvisionError, match=words):
            check_target(target, image)


def test_file_that_is_not_an_image_is_refused(tmp_path):
    """Not even when somebody has listed its hash: a download that was not unpacked has one too."""
    path = tmp_path / "x.img"
    path.write_bytes(bytes(512))
    with pytest.raises(ProvisionError, match=r"no partition table.*decompress it"):
        partitions(path)
    path.with_name("x.img.sha256").write_text(f"{hashlib.sha256(bytes(512)).hexdigest()}  x.img\n")
    with pytest.raises(ProvisionError, match="no partition table"):
        check_image(path)
    path.write_bytes(bytes(510) + b"\x55\xaa")
    with pytest.raises(ProvisionError, match="needs a FAT"):
        boot_and_root(path)

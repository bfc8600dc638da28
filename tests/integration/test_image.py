"""A fleet image out of a base image with the layout of Raspberry Pi OS, and a unit's card on it."""

from __future__ import annotations

import json
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

from protocol.seal import SigningKey, StationKey
from provision.card import Card
from provision.errors import ProvisionError
from provision.flash import check_image
from provision.image import boot_and_root, build, put_card
from provision.pki import make_authority
from tests.power_cut import _run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
MIB = 2**20
BOOT_AT, BOOT_MIB, ROOT_AT, ROOT_MIB = 4, 40, 48, 48


@pytest.fixture
def base(tmp_path):
    """FAT boot partition, ext4 root: as an operating system's maker would ship it."""
    path = tmp_path / "base.img"
    with path.open("wb") as file:
        file.truncate((ROOT_AT + ROOT_MIB + 2) * MIB)
    sectors = [f"{start * 2048},{size * 2048},{kind}" for start, size, kind in (
        (BOOT_AT, BOOT_MIB, "c"), (ROOT_AT, ROOT_MIB, "83"),
    )]  # fmt: skip
    table = subprocess.run(
        ["/usr/sbin/sfdisk", "-q", str(path)],
        input="label: dos\n" + "\n".join(sectors),
        text=True,
        check=True,
        capture_output=True,
    )
    assert table.returncode == 0
    fat, root, tree = tmp_path / "fat", tmp_path / "root", tmp_path / "tree"
    fat.write_bytes(bytes(BOOT_MIB * MIB))
    _run("mkfs.vfat", "-F", "32", str(fat))
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(root), f"{ROOT_MIB}M")
    with path.open("r+b") as file:
        for at, part in ((BOOT_AT, fat), (ROOT_AT, root)):
            file.seek(at * MIB)
            file.write(part.read_bytes())
    return path


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "patrol_lpr-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("x", "x")
    return folder


def look(image: Path, path: str) -> str:
    """What debugfs sees in the root partition, without mounting it."""
    _, root = boot_and_root(image)
    done = subprocess.run(
        ["/usr/sbin/debugfs", "-R", path, f"{image}?offset={root.offset_bytes}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_fleet_image_is_made_from_a_base_image(base, wheels, repo, tmp_path):
    out = tmp_path / "fleet.img"
    build(base, out, systemd=repo / "systemd", wheels=wheels)
    check_image(out)
    for name in ("patrol-lpr.service", "patrol-lpr-enrol.service", "patrol-lpr-poweroff.path"):
        shipped = (repo / "systemd" / name).read_text()
        assert look(out, f"cat /etc/systemd/system/{name}") == shipped
        assert name in look(out, "ls /etc/systemd/system/multi-user.target.wants")
    assert look(out, "cat /etc/machine-id") == "", "every unit of the fleet needs an identity of its own"
    assert "patrol_lpr-0.1.0" in look(out, "ls /opt/patrol-lpr/wheels")
    with pytest.raises(ProvisionError, match="never overwritten"):
        build(base, out, systemd=repo / "systemd", wheels=wheels)


def test_image_contains_no_secret_until_provisioned(base, wheels, repo, tmp_path):
    out = tmp_path / "fleet.img"
    build(base, out, systemd=repo / "systemd", wheels=wheels)
    assert b"PRIVATE KEY" not in out.read_bytes()
    authority = make_authority(tmp_path / "ca", "fleet")
    made = Card(
        unit="unit-07", agency="a", enrol_host="h", enrol_port=1, broker_host="b", token="ab" * 20,
        ca_pem=authority.pem.decode(), station_pem=StationKey.generate().pem().decode(),
        receipt_pem=SigningKey.generate().public.pem().decode(),
    )  # fmt: skip
    card = tmp_path / "provision.json"
    card.write_text(made.model_dump_json())
    for _ in range(2):  # putting it there again replaces it
        put_card(out, card)
    boot, _ = boot_and_root(out)
    _run(
        "mcopy", "-i", f"{out}@@{boot.offset_bytes}", "::/patrol-lpr/provision.json", str(tmp_path / "found.json")
    )
    assert json.loads((tmp_path / "found.json").read_text())["unit"] == "unit-07"
    assert b"PRIVATE KEY" not in out.read_bytes()


def test_base_image_without_the_product_is_refused(base, repo, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProvisionError, match="no patrol_lpr wheel"):
        build(base, tmp_path / "out.img", systemd=repo / "systemd", wheels=tmp_path / "empty")

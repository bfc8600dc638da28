"""The package of the station: the same wheels give the same bytes, files and scripts are where Debian wants them."""

from __future__ import annotations

import hashlib
import re
import subprocess
import zipfile

import pytest

from provision.errors import ProvisionError
from provision.make_deb import Target, make_deb
from tests.conftest import ROOT

TARGET = Target("amd64", (3, 11))


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("patrol_lpr-0.2.0-py3-none-any.whl", "ruamel.yaml-1.0-1-cp311-cp311-manylinux_2_17_x86_64.whl"):
        with zipfile.ZipFile(folder / name, "w") as wheel:
            wheel.writestr("a", "b")
    return folder


def shown(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_same_wheels_give_the_same_package(wheels, tmp_path):
    digests = set()
    for name in ("a", "b"):
        digests.add(hashlib.sha256(make_deb(wheels, tmp_path / name, TARGET).read_bytes()).hexdigest())
        for path in wheels.iterdir():
            path.touch()
            path.chmod(0o600)
    assert len(digests) == 1


def test_package_holds_units_scripts_and_pinned_wheels(wheels, tmp_path):
    deb = make_deb(wheels, tmp_path, TARGET)
    assert deb.name == "patrol-lpr-station_0.2.0_amd64.deb"
    listing = shown("dpkg-deb", "--contents", str(deb))
    owners = {line.split()[1] for line in listing.splitlines()}
    assert owners == {"root/root"}
    for unit in ("station", "worker@", "web", "outputs", "metrics", "purge", "backup"):
        assert f"./lib/systemd/system/patrol-lpr-{unit}.service" in listing
    assert "./usr/bin/patrol-lpr -> /opt/patrol-lpr/bin/patrol-lpr" in listing
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tmp_path / "x")], check=True)
    pins = (tmp_path / "x/usr/share/patrol-lpr-station/requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [pin.partition(" ")[0] for pin in pins] == ["patrol-lpr==0.2.0", "ruamel-yaml==1.0"]
    wheel = wheels / "patrol_lpr-0.2.0-py3-none-any.whl"
    assert pins[0].endswith(f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
    control = shown("dpkg-deb", "--field", str(deb))
    assert "Depends: python3 (>= 3.11), python3 (<< 3.12~), python3-venv, systemd" in control
    assert not re.search(r"@[A-Z_]+@", control + (tmp_path / "x/DEBIAN/postinst").read_text(encoding="utf-8"))
    assert (
        tmp_path / "x/DEBIAN/conffiles"
    ).read_text() == "/etc/patrol-lpr/station.env\n/etc/patrol-lpr/web.env\n"
    assert (tmp_path / "x/etc/patrol-lpr/station.env").exists()


def test_documents_of_the_package_find_each_other(wheels, tmp_path):
    """An operator without a network reads them where they are installed."""
    subprocess.run(
        ["dpkg-deb", "--raw-extract", str(make_deb(wheels, tmp_path, TARGET)), str(tmp_path / "x")], check=True
    )
    folder = tmp_path / "x/usr/share/doc/patrol-lpr-station"
    assert (folder / "copyright").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    broken = [
        f"{name}: {link}"
        for name in ("docs/station.md", "docs/station-web.md", "docs/api.md", "docs/capacity.md", "docs/backup.md")
        for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", (folder / name).read_text(encoding="utf-8"))
        if not (folder / name).parent.joinpath(link).exists()
    ]
    assert broken == []
    assert (folder / "README.md").exists()


def test_folder_that_is_no_set_of_wheels_is_refused(wheels, tmp_path):
    (wheels / "patrol_lpr-0.3.0-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(ProvisionError, match="two wheels of patrol_lpr"):
        make_deb(wheels, tmp_path, TARGET)
    for path in wheels.glob("patrol*"):
        path.unlink()
    with pytest.raises(ProvisionError, match="no wheel of patrol-lpr"):
        make_deb(wheels, tmp_path, TARGET)


def test_every_unit_of_the_package_lies_in_the_repository():
    there = {path.name for path in (ROOT / "provision/station").glob("patrol-lpr*")}
    from provision.make_deb import _UNITS  # noqa: PLC0415 - used here alone

    assert set(_UNITS) == there

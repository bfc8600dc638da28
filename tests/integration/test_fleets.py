"""Configurations for fleets: cloud-init on Raspberry Pi OS Trixie, and the layer for rpi-image-gen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.chroot import base_tar, run, unpacked, wheels
from tests.nspawn import PACKAGES, boot, plain_root

pytestmark = pytest.mark.integration
SUITE = "trixie"
WITH_CLOUD_INIT = (*PACKAGES, "cloud-init", "udev")
_PROBE = """[Service]
Type=exec
ExecStart=/bin/sh -c "/probe.sh; systemctl --no-block poweroff"
[Install]
WantedBy=multi-user.target
"""
_LOOK = r"""#!/bin/bash
say() { local what=$1; shift; echo "$what=$*" >> /probe; }
cloud-init status --wait > /cloud
for _ in $(seq 400); do
  systemctl is-active --quiet patrol-lpr-install.service && break
  systemctl is-failed --quiet patrol-lpr-install.service && break
  journalctl -b -u patrol-lpr-install.service -o cat | grep -q skipped && break
  sleep 0.5
done
say cloud "$(grep ^status /cloud)"
say install "$(systemctl show -P Result patrol-lpr-install.service):$(systemctl is-active patrol-lpr-install.service)"
say condition "$(systemctl show -P ConditionResult patrol-lpr-install.service)"
say version "$(/opt/patrol-lpr/bin/patrol-lpr --version)"
say enabled "$(systemctl is-enabled patrol-lpr.service)"
say tried "$(systemctl show -P ConditionTimestampMonotonic patrol-lpr-enrol.service)"
say accounts "$(awk -F: '$3 >= 1000 && $3 < 60000' /etc/passwd | wc -l)"
"""


@pytest.fixture(scope="module")
def trixie():
    return base_tar(SUITE, WITH_CLOUD_INIT)


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory, repo):
    return wheels(repo, SUITE, PACKAGES, tmp_path_factory.mktemp("fleet") / "wheels", "litert")


@pytest.fixture
def root(trixie, tmp_path):
    with unpacked(trixie, tmp_path) as made:
        yield made


def test_cloud_init_validates_the_configuration(root, repo):
    for name in ("user-data", "network-config"):
        shutil.copy(repo / "provision/cloud-init" / name, root / name)
    run("chroot", str(root), "cloud-init", "schema", "--config-file", "/user-data")
    run(
        "chroot",
        str(root),
        "cloud-init",
        "schema",
        "--schema-type",
        "network-config",
        "--config-file",
        "/network-config",
    )
    (root / "user-data").write_text("#cloud-config\nbootcmd: 7\n")
    wrong = subprocess.run(
        ["chroot", root, "cloud-init", "schema", "--config-file", "/user-data"], capture_output=True, check=False
    )
    assert wrong.returncode != 0, "it would find nothing wrong with anything"


def test_udev_rules_are_valid(root, repo):
    """Their groups are those that the installer makes."""
    groups = root / "usr/lib/sysusers.d/patrol-lpr.conf"
    groups.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(repo / "systemd/patrol-lpr.sysusers.conf", groups)
    run("chroot", str(root), "systemd-sysusers")
    shutil.copy(repo / "systemd/99-patrol-gnss.rules", root / "etc/udev/rules.d")
    run("chroot", str(root), "udevadm", "verify", "/etc/udev/rules.d/99-patrol-gnss.rules")


def test_boot_partition_is_filled_and_other_folders_are_refused(repo, tmp_path, wheelhouse):
    fill = str(repo / "provision/cloud-init/fill")
    (tmp_path / "boot").mkdir()
    for arguments, words in (
        ((tmp_path / "boot", wheelhouse), "not the boot partition"),
        ((tmp_path, repo), "no config.txt"),
        ((), "fill BOOT WHEELS"),
    ):
        refused = subprocess.run([fill, *arguments], capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        assert words in refused.stderr
    (tmp_path / "boot/config.txt").touch()
    empty = subprocess.run([fill, tmp_path / "boot", repo], capture_output=True, text=True, check=False)
    assert "pip wheel" in empty.stderr
    (tmp_path / "card.json").write_text("{}")
    for _ in range(2):
        run(fill, str(tmp_path / "boot"), str(wheelhouse), str(tmp_path / "card.json"))
    assert (tmp_path / "boot/patrol-lpr/provision.json").read_text() == "{}"
    assert (tmp_path / "boot/user-data").read_text().startswith("#cloud-config\n")


def test_cloud_init_installs_at_the_first_boot_only(trixie, repo, tmp_path, wheelhouse):
    """cloud-init itself reads the boot partition; the network is none; the second start installs nothing again."""
    root = plain_root(tmp_path, trixie)
    firmware = root / "boot/firmware"
    firmware.mkdir(parents=True)
    (firmware / "config.txt").touch()
    run(str(repo / "provision/cloud-init/fill"), str(firmware), str(wheelhouse))
    # As Raspberry Pi OS tells its cloud-init where to look.
    (root / "etc/cloud/cloud.cfg.d/99_boot.cfg").write_text(
        "datasource_list: [NoCloud]\ndatasource: {NoCloud: {seedfrom: 'file:///boot/firmware/'}}\n"
    )
    (root / "probe.sh").write_text(_LOOK)
    (root / "probe.sh").chmod(0o755)
    (root / "etc/systemd/system/probe.service").write_text(_PROBE)
    (root / "etc/systemd/system/multi-user.target.wants/probe.service").symlink_to(
        "/etc/systemd/system/probe.service"
    )
    for condition in ("yes", "no"):
        (root / "probe").unlink(missing_ok=True)
        console = boot(root, timeout_s=280)
        assert (root / "probe").exists(), console[-3000:]
        said = dict(line.partition("=")[::2] for line in (root / "probe").read_text().splitlines())
        assert said["condition"] == condition, f"{said}\n{console[-3000:]}"
        assert said["version"].startswith("patrol-lpr ")
        assert said["enabled"] == "enabled"
        assert int(said["tried"]) > 0, "the first boot of a unit was not begun"
        assert said["accounts"] == "0", "somebody can log in"
        assert "error" not in said["cloud"]


def hooks(repo) -> list[str]:
    """The steps of the layer, in order."""
    layer = yaml.safe_load((repo / "provision/rpi-image-gen/layer/patrol-lpr.yaml").read_text())
    found: list[str] = layer["mmdebstrap"]["customize-hooks"]
    return found


def test_image_layer_hooks_install_the_product(root, repo, wheelhouse):
    """As run by mmdebstrap: a shell with the new root as argument."""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "IGconf_patrol_source": str(repo),
        "IGconf_patrol_wheels": str(wheelhouse),
    }
    for step in hooks(repo):
        done = subprocess.run(
            ["sh", "-c", step, "step", str(root)], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert run("chroot", str(root), "/opt/patrol-lpr/bin/patrol-lpr", "--version").startswith("patrol-lpr ")
    assert not (root / "usr/src/patrol-lpr").exists()


def test_image_builder_gets_all_variables_of_the_layer(repo, tmp_path):
    """A fake rpi-image-gen: every variable without a default is set, and its files exist."""
    stand_in = tmp_path / "rpi-image-gen"
    stand_in.write_text("#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    stand_in.chmod(0o755)
    home = repo / "provision/rpi-image-gen"
    called = json.loads(
        subprocess.run(
            [str(home / "build"), str(tmp_path)],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            check=True,
            capture_output=True,
        ).stdout
    )
    assert called[:5] == ["build", "-S", str(home), "-c", "patrol-lpr.yaml"]
    given = dict(word.split("=", 1) for word in called[called.index("--") + 1 :])
    layer = (home / "layer/patrol-lpr.yaml").read_text()
    required = re.findall(r"# X-Env-Var-(\w+)-Required: y", layer)
    assert set(given) == {f"IGconf_patrol_{name}" for name in required}
    assert set(re.findall(r"\$(IGconf_patrol_\w+)", layer)) == set(given)
    config = (home / "config/patrol-lpr.yaml").read_text()
    (name,) = re.findall(r"X-Env-Layer-Name: (\S+)", layer)
    assert f"app: {name}\n" in config
    for folder in ("provision", "systemd"):
        assert (repo / folder).is_dir()


def test_fleet_configurations_contain_no_secret(repo):
    """No key, password, token, pre-shared key, or account with a password."""
    secret = re.compile(
        r"PRIVATE KEY|passwd:|password:|plain_text|chpasswd|psk|ssh-(rsa|ed25519)|token:|[0-9a-f]{40}|\$[156y]\$",
        re.IGNORECASE,
    )
    files = [
        path for path in (repo / "provision").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}
    ]
    assert len(files) > 10
    for path in files:
        assert secret.search(path.read_text(encoding="utf-8")) is None, path

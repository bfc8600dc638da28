"""``install.sh`` on a clean Bookworm and a clean Trixie, without a network, twice in a row."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chroot import base_tar, run, unpacked, wheels
from tests.nspawn import PACKAGES

pytestmark = pytest.mark.integration
PROGRAM = "/opt/patrol-lpr/bin/patrol-lpr"
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
RUNTIMES = {"bookworm": ("litert", "tflite"), "trixie": ("litert",)}
ENABLED = ("patrol-lpr.service", "patrol-lpr-enrol.service", "patrol-lpr-poweroff.path", "patrol-lpr-renew.timer")
FRAME = 21
"""One of the drive's frames, with a plate close by."""
PASSING = frozenset({"dev", "proc", "tmp", "var/log", "var/cache"})
CONFIG = """
unit = "unit-07"
agency = "Example Sheriff"
[[hw.cameras]]
kind = "folder"
path = "/frames"
fps = 10
[outbox]
min_free_mib = 0
[policy]
mode = "off"
[seal]
unit_key = "/etc/patrol-lpr/unit.key"
station_key = "/etc/patrol-lpr/station.pub"
receipt_key = "/etc/patrol-lpr/receipt.pub"
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A root on which the installer has run twice, and what lay on its disk after each run."""

    suite: str
    root: Path
    once: dict[str, tuple[object, ...]]
    twice: dict[str, tuple[object, ...]]
    said: str
    before: str
    """Output of ``config check`` and ``doctor --json`` before the first start."""

    def run(self, *command: str) -> str:
        return inside(self.root, *command)


def inside(root: Path, *command: str) -> str:
    """Run in the root, in a network of its own in which nothing can be reached."""
    return run("unshare", "--net", "chroot", str(root), *command)


def files(root: Path) -> dict[str, tuple[object, ...]]:
    """Rights, owner and content of everything on the disk, but what runs anyway writes."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, names, leaves in os.walk(root):
        at = Path(folder).relative_to(root)
        names[:] = [name for name in names if str(at / name) not in PASSING and name != "__pycache__"]
        for name in (*names, *leaves):
            path = root / at / name
            status = path.lstat()
            what = ""
            if path.is_symlink():
                what = str(path.readlink())
            elif path.is_file():
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(at / name)] = (oct(status.st_mode), status.st_uid, status.st_gid, what)
    return found


@pytest.fixture(scope="module", params=sorted(PYTHON))
def installed(request, tmp_path_factory, repo):
    """Installed after a try that was cut short; given keys, configuration, an outbox with reads; installed again."""
    suite = request.param
    with unpacked(base_tar(suite, PACKAGES), tmp_path_factory.mktemp(suite)) as root:
        for part in ("provision", "systemd"):
            shutil.copytree(repo / part, root / "src" / part)
        wheels(repo, suite, PACKAGES, root / "src/wheels", "litert")
        shutil.copytree(repo / "tests/drives/city-day/frames", root / "frames")
        again = ("/src/provision/install.sh", "--wheels", "/src/wheels")
        # The first try lost its power when there was a Python and nothing to install with.
        inside(root, "sh", "-c", "python3 -m venv --system-site-packages --without-pip /opt/patrol-lpr/code/0")
        inside(root, *again)
        inside(root, PROGRAM, "keys", "unit", "/etc/patrol-lpr", "unit-07")
        inside(root, PROGRAM, "keys", "station", "/station")
        for name in ("station.pub", "receipt.pub"):
            shutil.copy(root / "station" / name, root / "etc/patrol-lpr" / name)
        (root / "etc/patrol-lpr/config.toml").write_text(CONFIG)
        before = inside(root, "sh", "-c", "patrol-lpr config check && patrol-lpr doctor --json")
        inside(root, "install", "-d", "-o", "patrol-lpr", "-m", "700", "/var/lib/patrol-lpr")
        inside(root, PROGRAM, "run", "--until-cameras-end", "--drain-s", "0")
        once = files(root)
        said = inside(root, *again)
        yield Installed(suite, root, once, files(root), said, before)


def test_second_installation_changes_nothing(installed):
    """No file is added, removed or changed in its permissions; keys, configuration and waiting reads are kept."""
    everything = {*installed.once, *installed.twice}
    different = {path for path in everything if installed.once.get(path) != installed.twice.get(path)}
    assert different == set()
    assert {"etc/patrol-lpr/unit.key", "etc/patrol-lpr/config.toml"} <= set(installed.twice)
    assert "systemctl restart patrol-lpr" in installed.said


def test_installation_keeps_the_outbox(installed):
    table = installed.run(PROGRAM, "outbox", "list")
    assert table.count("read") >= 2


def test_systemd_units_are_enabled(installed):
    for unit in ENABLED:
        assert installed.run("systemctl", "is-enabled", unit).strip() == "enabled"


def test_installation_uses_the_system_python(installed, repo):
    assert installed.run("/opt/patrol-lpr/code/0/bin/python", "--version").startswith(
        f"Python {PYTHON[installed.suite]}."
    )
    assert installed.run(PROGRAM, "--version").startswith("patrol-lpr ")
    assert (
        "include-system-site-packages = true" in (installed.root / "opt/patrol-lpr/code/0/pyvenv.cfg").read_text()
    )


def test_drive_is_read_on_every_installed_runtime(installed, repo):
    truth = {
        line.split(",")[5] for line in (repo / "tests/drives/city-day/truth.csv").read_text().splitlines()[1:]
    }
    for runtime in RUNTIMES[installed.suite]:
        line = installed.run(PROGRAM, "read", "--jsonl", "--runtime", runtime, f"/frames/{FRAME:04d}.jpg")
        read = {plate["text"] for plate in json.loads(line)["plates"]}
        assert read & truth, f"{runtime}: {line}"


def test_doctor_reports_the_installation_as_healthy(installed):
    found = {line["what"]: line["mark"] for line in json.loads(installed.run(PROGRAM, "doctor", "--json"))}
    assert "fail" not in found.values()
    assert [found[what] for what in ("configuration", "models", "keys", "outbox", "cameras")] == ["ok"] * 5


def test_commands_of_the_installation_guide_work_before_the_first_start(installed):
    """By their name, as root; without a state folder nothing fails."""
    valid, _, findings = installed.before.partition("\n")
    assert "valid; unit unit-07" in valid
    found = {line["what"]: line["mark"] for line in json.loads(findings)}
    assert [what for what, mark in found.items() if mark == "fail"] == []
    assert (found["outbox"], found["disk"], found["board"]) == ("warn", "ok", "ok")


def test_command_of_another_user_says_what_to_do(installed):
    """The configuration is not for everybody: the message is one line with the remedy."""
    told = installed.run(
        "setpriv", "--reuid=nobody", "--clear-groups", "sh", "-c", "patrol-lpr config check 2>&1; true"
    )
    assert told.count("\n") == 1
    assert "config.toml: cannot be read: Permission denied; run the command with sudo" in told


def test_wheel_is_reproducible(repo, tmp_path):
    """A release can be rebuilt and compared with the installed one."""
    hashes = set()
    for day in (1, 2):
        source = tmp_path / f"source-{day}"
        source.mkdir()
        for part in ("protocol", "agent", "hw", "station", "provision", "updater", "cli", "models"):
            shutil.copytree(repo / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(repo / file, source)
        for path in source.rglob("*"):
            os.utime(path, (day * 86_400, day * 86_400 + 10**9))
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(source), str(source))
        (wheel,) = source.glob("*.whl")
        hashes.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(hashes) == 1

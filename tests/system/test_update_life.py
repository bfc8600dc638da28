"""Updates under a real systemd: commit, roll back of crashing and unhealthy releases, no read lost."""

from __future__ import annotations

import shutil
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from cli.simulate import fresh_keys
from protocol.seal.keys import SigningKey
from provision.make_update import Sources, Terms, make_update
from tests.nspawn import boot_with_probe, installed_root

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.update.manifest import Manifest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
_CONFIG = """
unit = "unit-07"
agency = "Example Sheriff"
[[hw.cameras]]
kind = "folder"
path = "/frames"
fps = 10
loop = true
realtime = true
[reread]
window_s = 0
[outbox]
min_free_mib = 0
[update]
well_s = 3
quiet_s = 0
[policy]
mode = "off"
[seal]
station_key = "/etc/patrol-lpr/station.pub"
"""
_PROBE = r"""#!/bin/bash
# Runs inside, beside the agent, and plays what would have fetched the updates; every line is looked at outside.
say() { echo "$1=$2" >> /probe; }
lpr=/opt/patrol-lpr/bin/patrol-lpr
until_status() { for _ in $(seq "$2"); do $lpr update status | grep -q "$1" && return; sleep 0.5; done; }
running() {
  for _ in $(seq 60); do [ "$(systemctl is-active patrol-lpr.service)" = active ] && break; sleep 0.5; done
  readlink /proc/"$(systemctl show -P MainPID patrol-lpr.service)"/cwd > /dev/null
  tr '\0' '\n' < /proc/"$(systemctl show -P MainPID patrol-lpr.service)"/cmdline | head -1
}
give() {
  cp "/updates/$1.lprup" /var/lib/patrol-lpr/updates/part
  chown patrol-lpr:patrol-lpr /var/lib/patrol-lpr/updates/part
  mv /var/lib/patrol-lpr/updates/part /var/lib/patrol-lpr/updates/inbox.lprup
}
told() { $lpr update status | tr '\n' '|'; }
for _ in $(seq 120); do [ -d /var/lib/patrol-lpr/updates ] && break; sleep 0.5; done
say before "$(running)"
give good;    until_status 'release 1, committed' 600; say good "$(told)"; say good_runs "$(running)"
give crash;   until_status 'release 2 rolled_back' 600; say crash "$(told)"; say crash_runs "$(running)"
give unwell;  until_status 'release 3 rolled_back' 240; say unwell "$(told)"; say unwell_runs "$(running)"
give wrong;   until_status 'release 4 refused' 240; say wrong "$(told)"
give config;  until_status 'release 5, committed' 240; say config "$(told)"; say config_runs "$(running)"
say level "$($lpr config show | grep -c '"level": "debug"')"
head -c -1 /updates/late.lprup > /updates/cut.lprup
give cut; for _ in $(seq 60); do [ -e /var/lib/patrol-lpr/updates/inbox.lprup ] || break; sleep 0.5; done
say cut "$(told)"
say units "$(systemctl is-active patrol-lpr-update.path):$(systemctl is-active patrol-lpr-confirm.path)"
say owner "$(find /opt/patrol-lpr -user patrol-lpr | wc -l)"
systemctl stop patrol-lpr.service
journalctl -u patrol-lpr-update -o cat > /journal
systemctl --no-block poweroff
"""


def broken_copy(wheels: Path, folder: Path) -> Path:
    """The same wheels, but ours ends at once when it is told to run."""
    folder.mkdir()
    for wheel in wheels.glob("*.whl"):
        if not wheel.name.startswith("patrol_lpr-"):
            shutil.copy(wheel, folder)
            continue
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(folder / wheel.name, "w") as new:
            for item in old.infolist():
                data = old.read(item)
                if item.filename == "cli/run.py":
                    data += b"\nraise SystemExit('this release is broken')\n"
                new.writestr(item, data)
    return folder


def release(
    out: Path, key: SigningKey, number: int, *, wheels: Path | None = None, config: str | None = None,
    base: Manifest | None = None,
) -> Manifest:  # fmt: skip
    sources = Sources()
    if wheels is not None:
        sources.add_wheels(wheels)
    if config is not None:
        path = out.with_suffix(".toml")
        path.write_text(config)
        sources.add_config(path)
    now_s = int(time.time())
    return make_update(out, sources, Terms(number, ("unit-*",), now_s - 3600, now_s + 3600), key, base=base)


def unchecked(monkeypatch: pytest.MonkeyPatch, out: Path, key: SigningKey, number: int, *, config: str) -> None:
    """An update by a maker that does not look at the configuration, which ours refuses to sign."""
    with monkeypatch.context() as patch:
        patch.setattr("provision.make_update.check_patch", lambda *_: None)
        release(out, key, number, config=config)


def test_updates_are_committed_or_rolled_back_and_no_read_is_lost(repo, tmp_path, monkeypatch):
    root = installed_root(repo, tmp_path, keep_wheels=tmp_path / "wheels")
    shutil.copytree(repo / "tests/drives/city-day/frames", root / "frames")
    fresh_keys(tmp_path / "keys", "unit-07")
    key, etc = SigningKey.generate(), root / "etc/patrol-lpr"
    for name in ("unit.key", "station.pub"):
        shutil.copy(tmp_path / "keys" / name, etc / name)
    (etc / "release.pub").write_bytes(key.public.pem())
    (etc / "config.toml").write_text(_CONFIG)
    for name in ("config.toml", "station.pub"):
        (etc / name).chmod(0o644)
    drop_in = root / "etc/systemd/system/patrol-lpr-trial.timer.d"
    drop_in.mkdir()
    (drop_in / "test.conf").write_text("[Timer]\nOnActiveSec=\nOnActiveSec=30s\n")
    updates = root / "updates"
    updates.mkdir()
    wheels = tmp_path / "wheels"
    first = release(updates / "good.lprup", key, 1, wheels=wheels)
    release(updates / "crash.lprup", key, 2, wheels=broken_copy(wheels, tmp_path / "broken"), base=first)
    release(updates / "unwell.lprup", key, 3, config="[update]\nwell_s = 3600\n")
    unchecked(monkeypatch, updates / "wrong.lprup", key, 4, config="[camera]\nkind = 'pi'\n")
    release(updates / "config.lprup", key, 5, config="[log]\nlevel = 'debug'\n")
    release(updates / "late.lprup", key, 6, config="[log]\nlevel = 'info'\n")
    said, console = boot_with_probe(root, _PROBE, timeout_s=1200, wants="patrol-lpr.service")
    detail = f"{said}\n{(root / 'journal').read_text()[-3000:]}\n{console[-2000:]}"
    assert "/code/0/" in said["before"], detail
    assert "release 1, committed" in said["good"], detail
    assert "/code/1/" in said["good_runs"], detail
    assert "release 1, committed|last update: release 2 rolled_back: not healthy in 3 starts" in said["crash"], (
        detail
    )
    assert "/code/1/" in said["crash_runs"], detail
    assert "release 1, committed|last update: release 3 rolled_back: not healthy in time" in said["unwell"], detail
    assert "/code/1/" in said["unwell_runs"], detail
    assert "last update: release 4 refused" in said["wrong"], detail
    assert "camera: unknown key" in said["wrong"], detail
    assert "release 5, committed" in said["config"], detail
    assert "/code/1/" in said["config_runs"], "a configuration brings no program of its own"
    assert said["level"] == "1"
    assert "last update: release 6 refused: config.toml: truncated" in said["cut"], detail
    assert "2 committed, 2 rolled back, 2 refused; updates must be above 5" in said["cut"], detail
    assert said["units"] == "active:active"
    assert said["owner"] == "0", "the agent owns nothing of what runs"
    reader = OutboxReader(root / "var/lib/patrol-lpr" / FILE_NAME)
    stats = reader.stats()
    reader.close()
    assert stats.reads >= 1
    assert stats.reads == stats.appended, "whatever release ran, its reads are there"

"""The Debian package of the station: installed, started, backed up, removed and purged on a Debian of its own."""

from __future__ import annotations

import shutil

from provision.make_deb import Target, make_deb
from tests.chroot import run, wheels
from tests.nspawn import PACKAGES, SUITE, boot_with_probe, plain_root

_PROBE = """#!/bin/sh
exec >/probe 2>/probe.log
wait_for() {
  for _ in $(seq 120); do eval "$1" >/dev/null 2>&1 && return 0; sleep 1; done
  return 1
}
ask() { python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9479/metrics').read().decode())"; }
wait_for 'ask'
echo "active=$(systemctl is-active patrol-lpr-station.service)"
echo "backup_timer=$(systemctl is-active patrol-lpr-backup.timer)"
wait_for 'ask | grep -q "^patrol_lpr_station_brokers_connected 1$"'
echo "connected=$(ask | grep -c '^patrol_lpr_station_brokers_connected 1$')"
echo "user=$(ps -o user:32= -p "$(systemctl show -P MainPID patrol-lpr-station.service)")"
echo "store=$(stat -c '%U %a' /var/lib/patrol-lpr-station/station.db)"
systemctl start patrol-lpr-backup.service
echo "backup=$(systemctl show -P Result patrol-lpr-backup.service)"
set -- /var/backups/patrol-lpr/*/backup.json
echo "backups=$#"
patrol-lpr station restore "${1%/backup.json}" --verify-only >/dev/null 2>&1
echo "verified=$?"
# The pages in their own sandbox, but with a file instead of PostgreSQL: they answer when their start has returned.
mkdir -p /etc/systemd/system/patrol-lpr-web.service.d
cat > /etc/systemd/system/patrol-lpr-web.service.d/file.conf <<END
[Service]
ExecStart=
ExecStart=/opt/patrol-lpr/bin/patrol-lpr station --db /tmp/pages.db web --web 127.0.0.1:8480
END
systemctl daemon-reload
systemctl start patrol-lpr-web.service
echo "pages=$(python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8480/').status)")"
echo "MARK=1" >> /etc/patrol-lpr/station.env
dpkg --force-confold -i /station.deb >/dev/null 2>&1
echo "again=$?"
echo "kept=$(grep -c MARK /etc/patrol-lpr/station.env)"
wait_for 'ask'
echo "after=$(systemctl is-active patrol-lpr-station.service)"
dpkg -r patrol-lpr-station >/dev/null 2>&1
echo "removed=$?"
echo "stopped=$(systemctl is-active patrol-lpr-station.service)"
echo "code=$(ls -d /opt/patrol-lpr 2>/dev/null)"
dpkg -P patrol-lpr-station >/dev/null 2>&1
echo "purged=$?"
echo "config=$(ls /etc/patrol-lpr/station.env 2>/dev/null)"
echo "records=$(ls /var/lib/patrol-lpr-station/station.db)"
systemctl poweroff --no-block
"""


def test_station_is_installed_started_backed_up_and_removed(repo, tmp_path):
    """Without a network; the records stay when the package goes."""
    found = wheels(repo, SUITE, PACKAGES, tmp_path / "wheels", "station", "postgres", "oidc")
    deb = make_deb(found, tmp_path, Target(run("dpkg", "--print-architecture").strip(), (3, 11)))
    root = plain_root(tmp_path)
    shutil.copyfile(deb, root / "station.deb")
    run("chroot", str(root), "dpkg", "-i", "/station.deb")
    told, console = boot_with_probe(root, _PROBE, timeout_s=1200, after="patrol-lpr-station.service")
    assert told == {
        "active": "active",
        "backup_timer": "active",
        "connected": "1",
        "user": "patrol-lpr-station",
        "store": "patrol-lpr-station 600",
        "backup": "success",
        "backups": "1",
        "verified": "0",
        "pages": "200",
        "again": "0",
        "kept": "1",
        "after": "active",
        "removed": "0",
        "stopped": "inactive",
        "code": "",
        "purged": "0",
        "config": "",
        "records": "/var/lib/patrol-lpr-station/station.db",
    }, (root / "probe.log").read_text() + console[-2000:]

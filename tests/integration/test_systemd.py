"""The shipped systemd units: checked by systemd's tools, and booted with the installer under systemd-nspawn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from cli.simulate import fresh_keys
from provision.image import install_into
from tests.nspawn import REBOOTED, boot, boot_with_probe, image_root, installed_root, plain_root

pytestmark = pytest.mark.integration
UNITS = (
    "patrol-lpr.service",
    "patrol-lpr-setup.service",
    "patrol-lpr-enrol.service",
    "patrol-lpr-poweroff.path",
    "patrol-lpr-renew.service",
    "patrol-lpr-renew.timer",
    "patrol-lpr-poweroff.service",
    "patrol-lpr-firewall.service",
    "patrol-lpr-update.path",
    "patrol-lpr-update.service",
    "patrol-lpr-confirm.path",
    "patrol-lpr-confirm.service",
    "patrol-lpr-trial.timer",
    "patrol-lpr-trial.service",
    "patrol-lpr-console.service",
)
EXPOSURE = {
    "patrol-lpr.service": 1.5,
    "patrol-lpr-setup.service": 1.0,
    "patrol-lpr-poweroff.service": 1.0,
    "patrol-lpr-firewall.service": 1.8,
    "patrol-lpr-renew.service": 2.0,
    "patrol-lpr-console.service": 1.2,
    # It sets the clock and asks the receiver for the time.
    "patrol-lpr-enrol.service": 2.7,
    "patrol-lpr-update.service": 3.1,
    "patrol-lpr-confirm.service": 4.5,
    "patrol-lpr-trial.service": 4.5,
}
_CONFIG = """
unit = "unit-07"
agency = "Example Sheriff"
[[hw.cameras]]
kind = "folder"
path = "/frames"
fps = 25
loop = true
realtime = true
[reread]
window_s = 0
[outbox]
min_free_mib = 0
[policy]
mode = "off"
[seal]
station_key = "/etc/patrol-lpr/station.pub"
"""
_PROBE = r"""#!/bin/bash
# Runs inside, after the agent; every line it writes is looked at outside.
say() { echo "$1=$2" >> /probe; }
prop() { systemctl show -P "$1" patrol-lpr.service; }
# heard N SERVICE TEXT returns when the service's journal has N lines with the text, or after a minute.
heard() {
  local count
  count=$(grep -c -m "$1" -F -e "$3" < <(timeout 60 journalctl --follow --no-tail -o cat -u "$2"))
  [ "$count" = "$1" ] || say unheard "$3"
}
touch /started
say active "$(systemctl is-active patrol-lpr.service)"
say enrol "$(systemctl show -P ConditionResult patrol-lpr-enrol.service)"
heard 1 patrol-lpr '"event": "read"'
pid=$(prop MainPID)
say user "$(ps -o user= -p "$pid")"
say caps "$(grep CapEff /proc/"$pid"/status | cut -f2)"
say nnp "$(grep NoNewPrivs /proc/"$pid"/status | cut -f2)"
say seccomp "$(grep '^Seccomp:' /proc/"$pid"/status | cut -f2)"
say core "$(grep 'core file' /proc/"$pid"/limits | awk '{print $5}')"
say etc "$(nsenter -t "$pid" -m touch /etc/patrol-lpr/x 2>&1 | grep -o 'Read-only' || echo written)"
say listeners "$(cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A"' | wc -l)"
say account "$(getent passwd patrol-lpr | cut -d: -f6-7)"
say groups "$(id -Gn patrol-lpr | tr ' ' '\n' | grep -x -e gpio -e video -e dialout | sort | tr '\n' ' ')"
say feed "$(stat -c %a:%U:%G /run/patrol-lpr/feed.sock)"
say view "$(setpriv --reuid=nobody --regid=patrol-lpr-feed --clear-groups /view.py)"
say command "$(stat -c %a:%U:%G /run/patrol-lpr-console/command.sock)"
say commander "$(setpriv --reuid=nobody --regid=patrol-lpr-console --clear-groups /command.py)"
say uninvited "$(setpriv --reuid=nobody --regid=patrol-lpr-feed --clear-groups /command.py 2>&1 | tail -1)"
say stranger "$(setpriv --reuid=nobody --regid=nogroup --clear-groups /view.py 2>&1 | tail -1)"
# While another service has its port, its start fails, and `systemctl` says so.
systemd-run --quiet --unit=other --socket-property=ListenStream=127.0.0.1:8470 /bin/true
systemctl start patrol-lpr-console.service && say page_without_port started || say page_without_port failed
systemctl stop other.socket
systemctl start patrol-lpr-console.service
page() { systemctl show -P "$1" patrol-lpr-console.service; }
say page "$(/page.py)"
say page_log "$(journalctl -u patrol-lpr-console -o cat | tail -3 | tr '\n' ' ')"
say page_user "$(ps -o user:32= -p "$(page MainPID)")"
say page_caps "$(grep CapEff /proc/"$(page MainPID)"/status | cut -f2)"
say page_etc "$(nsenter -t "$(page MainPID)" -m ls /etc/patrol-lpr /var/lib/patrol-lpr | grep -c -v -e '^$' -e ':$')"
say page_listens "$(awk '$4 == "0A" {print $2}' /proc/net/tcp /proc/net/tcp6 | tr '\n' ' ')"
# A console that hangs, then dies: the agent goes on, and systemd starts another.
kill -STOP "$(page MainPID)"
say with_hung_page "$(setpriv --reuid=nobody --regid=patrol-lpr-feed --clear-groups /view.py)"
kill -KILL "$(page MainPID)"
heard 2 patrol-lpr-console 'Started patrol-lpr-console.service'
say page_again "$(/page.py)"
say agent_restarts "$(prop NRestarts)"
systemctl stop patrol-lpr-console.service
say page_result "$(page Result):$(page ExecMainStatus)"
say etc_mode "$(stat -c %a:%U:%G /etc/patrol-lpr)"
say cores "$(cat /etc/sysctl.d/60-patrol-lpr.conf)"
say journal "$(journalctl -u systemd-journald -o cat | grep '^System Journal' | grep -o 'max [0-9.]*M' | tail -1)"
say limits "$(prop StartLimitAction):$(prop StartLimitBurst):$(prop Restart):$(prop WatchdogUSec)"
say key_mode "$(stat -c %a:%U /etc/patrol-lpr/unit.key)"
say notify "$(prop StatusText)"
kill -STOP "$pid"
heard 2 patrol-lpr 'Started patrol-lpr.service'
say restarts "$(prop NRestarts)"
say watchdog "$(journalctl -u patrol-lpr -o cat | grep -c 'Watchdog timeout')"
say again "$(systemctl is-active patrol-lpr.service)"
# Only what the service's own processes wrote: its user is nobody else's.
say strays "$(find / -xdev -newer /started -user patrol-lpr ! -path '/var/lib/patrol-lpr*' ! -path '/proc/*' | wc -l)"
systemctl stop patrol-lpr.service
say result "$(prop Result):$(prop ExecMainStatus)"
say plates "$(journalctl -o cat | grep -c -F -f /plates)"
systemctl start patrol-lpr.service
say before_off "$(systemctl is-system-running)"
# What the agent does when the ignition has gone and everything is on the disk.
setpriv --reuid=patrol-lpr --clear-groups touch /run/patrol-lpr/power-off
"""


_VIEW = """#!/usr/bin/python3
import json, socket
feed = socket.socket(socket.AF_UNIX)
feed.connect("/run/patrol-lpr/feed.sock")
first, second = (json.loads(line) for line, _ in zip(feed.makefile("rb"), range(2)))
print(first["event"], first["unit"], second["event"])
"""
_COMMAND = """#!/usr/bin/python3
import json, socket
agent = socket.socket(socket.AF_UNIX)
agent.connect("/run/patrol-lpr-console/command.sock")
agent.sendall(b'{"id": 1, "verb": "nonsense"}\\n')
print(json.loads(agent.makefile("rb").readline())["error"])
"""
_PAGE = """#!/usr/bin/python3
import http.client
console = http.client.HTTPConnection("127.0.0.1", 8470)
console.request("GET", "/")
cookie = console.getresponse().getheader("set-cookie").split(";")[0]
console = http.client.HTTPConnection("127.0.0.1", 8470)
console.request("GET", "/events", headers={"cookie": cookie})
stream = console.getresponse()
# What the agent says of itself: the feed reaches the page, whatever the policy lets the agent keep.
print("unit" if any(b'"unit":"unit-07"' in stream.fp.readline() for _ in range(40)) else "no unit")
"""
_FIRST_BOOT = r"""#!/bin/bash
# Runs inside after the first boot of a fleet image: plays the authority, then lets the unit enrol itself.
say() { local what=$1; shift; echo "$what=$*" >> /probe; }
lpr=/opt/patrol-lpr/bin/patrol-lpr
say setup "$(systemctl show -P Result patrol-lpr-setup.service):$(systemctl is-active patrol-lpr-setup.service)"
say version "$($lpr --version)"
say nobody_yet "$(systemctl show -P ConditionResult patrol-lpr-enrol.service)"
say agent_waits "$(systemctl show -P ConditionResult patrol-lpr.service)"
say order "$(systemctl show -P ExecMainExitTimestampMonotonic patrol-lpr-setup.service)" \
  "$(systemctl show -P ConditionTimestampMonotonic patrol-lpr-enrol.service)" \
  "$(systemctl show -P ConditionTimestampMonotonic patrol-lpr.service)"
mkdir -p /authority /boot/firmware/patrol-lpr
$lpr provision ca /authority/ca
$lpr provision issue /authority/ca enrol --host 127.0.0.1 --out /authority/enrol
$lpr keys station /authority/station
# It listens when it has said where.
exec 3< <(exec $lpr provision serve /authority/ca --cert /authority/enrol/enrol.pem --key /authority/enrol/enrol.key)
read -r -t 60 -u 3
$lpr provision card /authority/ca unit-09 --agency "Example Sheriff" --enrol-at 127.0.0.1:8443 \
  --broker broker.example.org:8883 --station-key /authority/station/station.pub \
  --out /boot/firmware/patrol-lpr/provision.json
systemctl start patrol-lpr-enrol.service
say enrol "$(systemctl show -P Result patrol-lpr-enrol.service)"
say left_on_card "$(ls /boot/firmware/patrol-lpr | wc -l)"
say files "$(cd /etc/patrol-lpr && stat -c %n:%a:%U *.json *.key *.pem *.pub config.toml | sort | tr '\n' ' ')"
say renew "$($lpr provision renew --etc /etc/patrol-lpr)"
say timer "$(systemctl is-active patrol-lpr-renew.timer)"
say config "$($lpr config check /etc/patrol-lpr/config.toml > /dev/null && echo right)"
say listed "$($lpr provision list /authority/ca | grep -c unit-09)"
systemctl --no-block poweroff
"""


def test_systemd_analyze_verify(repo, tmp_path):
    """Everything but the program's path, which depends on the installation."""
    shipped = [*(repo / "systemd" / name for name in UNITS), *(repo / "provision").glob("*/*.service")]
    for path in shipped:
        text = re.sub(
            r"/opt/patrol-lpr/\S*bin/(patrol-lpr|pip|python)|/usr/lib/patrol-lpr/tryboot/slots",
            "/bin/true",
            path.read_text(),
        )
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
         *(str(tmp_path / path.name) for path in shipped)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_every_service_has_an_exposure_limit(repo):
    assert {path.name for path in (repo / "systemd").glob("*.service")} == set(EXPOSURE)


@pytest.mark.parametrize(("name", "most"), EXPOSURE.items())
def test_systemd_analyze_security(repo, name, most):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(repo / "systemd" / name)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    overall = re.search(r"Overall exposure level .*: ([\d.]+)", done.stdout)
    assert overall, done.stderr
    assert float(overall[1]) <= most


def test_installed_system_boots_restarts_stops_and_powers_off(repo, tmp_path):
    root = installed_root(repo, tmp_path)
    shutil.copytree(repo / "tests/drives/city-day/frames", root / "frames")
    fresh_keys(tmp_path / "keys", "unit-07")
    for name in ("unit.key", "station.pub"):
        shutil.copy(tmp_path / "keys" / name, root / "etc/patrol-lpr" / name)
    (root / "etc/patrol-lpr/config.toml").write_text(_CONFIG)
    (root / "etc/patrol-lpr/config.toml").chmod(0o644)
    (root / "etc/patrol-lpr/station.pub").chmod(0o644)
    drop_in = root / "etc/systemd/system/patrol-lpr.service.d"
    drop_in.mkdir()
    (drop_in / "test.conf").write_text(
        "[Service]\nWatchdogSec=4\nExecStartPre=/usr/bin/python3 /sandbox_probe.py /var/lib/patrol-lpr/sandbox.json\n"
    )
    shutil.copy(repo / "tests/sandbox_probe.py", root)
    (root / "sandbox_probe.py").chmod(0o644)
    put_scripts(root)
    truth = (repo / "tests/drives/city-day/truth.csv").read_text().splitlines()[1:]
    (root / "plates").write_text("\n".join(sorted({line.split(",")[5] for line in truth})) + "\n")
    said, console = boot_with_probe(root, _PROBE, timeout_s=240, wants="patrol-lpr.service")
    assert (said["active"], said.get("unheard")) == ("active", None), f"{said}\n{console[-3000:]}"
    assert said["enrol"] == "no", "without a card there is nothing to enrol"
    assert said["user"].strip() in {"patrol-+", "patrol-lpr"}
    assert (said["caps"], said["nnp"], said["seccomp"], said["core"]) == ("0000000000000000", "1", "2", "0")
    assert said["etc"] == "Read-only"
    assert said["listeners"] == "0", "a unit speaks first and listens on nothing"
    assert said["account"] == "/var/lib/patrol-lpr:/usr/sbin/nologin"
    assert said["groups"].split() == ["dialout", "gpio", "video"]
    assert said["feed"] == "660:patrol-lpr:patrol-lpr-feed"
    assert said["view"].startswith("snapshot unit-07 "), "a user of the group alone reads the feed"
    assert said["command"] == "660:patrol-lpr:patrol-lpr-console"
    assert said["commander"] == "unknown_verb", "a user of the group alone sends commands"
    assert [name for name in ("stranger", "uninvited") if "PermissionError" not in said[name]] == []
    assert_page_of_its_own(said, console)
    assert said["etc_mode"] == "750:root:patrol-lpr"
    assert said["cores"] == "kernel.core_pattern=|/bin/false"
    assert said["journal"] == "max 64.0M"
    assert said["limits"] == "reboot:10:always:4s"
    tried = json.loads((root / "var/lib/patrol-lpr/sandbox.json").read_text())
    assert tried.pop("credential") == "there"
    assert {what: how for what, how in tried.items() if how == "done"} == {}, "the walls have a hole"
    assert said["key_mode"] == "600:root", "the signing key is root's; systemd hands it over"
    assert "reads" in said["notify"]
    assert int(said["restarts"]) >= 1
    assert int(said["watchdog"]) >= 1
    assert said["again"] == "active"
    assert said["strays"] == "0", "the agent wrote outside its state folder"
    assert said["result"] == "success:0"
    assert said["plates"] == "0", "a plate is in the journal"
    # The console ended by itself: the path unit has switched the system off.
    reader = OutboxReader(root / "var/lib/patrol-lpr" / FILE_NAME)
    stats = reader.stats()
    reader.close()
    assert stats.reads >= 1
    assert stats.reads == stats.appended


def put_scripts(root):
    for name, text in (("view.py", _VIEW), ("command.py", _COMMAND), ("page.py", _PAGE)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)


def assert_page_of_its_own(said, console):
    journal = console[-3000:] if said["page"] != "unit" else ""
    assert (said["page"], said["page_again"]) == ("unit", "unit"), f"the page hears the agent {said}\n{journal}"
    assert (said["page_user"].strip(), said["page_caps"]) == ("patrol-lpr-console", "0000000000000000")
    assert said["page_etc"] == "0", "neither configuration nor state of the agent"
    assert said["page_without_port"] == "failed"
    assert said["page_listens"].split() == ["0100007F:2116"], "loopback alone, port 8470"
    assert said["with_hung_page"].startswith("snapshot unit-07 ")
    assert said["agent_restarts"] == "0", "a console that hangs or dies is nothing to the agent"
    assert said["page_result"] == "success:0"


def test_agent_that_keeps_failing_causes_a_reboot(repo, tmp_path):
    """Ten restarts do not help: the board is rebooted."""
    root = plain_root(tmp_path)
    (tmp_path / "no wheels").mkdir()
    install_into(root, systemd=repo / "systemd", wheels=tmp_path / "no wheels")
    etc, units = root / "etc/patrol-lpr", root / "etc/systemd/system"
    etc.mkdir()
    for name in ("config.toml", "unit.key"):
        (etc / name).touch()
    (units / "patrol-lpr.service.d").mkdir()
    (units / "patrol-lpr.service.d/test.conf").write_text(
        "[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo start >> /var/lib/patrol-lpr/log; exit 1'\n"
        "RestartSec=100ms\n"
    )
    (root / "var/lib/patrol-lpr").mkdir()
    boot(root, timeout_s=120, ends=REBOOTED)
    assert (root / "var/lib/patrol-lpr/log").read_text() == "start\n" * 10


def test_fleet_image_creates_its_environment_and_enrols(repo, tmp_path):
    """A plain Debian with the image builder's files is complete, without a network."""
    root = image_root(repo, tmp_path)
    said, console = boot_with_probe(
        root, _FIRST_BOOT, timeout_s=300, after="patrol-lpr-setup.service multi-user.target"
    )
    assert said["setup"] == "success:active", f"{said}\n{console[-3000:]}"
    assert said["version"].startswith("patrol-lpr ")
    assert (said["nobody_yet"], said["agent_waits"]) == ("no", "no"), (
        "without keys and configuration nothing starts"
    )
    order = [int(at_us) for at_us in said["order"].split()]
    assert order == sorted(order), "the environment comes first, then the certificate, then the agent"
    assert len(set(order)) == 3
    assert said["enrol"] == "success", f"{said}\n{console[-3000:]}"
    assert said["left_on_card"] == "0", "the single-use token is still there"
    assert said["files"].split() == [
        "ca.pem:640:root", "config.toml:640:root", "enrol.json:640:root",
        "receipt.pub:640:root", "station.pub:640:root", "tls.key:640:root", "unit.key:600:root",
        "unit.pem:640:root",
    ]  # fmt: skip
    assert (said["config"], said["listed"]) == ("right", "1")
    assert (said["renew"], said["timer"]) == ("not yet due", "active")

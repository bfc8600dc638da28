"""The panel and the clock on an emulated Raspberry Pi 3B: 54 real lines, no battery."""

from __future__ import annotations

import json

import pytest

from hw.panel_gpio import BLINK_S
from hw.ports import Buzz, Lamp
from tests.chroot import run
from tests.system.guest import Guest
from tests.system.unit_card import root_of

pytestmark = pytest.mark.integration
BOOT_S, PROBE_S = 600, 600
# QEMU's second UART is not one that Linux likes: what is to be known comes over the console, which is quiet otherwise.
_QUIET = "[Journal]\nForwardToConsole=no\n"
_SCRIPT = r"""#!/bin/sh
exec > /dev/console 2>&1
cd /run
echo "MODEL $(tr -d '\0' < /proc/device-tree/model)"
echo "PANEL $(/opt/patrol-lpr/code/0/bin/python /opt/panel_probe.py 2>&1 | tail -1)"
echo "DOCTOR $(/opt/patrol-lpr/bin/patrol-lpr doctor --json | tr -d '\n')"
systemctl --no-block poweroff
"""
_UNIT = """[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh /opt/probe.sh
"""
_CONFIG = """
unit = "unit-07"
agency = "Example Sheriff"
[[hw.cameras]]
kind = "folder"
path = "/opt/drive"
[hw.panel]
kind = "gpio"
ignition_pin = 5
status_pin = 17
[policy]
mode = "off"
[seal]
mode = "off"
"""


@pytest.fixture(scope="module")
def card(tmp_path_factory, repo, steps, fleet_image, installed):
    """A fleet image whose environment is made already."""
    folder = tmp_path_factory.mktemp("pi")
    path = folder / "card.img"
    with steps.step("card of a Pi 3B, environment already made"):
        run("cp", "--sparse=always", str(fleet_image), str(path))
        with root_of(path, folder / "mount") as root:
            run("cp", "-a", str(installed / "opt/patrol-lpr"), str(root / "opt"))
            (root / "opt/patrol-lpr/.ready").touch()
            run("cp", str(repo / "tests/system/panel_probe.py"), str(root / "opt/panel_probe.py"))
            (root / "opt/probe.sh").write_text(_SCRIPT)
            (root / "etc/systemd/journald.conf.d/zz-console.conf").write_text(_QUIET)
            units = root / "etc/systemd/system"
            (units / "probe.service").write_text(_UNIT)
            (units / "multi-user.target.wants/probe.service").symlink_to("/etc/systemd/system/probe.service")
            (root / "opt/drive").mkdir()
            run("cp", str(repo / "tests/drives/city-day/frames/0000.jpg"), str(root / "opt/drive"))
            (root / "etc/patrol-lpr").mkdir(exist_ok=True)
            (root / "etc/patrol-lpr/config.toml").write_text(_CONFIG)
    return path


@pytest.fixture(scope="module")
def pi(steps, boards, card):
    """What was seen on the board: the probe's findings and doctor's."""
    guest = Guest("pi3b", card.parent, boards.raspi3b(card))
    found = {}
    try:
        with steps.step("Pi 3B: booted"):
            found["model"] = guest.until("MODEL (.*)", timeout_s=BOOT_S)[1]
        with steps.step("Pi 3B: panel"):
            told = guest.until("PANEL (.*)", timeout_s=PROBE_S)[1]
            found |= json.loads(told) if told.startswith("{") else {"failed": told}
        with steps.step("Pi 3B: doctor"):
            told = guest.until("DOCTOR (.*)", timeout_s=PROBE_S)[1]
            found["doctor"] = {row["what"]: row for row in json.loads(told)}
        with steps.step("Pi 3B: power off"):
            guest.until("System halted", timeout_s=BOOT_S)
        yield found
    finally:
        guest.kill()


def test_probe_completed(pi):
    assert "failed" not in pi, pi["failed"]
    assert pi["model"].startswith("Raspberry Pi 3 Model B")


@pytest.mark.parametrize("lamp", list(Lamp))
def test_every_lamp_pattern_is_on_the_pin(pi, lamp):
    """Blinking patterns show both levels, recording only on, off only off."""
    steady = {Lamp.RECORDING: [True], Lamp.OFF: [False]}
    assert pi[f"lamp {lamp.value}"] == ([False, True] if lamp in BLINK_S else steady[lamp])


@pytest.mark.parametrize("sound", list(Buzz))
def test_every_buzzer_pattern_is_on_the_pin(pi, sound):
    assert pi[f"sound {sound.value}"] == 1


def test_hit_lamp_acknowledge_and_illuminator(pi):
    assert pi["hit lamp"] == [False, True]
    assert pi["hushed"] == [False, False]
    assert pi["illuminator"] == [True]


def test_busy_pin_and_missing_chip_are_reported(pi):
    assert pi["taken"].startswith("panel: GPIO 5 cannot be used")
    assert pi["no chip"].startswith("panel: /dev/gpiochip9 cannot be used")
    assert pi["claimed after close"] == 0


def test_inputs_are_inactive(pi):
    assert (pi["ignition_on"], pi["presses"]) == (False, 0)


def test_doctor_detects_a_clock_months_off(pi):
    clock = pi["doctor"]["clock"]
    assert clock["mark"] == "fail"
    assert "no certificate is valid yet" in clock["detail"]
    assert pi["doctor"]["panel"]["mark"] == "ok"

"""The whole life of a unit on an emulated board, from a blank card on; each test checks one aspect of the same run.

First boot, enrolment, a drive; the cable is cut in the middle; a second boot, the kernel hangs and the watchdog bites;
a third boot by itself, and the ignition goes off.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from agent.runtime.config import load_config
from agent.runtime.service import Service
from agent.runtime.stages import build_recogniser
from cli.run import open_hardware
from hw.clock import RealClock
from tests.system import unit_card
from tests.system.fleet import Fleet, Receiver
from tests.system.guest import Guest

pytestmark = pytest.mark.integration
BOOT_S, SETUP_S, WORK_S = 600, 1200, 600
READ = re.compile(r'"event": "read"')
_LOOK = r"""
for unit in setup enrol; do echo $unit $(systemctl show -P ActiveState patrol-lpr-$unit.service); done
echo poweroff $(systemctl is-active patrol-lpr-poweroff.path)
echo renew $(systemctl is-active patrol-lpr-renew.timer)
echo agent $(systemctl is-active patrol-lpr.service)
echo failed $(systemctl list-units --failed --plain --no-legend | wc -l)
echo card $(ls /boot/firmware/patrol-lpr | wc -l)
echo key $(stat -c %a:%U /etc/patrol-lpr/unit.key)
echo machine $(uname -m)
for name in VmRSS VmHWM Threads; do
  echo $name $(grep $name /proc/$(systemctl show -P MainPID patrol-lpr.service)/status | tr -dc 0-9)
done
echo watchdog $(cd /sys/class/watchdog/watchdog0 && cat identity | tr ' ' _; cat state timeout)
"""


@dataclass
class Life:
    """What was seen."""

    twin: list[str] = field(default_factory=list)
    """Texts of the same drive on this machine, in the order of their reads."""
    first: dict[str, str] = field(default_factory=dict)
    """What the unit said of itself while it drove for the first time."""
    doctor: dict[str, tuple[str, str]] = field(default_factory=dict)
    ids_before_cut: list[str] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)
    """Ids of all reads that any boot said it had committed."""
    waiting: int = 0
    """Reads in the outbox after the last power-off."""
    boots: list[list] = field(default_factory=list)
    """Reads at the station, for each boot in turn."""
    watchdog: dict = field(default_factory=dict)
    shutdown: dict = field(default_factory=dict)
    exit_code: int | None = None
    last_lines: list[str] = field(default_factory=list)
    audit: tuple[int, str] = (1, "")
    state: str = ""
    consoles: str = ""


def twin(repo, folder) -> list[str]:
    """The same drive by the same configuration, on this machine."""
    frames = unit_card.drive_frames(repo, folder / "frames")
    off = '[policy]\nmode = "off"\n[seal]\nmode = "off"\n'
    text = f'state_dir = "{folder}"\n{unit_card.COMMON % frames}{off}[outbox]\nmin_free_mib = 0\n'
    (folder / "config.toml").write_text(text)
    config = load_config(folder / "config.toml")
    service = Service(config, open_hardware(config, RealClock()), lambda: build_recogniser(config), ("twin",))
    service.progress.keep = 10**6
    service.run(until_cameras_end=True, drain_s=0)
    return [read.body.text for read in service.progress.reads]


def pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" ")
    return name, value


@pytest.fixture(scope="module")
def life(tmp_path_factory, repo, steps, boards, fleet_image):
    folder = tmp_path_factory.mktemp("life")
    seen = Life()
    with steps.step("the same drive on this machine"):
        seen.twin = twin(repo, folder / "twin")
    fleet = Fleet(folder, repo)
    with steps.step("card of one unit"):
        card = unit_card.make(fleet_image, folder, repo, fleet.card())
    guest = None
    try:
        fleet.broker.start()
        arguments = [*boards.virt(card), *fleet.network()]
        guest = power_on("first", folder, arguments)
        first_boot(guest, fleet, steps, seen)
        guest = power_on("second", folder, arguments)
        second_boot(guest, fleet, steps, seen)
        third_boot(guest, fleet, steps, seen)
        seen.committed = {
            at for path in folder.glob("*.console.txt") for at, _ in read_ids(path.read_text().splitlines())
        }
        with unit_card.root_of(card, folder / "mount") as root:
            reader = OutboxReader(root / "var/lib/patrol-lpr" / FILE_NAME)
            seen.waiting = reader.stats().reads
            reader.close()
        seen.audit = fleet.audit()
        seen.state = fleet.state()
        by_boot: dict[bytes, list] = {}
        for read in fleet.reads():
            by_boot.setdefault(read.record.envelope.boot_id, []).append(read)
        seen.boots = list(by_boot.values())
        seen.consoles = "".join(path.read_text() for path in folder.glob("*.console.txt"))
        yield seen
    finally:
        if guest is not None:
            guest.kill()
        fleet.close()


def power_on(name, folder, arguments) -> Guest:
    guest = Guest(name, folder, arguments, qtest=True)
    guest.receiver = Receiver(guest.gnss)
    ignition(guest, on=True)
    return guest


def ignition(guest, *, on: bool) -> None:
    (pl061,) = (path for path, kind in guest.devices().items() if kind == "pl061")
    guest.set_pin(pl061, unit_card.IGNITION_PIN, high=on)


def read_ids(lines) -> list[tuple[str, int]]:
    """Of the reads that the agent said it had committed."""
    told = [json.loads(line[line.index("{") :]) for line in lines if READ.search(line)]
    return [(row["id"], row["seq"]) for row in told]


def first_boot(guest, fleet, steps, seen) -> None:
    with steps.step("boot 1: kernel to the start of patrol-lpr-setup"):
        guest.until("Starting patrol-lpr-setup", timeout_s=BOOT_S)
    with steps.step("boot 1: environment made out of the image's wheels"):
        guest.until("Finished patrol-lpr-setup", timeout_s=SETUP_S)
    with steps.step("boot 1: enrolment fails while nobody answers"):
        guest.until(r"patrol-lpr-enrol.service: Scheduled restart", timeout_s=WORK_S)
    with steps.step("boot 1: enrolled, agent started"):
        fleet.open_enrolment()
        guest.until("Finished patrol-lpr-enrol", timeout_s=WORK_S)
        fleet.start_station()
        guest.until('"event": "link_up"', timeout_s=WORK_S)
    with steps.step("boot 1: twelve reads at the station"):
        fleet.hear_reads(12, timeout_s=WORK_S * 2)
    with steps.step("boot 1: the unit looked at"):
        guest.await_shell(timeout_s=BOOT_S)
        seen.first = dict(pair(line) for line in guest.sh(_LOOK).splitlines())
    rss, peak = (int(seen.first[name]) / 1024 for name in ("VmRSS", "VmHWM"))
    steps.note(f"resident memory of the agent on aarch64: {rss:.0f} MiB, at most {peak:.0f} MiB")
    with steps.step("boot 1: reads while the broker is gone, then kill -9 of QEMU"):
        fleet.broker.kill()
        guest.until('"event": "link_down"', timeout_s=WORK_S)
        for _ in range(4):
            guest.until(READ.pattern, timeout_s=WORK_S)
        guest.kill()
    seen.ids_before_cut = read_ids(guest.lines)


def second_boot(guest, fleet, steps, seen) -> None:
    fleet.broker.start()
    with steps.step("boot 2: until the agent is connected"):
        guest.until('"event": "link_up"', timeout_s=BOOT_S)
    with steps.step("boot 2: everything from before the cut at the station"):
        fleet.hear_seq(seen.ids_before_cut[-1][1], timeout_s=WORK_S)
    with steps.step("boot 2: doctor"):
        guest.await_shell(timeout_s=BOOT_S)
        told = guest.sh("/opt/patrol-lpr/bin/patrol-lpr doctor --json", timeout_s=WORK_S)
        seen.doctor = {row["what"]: (row["mark"], row["detail"]) for row in json.loads(told)}
        guest.until(READ.pattern, timeout_s=WORK_S)
    with steps.step("boot 2: the kernel hangs, the watchdog bites"):
        guest.tell("echo c > /proc/sysrq-trigger")
        seen.watchdog = guest.event("WATCHDOG", timeout_s=BOOT_S)
        guest.event("RESET", timeout_s=BOOT_S)
        ignition(guest, on=True)


def third_boot(guest, fleet, steps, seen) -> None:
    with steps.step("boot 3: until the agent is connected, by itself"):
        guest.until('"event": "link_up"', timeout_s=BOOT_S)
        guest.until(READ.pattern, timeout_s=WORK_S)
    with steps.step("ignition off: until the board is off"):
        ignition(guest, on=False)
        guest.until('"phase": "holding"', timeout_s=60)
        guest.until('"event": "stopped"', timeout_s=120)
        seen.shutdown = guest.event("SHUTDOWN", timeout_s=WORK_S)
        seen.exit_code = guest.ended(timeout_s=60)
    seen.last_lines = guest.lines[-200:]


def test_first_boot_creates_the_environment_enrols_and_starts_the_agent(life):
    """An enrolment that failed first, without a network, is retried, and the agent starts after it."""
    assert (life.first["setup"], life.first["enrol"], life.first["agent"]) == ("active",) * 3
    assert (life.first["poweroff"], life.first["renew"]) == ("active", "active")
    assert life.first["failed"] == "0"
    assert life.first["machine"] == "aarch64"
    assert life.first["card"] == "0", "the single-use token is still there"
    assert life.first["key"] == "600:root"


def test_emulated_unit_reads_the_same_plates(life):
    texts = [read.body.text for read in life.boots[0]]
    assert len(texts) >= 12
    assert texts == life.twin[: len(texts)]


def test_reads_have_the_position_of_the_serial_receiver(life):
    places = [read.body.place for boot in life.boots for read in boot]
    placed = [(place.lat_e7 / 1e7, place.lon_e7 / 1e7) for place in places if place.lat_e7 is not None]
    assert len(placed) >= 12
    assert all(45 <= lat_deg < 45.2 and lon_deg == pytest.approx(-100) for lat_deg, lon_deg in placed)


def test_power_cut_of_the_board_loses_no_committed_read(life):
    """Including those that the station had not received before."""
    stored = {read.record_id.hex() for boot in life.boots for read in boot}
    assert len(life.ids_before_cut) >= 16
    assert [at for at, _ in life.ids_before_cut if at not in stored] == []
    assert len(life.committed - stored) <= life.waiting, "neither at the station nor in the outbox"
    assert life.audit[0] == 0, life.audit[1]


def test_hung_kernel_is_reset_by_the_hardware_watchdog(life):
    identity, state, timeout_s = life.first["watchdog"].split()
    assert (identity, state) == ("i6300ESB_timer", "active")
    assert float(timeout_s) <= 15.999, "more than a Pi's watchdog can do"
    assert life.watchdog["action"] == "reset"
    assert len(life.boots) == 3, "no read came after the reset"


def test_ignition_off_powers_the_board_off(life):
    assert (life.shutdown["guest"], life.exit_code) == (True, 0)
    assert any("Power down" in line for line in life.last_lines)
    assert life.state == "offline"


def test_doctor_reports_the_emulated_unit_as_healthy(life):
    wrong = {what: told for what, told in life.doctor.items() if told[0] == "fail"}
    assert set(wrong) == {"receiver", "panel"}, "those two belong to the agent that runs beside it"
    assert "GPIO 5 cannot be used: 'GPIO busy'" in life.doctor["panel"][1]
    assert life.doctor["models"][0] == "ok"
    assert life.doctor["keys"][0] == "ok"


def test_console_shows_no_plate(life):
    assert [text for text in set(life.twin) if text in life.consoles] == []

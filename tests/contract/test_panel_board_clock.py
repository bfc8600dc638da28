"""Panels, boards and clocks: the simulated ones, and the real ones on gpiozero's mock pins and offered files."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from hw.absent import PanelAbsent
from hw.board_linux import BoardLinux
from hw.board_sim import BoardSim
from hw.clock import RealClock, SimClock
from hw.config import GpioPanelConfig
from hw.drive_load import load_drive
from hw.panel_gpio import PanelGpio
from hw.panel_sim import PanelSim
from hw.ports import Button, Buzz, HitLamp, HwConfigError, Lamp
from tests.drive_builder import write_drive

PINS = GpioPanelConfig(
    kind="gpio",
    ignition_pin=17,
    status_pin=27,
    hit_pin=22,
    buzzer_pin=23,
    illuminator_pin=24,
    acknowledge_pin=5,
    privacy_pin=6,
    ignition_debounce_s=1,
)


@pytest.fixture(params=["sim", "gpio", "absent"])
def panel(request):
    clock = SimClock()
    if request.param == "gpio":
        factory = MockFactory()
        made = PanelGpio(PINS, factory, clock)
        factory.pin(17).drive_high()
        clock.advance(2_000_000_000)
    else:
        made = PanelSim(clock) if request.param == "sim" else PanelAbsent()
    yield made
    made.close()


def test_panel_accepts_every_lamp_and_sound(panel):
    """Nothing it can be asked for raises, not even after close."""
    for lamp in Lamp:
        panel.set_lamp(lamp)
    for hit_lamp in HitLamp:
        panel.set_hit_lamp(hit_lamp)
    for sound in Buzz:
        panel.buzz(sound)
    panel.set_illuminator(on=True)
    panel.close()
    panel.close()
    panel.set_lamp(Lamp.RECORDING)
    panel.buzz(Buzz.READ)
    panel.set_hit_lamp(HitLamp.HIGH)
    panel.set_illuminator(on=False)


def test_no_buttons_pressed(panel):
    """Silence may be asked for at any time; presses come once."""
    assert panel.take_presses() == ()
    panel.hush()
    panel.close()
    assert panel.take_presses() == ()
    panel.hush()


def test_buttons_are_reported_once_in_order():
    """A bouncing contact is one press; what was taken does not come again."""
    clock, factory = SimClock(), MockFactory()
    panel = PanelGpio(PINS, factory, clock)
    for pin in (6, 5, 6):
        for _ in range(3):
            factory.pin(pin).drive_low()
            clock.advance(2_000_000)
            factory.pin(pin).drive_high()
            clock.advance(2_000_000)
        clock.advance(400_000_000)
    assert panel.take_presses() == (Button.PRIVACY, Button.ACKNOWLEDGE, Button.PRIVACY)
    assert panel.take_presses() == ()
    panel.close()


def test_silence_stops_buzzer_and_hit_lamp():
    factory = MockFactory()
    panel = PanelGpio(PINS, factory, SimClock())
    panel.set_lamp(Lamp.RECORDING)
    panel.buzz(Buzz.HIT_HIGH)
    panel.set_hit_lamp(HitLamp.HIGH)
    panel.hush()
    assert (factory.pin(22).state, factory.pin(23).state, factory.pin(27).state) == (0, 0, 1)
    panel.close()


def test_script_presses_buttons(tmp_path):
    """Drives can hold what the driver did."""
    clock = SimClock()
    drive = write_drive(tmp_path / "drive", script=[(1000, "button.privacy", {})])
    panel = PanelSim(clock, load_drive(drive))
    assert panel.take_presses() == ()
    clock.advance(1_000_000_000)
    assert panel.take_presses() == (Button.PRIVACY,)
    panel.press(Button.ACKNOWLEDGE)
    assert panel.take_presses() == (Button.ACKNOWLEDGE,)


def test_ignition_defaults_to_on(panel):
    """Driven high, scripted on, or not wired at all."""
    assert panel.ignition_on


def test_ignition_is_debounced():
    """A dip shorter than the debounce time is no key turned."""
    clock, factory = SimClock(), MockFactory()
    panel = PanelGpio(PINS, factory, clock)
    factory.pin(17).drive_high()
    clock.advance(2_000_000_000)
    assert panel.ignition_on
    factory.pin(17).drive_low()
    clock.advance(500_000_000)
    assert panel.ignition_on
    clock.advance(600_000_000)
    assert not panel.ignition_on
    panel.close()


def test_recording_is_steady_and_off_is_dark():
    """The lamp's pin follows."""
    factory = MockFactory()
    panel = PanelGpio(PINS, factory, SimClock())
    panel.set_lamp(Lamp.RECORDING)
    assert factory.pin(27).state == 1
    panel.set_lamp(Lamp.OFF)
    assert factory.pin(27).state == 0
    panel.set_illuminator(on=True)
    assert factory.pin(24).state == 1
    panel.close()
    assert factory.pin(24).state == 0


def test_unavailable_pin_is_an_error():
    """Two panels cannot share pins; the message names the pin."""
    factory = MockFactory()
    first = PanelGpio(PINS, factory, SimClock())
    with pytest.raises(HwConfigError, match="GPIO 17"):
        PanelGpio(PINS, factory, SimClock())
    first.close()


class HeldByAnotherProcess(MockFactory):
    """lgpio's own error is a plain exception, and no error of gpiozero."""

    def pin(self, name):
        if name == 17:
            raise Exception("'GPIO busy'")  # noqa: TRY002 - as lgpio.error is
        return super().pin(name)


def test_pin_in_use_is_an_error():
    """And the pins taken before it are given back."""
    with pytest.raises(HwConfigError, match="GPIO 17 cannot be used: 'GPIO busy'"):
        PanelGpio(PINS, HeldByAnotherProcess(), SimClock())


@pytest.mark.parametrize("kind", ["sim", "linux"])
def test_vitals_are_plausible(tmp_path, kind):
    """Free space within the total, some memory in use."""
    board = BoardSim(SimClock()) if kind == "sim" else BoardLinux(root=Path("/"), state_dir=tmp_path)
    vitals = board.vitals()
    assert vitals.disk_free_bytes > 0
    assert vitals.rss_bytes > 0
    assert vitals.load_1min >= 0


def test_throttling_is_reported(tmp_path):
    """The flags of the firmware, read below a prefix."""
    files = {
        "proc/self/statm": "5000 2500 1 1 1 1 1",
        "proc/loadavg": "0.52 0.4 0.3 1/200 4242",
        "proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "wwan0\t00000000\t0101A8C0\t0003\t0\t0\t700\t00000000\n"
        "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\n"
        "wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\n",
        "proc/self/io": "rchar: 12\nwchar: 99\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n",
        "sys/class/thermal/thermal_zone0/temp": "81500",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "0x50005",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    (tmp_path / "state").mkdir()
    vitals = BoardLinux(root=tmp_path, state_dir=tmp_path.__class__("/state")).vitals()
    assert (vitals.temperature_c, vitals.throttled, vitals.undervoltage) == (81.5, True, True)
    assert (vitals.written_bytes, vitals.default_interface) == (4096, "wlan0")


@pytest.mark.parametrize("clock", [RealClock(), SimClock(utc_ns=1_780_000_000_000_000_000)], ids=["real", "sim"])
def test_clocks_are_monotonic(clock):
    """Monotonic never goes back, UTC is this century, the boot has a name of 16 bytes."""
    first = clock.mono_ns()
    assert clock.mono_ns() >= first
    assert clock.utc_ns() > 1_577_836_800_000_000_000
    assert len(clock.boot_id) == 16
    assert clock.synchronised() in {True, False}


def test_simulated_clock_cannot_go_back():
    """Monotonic time is monotonic; a step moves UTC alone; a power cut makes a new boot."""
    clock = SimClock(utc_ns=10)
    clock.advance(5)
    clock.step_utc(-100)
    assert (clock.mono_ns(), clock.utc_ns()) == (5, -85)
    before = clock.boot_id
    clock.restart()
    assert clock.boot_id != before
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)

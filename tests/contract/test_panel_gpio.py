"""The panel on gpiozero's own mock pins: patterns, sounds, buttons, ignition, and pins that cannot be had."""

from __future__ import annotations

import queue
import sys
from itertools import combinations, pairwise
from types import SimpleNamespace

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from hw.clock import SimClock
from hw.config import GpioPanelConfig
from hw.panel_gpio import BEEPS, BLINK_S, HIT_BLINK_S, PanelGpio, lgpio_factory
from hw.ports import Button, Buzz, HitLamp, HwConfigError, Lamp

MS = 1_000_000
PATIENCE_S = 30
IGNITION, STATUS, HIT, BUZZER, LIGHT, ACKNOWLEDGE, PRIVACY = 17, 27, 22, 23, 24, 5, 6
PINS = GpioPanelConfig(
    kind="gpio",
    ignition_pin=IGNITION,
    status_pin=STATUS,
    hit_pin=HIT,
    buzzer_pin=BUZZER,
    illuminator_pin=LIGHT,
    acknowledge_pin=ACKNOWLEDGE,
    privacy_pin=PRIVACY,
    ignition_debounce_s=1,
)


class ToldPin(MockPin):
    """A pin that records every change."""

    def __init__(self, factory, info) -> None:
        self.told = queue.SimpleQueue()
        super().__init__(factory, info)

    def _change_state(self, value) -> bool:
        changed = super()._change_state(value)
        if changed:
            self.told.put(bool(value))
        return changed


class Header:
    """Panel, pins and clock."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.factory = MockFactory(pin_class=ToldPin)
        self.panel = PanelGpio(PINS, self.factory, self.clock)

    def pin(self, number: int) -> ToldPin:
        return self.factory.pin(number)

    def changes(self, number: int, count: int) -> list[bool]:
        return [self.pin(number).told.get(timeout=PATIENCE_S) for _ in range(count)]


@pytest.fixture
def header():
    made = Header()
    yield made
    made.panel.close()
    made.factory.close()


@pytest.mark.slow
@pytest.mark.parametrize("lamp", BLINK_S)
def test_lamp_pattern_blinks_until_changed(header, lamp):
    header.panel.set_lamp(lamp)
    assert header.changes(STATUS, 3) == [True, False, True]
    header.panel.set_lamp(Lamp.OFF)
    assert not header.pin(STATUS).state


def test_lamp_patterns_are_distinguishable():
    """Steady and dark aside, no two share both times, nor do their periods and shares look alike."""
    assert set(BLINK_S) == set(Lamp) - {Lamp.RECORDING, Lamp.OFF}
    for (on_a, off_a), (on_b, off_b) in combinations(BLINK_S.values(), 2):
        period_a, period_b = on_a + off_a, on_b + off_b
        longer = max(period_a / period_b, period_b / period_a)
        assert longer >= 1.2 or abs(on_a / period_a - on_b / period_b) >= 0.2


def test_steady_lamp_ends_blinking(header):
    header.panel.set_lamp(Lamp.FAULT)
    header.changes(STATUS, 2)
    header.panel.set_lamp(Lamp.RECORDING)
    assert header.pin(STATUS).state


@pytest.mark.slow
@pytest.mark.parametrize("sound", Buzz)
def test_sound_has_configured_beeps(header, sound):
    times = BEEPS[sound][2]
    header.panel.buzz(sound)
    assert header.changes(BUZZER, 2 * times) == [True, False] * times
    assert header.pin(BUZZER).told.empty()


def test_sounds_leave_the_hit_lamp_alone(header):
    for sound in Buzz:
        header.panel.buzz(sound)
    assert header.pin(HIT).told.empty()


def test_read_does_not_interrupt_the_sound_of_a_hit(header):
    header.panel.buzz(Buzz.HIT_HIGH)
    header.panel.buzz(Buzz.READ)
    on_s, off_s, times = BEEPS[Buzz.HIT_HIGH]
    assert header.changes(BUZZER, 4) == [True, False] * 2, "a read has one beep"
    header.clock.advance(round((on_s + off_s) * times * 1e9))
    header.panel.hush()
    header.panel.buzz(Buzz.READ)
    assert header.pin(BUZZER).state or header.changes(BUZZER, 1)


@pytest.mark.parametrize("lamp", [lamp for lamp in HitLamp if lamp is not HitLamp.OFF])
def test_hit_lamp_blinks_until_it_is_off(header, lamp):
    header.panel.set_hit_lamp(lamp)
    assert header.changes(HIT, 2) == [True, False]
    header.panel.set_hit_lamp(HitLamp.OFF)
    assert not header.pin(HIT).state


def test_hit_lamps_of_the_priorities_differ():
    """By period, so that they can be told apart at the edge of sight."""
    periods = sorted(sum(times) for times in HIT_BLINK_S.values())
    assert all(longer / shorter >= 2 for shorter, longer in pairwise(periods))
    counts = [BEEPS[sound][2] for sound in (Buzz.HIT_LOW, Buzz.HIT_MEDIUM, Buzz.HIT_HIGH)]
    assert counts == sorted(set(counts))


def test_illuminator_switches_and_closes_with_panel(header):
    for on in (True, False, True):
        header.panel.set_illuminator(on=on)
        assert header.changes(LIGHT, 1) == [on]
    header.panel.close()
    assert header.changes(LIGHT, 1) == [False]


@pytest.mark.parametrize(("pin", "button"), [(ACKNOWLEDGE, Button.ACKNOWLEDGE), (PRIVACY, Button.PRIVACY)])
def test_held_button_is_one_press(header, pin, button):
    """Pressed is to ground; holding it, and letting it go, is no other press."""
    header.pin(pin).drive_low()
    header.clock.advance(5000 * MS)
    header.pin(pin).drive_high()
    assert header.panel.take_presses() == (button,)
    header.clock.advance(1000 * MS)
    assert header.panel.take_presses() == ()


def test_ignition_bounce_is_ignored(header):
    """A starter motor pulls the voltage down for a while: only a level that holds for the whole time counts."""
    header.pin(IGNITION).drive_high()
    header.clock.advance(2000 * MS)
    assert header.panel.ignition_on
    for _ in range(20):
        header.pin(IGNITION).drive_low()
        header.clock.advance(200 * MS)
        assert header.panel.ignition_on
        header.pin(IGNITION).drive_high()
        header.clock.advance(200 * MS)
        assert header.panel.ignition_on
    header.pin(IGNITION).drive_low()
    header.clock.advance(999 * MS)
    assert header.panel.ignition_on
    header.clock.advance(1 * MS)
    assert not header.panel.ignition_on
    header.pin(IGNITION).drive_high()
    header.clock.advance(999 * MS)
    assert not header.panel.ignition_on, "a spike is no key either"
    header.clock.advance(1 * MS)
    assert header.panel.ignition_on


class LgpioError(Exception):
    """As lgpio's own: no kin of gpiozero's errors or OSError, and its text is a repr."""

    def __str__(self) -> str:
        return "'GPIO busy'"


class BusyPin(ToldPin):
    """A line that another process holds."""

    def __init__(self, factory, info) -> None:
        if info.name == f"GPIO{BUZZER}":
            raise LgpioError
        super().__init__(factory, info)


def test_pin_in_use_is_named_and_others_released():
    factory = MockFactory(pin_class=BusyPin)
    with pytest.raises(HwConfigError, match=r"GPIO 23 cannot be used: 'GPIO busy'; if another program uses it"):
        PanelGpio(PINS, factory, SimClock())
    without = PINS.model_copy(update={"buzzer_pin": None})
    PanelGpio(without, factory, SimClock()).close()


def test_unavailable_gpio_chip_is_named(monkeypatch):
    def refuse(chip):
        raise LgpioError

    monkeypatch.setitem(sys.modules, "gpiozero.pins.lgpio", SimpleNamespace(LGPIOFactory=refuse))
    with pytest.raises(HwConfigError, match="/dev/gpiochip4 cannot be used: 'GPIO busy'"):
        lgpio_factory(4)


def test_missing_lgpio_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiozero.pins.lgpio", None)
    with pytest.raises(HwConfigError, match="apt-get install python3-lgpio"):
        lgpio_factory(0)

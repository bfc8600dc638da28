"""Lamps, buzzer and ignition sense on GPIO pins, through gpiozero with an injected pin factory."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import gpiozero

from hw.clock import NS_PER_S
from hw.ports import Button, Buzz, HitLamp, HwConfigError, Lamp

if TYPE_CHECKING:
    from hw.config import GpioPanelConfig
    from hw.ports import Clock

BLINK_S: dict[Lamp, tuple[float, float]] = {
    Lamp.FAULT: (0.1, 0.1),
    Lamp.DISK: (0.1, 0.9),
    Lamp.NO_CAMERA: (0.4, 0.4),
    Lamp.PRIVATE: (0.1, 2.9),
    Lamp.VIEW: (0.2, 0.6),
    Lamp.NO_FIX: (1.0, 0.2),
    Lamp.NOT_DELIVERED: (1.0, 3.0),
    Lamp.NO_UPLINK: (1.0, 1.0),
    Lamp.LOG_REFUSED: (3.0, 1.0),
}
"""Seconds on and off; RECORDING is steady, OFF is dark."""
BEEPS: dict[Buzz, tuple[float, float, int]] = {
    Buzz.READ: (0.05, 0.05, 1),
    Buzz.HIT_HIGH: (0.15, 0.05, 10),
    Buzz.HIT_MEDIUM: (0.2, 0.1, 5),
    Buzz.HIT_LOW: (0.2, 0.2, 2),
    Buzz.FAULT: (0.8, 0.2, 2),
}
"""Seconds on, seconds off, times."""
_BOUNCE_NS = 50_000_000
HIT_BLINK_S: dict[HitLamp, tuple[float, float]] = {
    HitLamp.HIGH: (0.1, 0.1),
    HitLamp.MEDIUM: (0.4, 0.4),
    HitLamp.LOW: (0.2, 1.8),
}
"""Seconds on and off; OFF is dark."""


def pattern(lamp: Lamp) -> str:
    """A lamp's pattern as text."""
    if lamp not in BLINK_S:
        return "dark" if lamp is Lamp.OFF else "steady"
    on_s, off_s = BLINK_S[lamp]
    return f"{on_s:g} s on, {off_s:g} s off"


def lgpio_factory(chip: int) -> Any:
    """The pin factory of a real header; raises HwConfigError if lgpio or the chip is missing."""
    try:
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415 - absent off a Pi
    except ImportError as error:
        raise HwConfigError(
            "panel: lgpio is missing; on Raspberry Pi OS run: sudo apt-get install python3-lgpio"
        ) from error
    try:
        return LGPIOFactory(chip=chip)
    except Exception as error:  # lgpio's own errors have no root but this
        raise HwConfigError(
            f"panel: /dev/gpiochip{chip} cannot be used: {error}; check that the user is in group gpio"
        ) from error


class PanelGpio:
    """The panel on any gpiozero factory: LGPIOFactory in the vehicle, MockFactory elsewhere."""

    def __init__(self, config: GpioPanelConfig, factory: Any, clock: Clock) -> None:
        """Raises HwConfigError if a pin cannot be opened; pins opened before are released."""
        self._clock = clock
        self._debounce_ns = round(config.ignition_debounce_s * NS_PER_S)
        self._lock = threading.Lock()
        self._closed = False
        self._sounding_until_ns = 0
        self._pressed: list[Button] = []
        self._last_press: dict[Button, int] = {}
        with ExitStack() as stack:
            self._sense = self._open(
                stack, factory, gpiozero.DigitalInputDevice, config.ignition_pin, pull_up=False
            )
            self._status = self._open(stack, factory, gpiozero.LED, config.status_pin)
            self._hit = self._open(stack, factory, gpiozero.LED, config.hit_pin)
            self._buzzer = self._open(stack, factory, gpiozero.Buzzer, config.buzzer_pin)
            self._illuminator = self._open(stack, factory, gpiozero.DigitalOutputDevice, config.illuminator_pin)
            buttons = ((Button.ACKNOWLEDGE, config.acknowledge_pin), (Button.PRIVACY, config.privacy_pin))
            for button, pin in buttons:
                device = self._open(stack, factory, gpiozero.Button, pin, bounce_time=None)
                if device is not None:
                    device.when_pressed = partial(self._press, button)
            self._devices = stack.pop_all()
        self._ignition_on = True if self._sense is None else bool(self._sense.value)
        self._changed_ns = clock.mono_ns()
        if self._sense is not None:
            self._sense.when_activated = self._sense.when_deactivated = self._edge

    @staticmethod
    def _open(stack: ExitStack, factory: Any, kind: Any, pin: int | None, **options: Any) -> Any:
        if pin is None:
            return None
        try:
            device = kind(pin, pin_factory=factory, **options)
        except Exception as error:  # lgpio's own errors have no root but this
            raise HwConfigError(
                f"panel: GPIO {pin} cannot be used: {error}; if another program uses it, `gpioinfo` names it"
            ) from error
        stack.callback(device.close)
        return device

    def _edge(self) -> None:
        with self._lock:
            self._changed_ns = self._clock.mono_ns()

    def _press(self, button: Button) -> None:
        """Debouncing: a second edge shortly after the first belongs to the same press."""
        now_ns = self._clock.mono_ns()
        with self._lock:
            last = self._last_press.get(button)
            self._last_press[button] = now_ns
            if last is None or now_ns - last >= _BOUNCE_NS:
                self._pressed.append(button)

    def take_presses(self) -> tuple[Button, ...]:
        """See the port."""
        with self._lock:
            pressed, self._pressed = tuple(self._pressed), []
            return pressed

    def hush(self) -> None:
        """See the port."""
        with self._lock:
            self._sounding_until_ns = 0
            for output in (self._buzzer, self._hit):
                if output is not None and not self._closed:
                    output.off()

    @property
    def ignition_on(self) -> bool:
        """A new level counts after the debounce time; True if no pin is wired."""
        with self._lock:
            if self._sense is not None and not self._closed:
                level = bool(self._sense.value)
                if self._clock.mono_ns() - self._changed_ns >= self._debounce_ns:
                    self._ignition_on = level
            return self._ignition_on

    def set_lamp(self, lamp: Lamp) -> None:
        """See the port."""
        with self._lock:
            if self._status is None or self._closed:
                return
            if lamp in BLINK_S:
                on_s, off_s = BLINK_S[lamp]
                self._status.blink(on_time=on_s, off_time=off_s, background=True)
            elif lamp is Lamp.OFF:
                self._status.off()
            else:
                self._status.on()

    def set_hit_lamp(self, lamp: HitLamp) -> None:
        """See the port."""
        with self._lock:
            if self._hit is None or self._closed:
                return
            if lamp in HIT_BLINK_S:
                on_s, off_s = HIT_BLINK_S[lamp]
                self._hit.blink(on_time=on_s, off_time=off_s, background=True)
            else:
                self._hit.off()

    def buzz(self, sound: Buzz) -> None:
        """See the port; a read does not interrupt a hit or a fault."""
        with self._lock:
            if self._closed or self._buzzer is None:
                return
            now_ns = self._clock.mono_ns()
            if sound is not Buzz.READ or now_ns >= self._sounding_until_ns:
                on_s, off_s, times = BEEPS[sound]
                if sound is not Buzz.READ:
                    self._sounding_until_ns = now_ns + round((on_s + off_s) * times * NS_PER_S)
                self._buzzer.beep(on_time=on_s, off_time=off_s, n=times, background=True)

    def set_illuminator(self, *, on: bool) -> None:
        """See the port."""
        with self._lock:
            if self._illuminator is not None and not self._closed:
                self._illuminator.value = on

    def close(self) -> None:
        """See the port."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for output in (self._status, self._hit, self._buzzer, self._illuminator):
                if output is not None:
                    output.off()
        # Outside the lock: closing the input waits for a callback that may be waiting for it.
        self._devices.close()

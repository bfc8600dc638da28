"""Runs on the emulated Pi: the product's panel on the header, watched through the kernel's own list of lines."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from hw.clock import RealClock
from hw.config import GpioPanelConfig
from hw.open import open_panel
from hw.ports import Buzz, HitLamp, HwConfigError, Lamp

LINES = Path("/sys/kernel/debug/gpio")
PINS = GpioPanelConfig(
    kind="gpio", ignition_pin=5, status_pin=17, hit_pin=27, buzzer_pin=22, illuminator_pin=23, acknowledge_pin=24
)
LONGEST_S = 4.0
"""More than the slowest pattern takes."""


def level(pin: int) -> bool:
    """As the kernel reads it back from the chip."""
    found = re.search(rf"\(GPIO{pin}\s*\|[^)]*\)\s+out\s+(hi|lo)", LINES.read_text())
    assert found, LINES.read_text()
    return found[1] == "hi"


def watch(pin: int, *, until: int) -> tuple[set[bool], int]:
    """Levels seen, and how often it went up, until it has gone up so often or long enough."""
    seen, rises, last = set(), 0, False
    end_s = time.monotonic() + LONGEST_S
    while time.monotonic() < end_s and rises < until:
        now = level(pin)
        seen.add(now)
        rises += now and not last
        last = now
    return seen, rises


def main() -> None:
    panel = open_panel(PINS, RealClock())
    found: dict[str, object] = {"ignition_on": panel.ignition_on, "presses": len(panel.take_presses())}
    for lamp in Lamp:
        panel.set_lamp(lamp)
        found[f"lamp {lamp.value}"] = sorted(watch(PINS.status_pin, until=2)[0])
    for sound in Buzz:
        panel.buzz(sound)
        found[f"sound {sound.value}"] = watch(PINS.buzzer_pin, until=1)[1]
        panel.hush()
    panel.buzz(Buzz.HIT_HIGH)
    panel.set_hit_lamp(HitLamp.HIGH)
    found["hit lamp"] = sorted(watch(PINS.hit_pin, until=2)[0])
    panel.hush()
    found["hushed"] = [level(PINS.hit_pin), level(PINS.buzzer_pin)]
    panel.set_illuminator(on=True)
    found["illuminator"] = [level(PINS.illuminator_pin)]
    try:
        open_panel(PINS, RealClock())
    except HwConfigError as error:
        found["taken"] = str(error)
    panel.close()
    found["claimed after close"] = len(re.findall(r"\|lg[^)]*\)\s+out", LINES.read_text()))
    again = open_panel(PINS, RealClock())
    again.close()
    try:
        open_panel(PINS.model_copy(update={"chip": 9}), RealClock())
    except HwConfigError as error:
        found["no chip"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

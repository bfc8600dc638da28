"""A simulated panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw.ports import Button, Buzz, HitLamp, Lamp

if TYPE_CHECKING:
    from hw.drive_format import Drive
    from hw.ports import Clock


class PanelSim:
    """Records what it is asked to show; its ignition follows the script of a drive."""

    def __init__(self, clock: Clock, drive: Drive | None = None, *, origin_ns: int | None = None) -> None:
        self._clock = clock
        start = clock.mono_ns() if origin_ns is None else origin_ns
        self._turns = [
            (start + action.t_ns, action.do == "ignition.on")
            for action in (drive.script if drive else ())
            if action.do in {"ignition.on", "ignition.off"}
        ]
        self._presses = [
            (start + action.t_ns, Button(action.do.removeprefix("button.")))
            for action in (drive.script if drive else ())
            if action.do.startswith("button.")
        ]
        self._closed = False
        self.lamps: list[Lamp] = []
        """All lamps shown, the current one last."""
        self.hit_lamps: list[tuple[int, HitLamp]] = []
        """All patterns of the hit lamp with their times, the current one last."""
        self.sounds: list[Buzz] = []
        """All sounds requested."""
        self.illuminator_on = False
        self.hushed = 0
        """Number of calls to silence."""

    @property
    def ignition_on(self) -> bool:
        """As the script turned it last; on at the start."""
        now_ns = self._clock.mono_ns()
        return next((on for t_ns, on in reversed(self._turns) if t_ns <= now_ns), True)

    def press(self, button: Button) -> None:
        """Press a button."""
        self._presses.insert(0, (self._clock.mono_ns(), button))

    def take_presses(self) -> tuple[Button, ...]:
        """See the port."""
        now_ns = self._clock.mono_ns()
        due = tuple(button for t_ns, button in self._presses if t_ns <= now_ns)
        self._presses = [press for press in self._presses if press[0] > now_ns]
        return due

    def hush(self) -> None:
        """See the port."""
        self.hushed += 1
        if self.hit_lamps and self.hit_lamps[-1][1] is not HitLamp.OFF:
            self.hit_lamps.append((self._clock.mono_ns(), HitLamp.OFF))

    def set_lamp(self, lamp: Lamp) -> None:
        """See the port."""
        if not self._closed:
            self.lamps.append(lamp)

    def set_hit_lamp(self, lamp: HitLamp) -> None:
        """See the port."""
        if not self._closed:
            self.hit_lamps.append((self._clock.mono_ns(), lamp))

    def buzz(self, sound: Buzz) -> None:
        """See the port."""
        if not self._closed:
            self.sounds.append(sound)

    def set_illuminator(self, *, on: bool) -> None:
        """See the port."""
        if not self._closed:
            self.illuminator_on = on

    def close(self) -> None:
        """See the port."""
        if not self._closed:
            self.lamps.append(Lamp.OFF)
            self.hit_lamps.append((self._clock.mono_ns(), HitLamp.OFF))
        self.illuminator_on = False
        self._closed = True

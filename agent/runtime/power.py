"""Ignition and heat: when the drive is over, and when fewer frames are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.power import Cooler, HoldUp, Phase
from agent.runtime.component import Component

if TYPE_CHECKING:
    from agent.runtime.camera import CameraComponent
    from agent.runtime.component import Tick
    from agent.runtime.config import PowerTable
    from hw.ports import Panel

_LOG = structlog.get_logger(__name__)


class Ignition(Component):
    """The key: a drive ends some time after it was turned off."""

    name = "ignition"

    def __init__(self, panel: Panel, config: PowerTable) -> None:
        self._panel = panel
        self._request = config.off_request
        self._hold_up = HoldUp(config.hold_up_s)
        self.phase = Phase.DRIVING

    def watch(self, tick: Tick) -> None:
        """Take the level."""
        phase = self._hold_up.step(ignition_on=self._panel.ignition_on, t_mono_ns=tick.t_mono_ns)
        if phase is not self.phase:
            self.phase = phase
            _LOG.info("ignition", phase=phase.value)

    def ask_for_power_off(self) -> None:
        """Everything is on the disk: leave the note that a unit of root's waits for; the agent has no such right."""
        if self._request is None:
            return
        try:
            self._request.parent.mkdir(parents=True, exist_ok=True)
            self._request.touch()
        except OSError as error:
            _LOG.error("power_off_not_asked", path=str(self._request), error=error.strerror)


class Heat(Component):
    """The board's temperature -> the frame rate of all cameras."""

    name = "heat"

    def __init__(self, cameras: tuple[CameraComponent, ...], config: PowerTable, *, max_fps: float | None) -> None:
        """``max_fps`` is the limit while it is cool; None for all frames."""
        self._cameras = cameras
        self._cooler = Cooler(config.slow_above_c, config.fast_below_c)
        self._slow_fps = config.slow_fps
        self._max_fps = max_fps

    def watch(self, tick: Tick) -> None:
        """Take the temperature; change the frame rate when it crosses a limit."""
        was = self._cooler.slow
        slow = self._cooler.step(tick.vitals.temperature_c)
        if slow is was:
            return
        _LOG.warning("heat", slow=slow)
        for camera in self._cameras:
            camera.limit_fps(self._slow_fps if slow else self._max_fps)

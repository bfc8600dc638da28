"""Ignition and temperature: when the drive is over, and when the frame rate is reduced."""

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
    """The ignition: a drive ends some time after it was turned off."""

    name = "ignition"

    def __init__(self, panel: Panel, config: PowerTable) -> None:
        self._panel = panel
        self._request = config.off_request
        self._hold_up = HoldUp(config.hold_up_s)
        self.phase = Phase.DRIVING

    def watch(self, tick: Tick) -> None:
        """Read the ignition's level."""
        phase = self._hold_up.step(ignition_on=self._panel.ignition_on, t_mono_ns=tick.t_mono_ns)
        if phase is not self.phase:
            self.phase = phase
            _LOG.info("ignition", phase=phase.value)

    def ask_for_power_off(self) -> None:
        """Everything is on the disk: write the file that root's systemd unit watches; the agent may not power off."""
        if self._request is None:
            return
        try:
            self._request.parent.mkdir(parents=True, exist_ok=True)
            self._request.touch()
        except OSError as error:
            _LOG.error("power_off_request_failed", path=str(self._request), error=error.strerror)


class Heat(Component):
    """Sets the frame rate of all cameras by the board's temperature."""

    name = "heat"

    def __init__(self, cameras: tuple[CameraComponent, ...], config: PowerTable, *, max_fps: float | None) -> None:
        """``max_fps`` is the limit at normal temperature; None for all frames."""
        self._cameras = cameras
        self._cooler = Cooler(config.slow_above_c, config.fast_below_c)
        self._slow_fps = config.slow_fps
        self._max_fps = max_fps
        self.temperature_c: float | None = None
        """None if the board does not report it."""

    @property
    def slow(self) -> bool:
        """True while the frame rate is reduced."""
        return self._cooler.slow

    def watch(self, tick: Tick) -> None:
        """Read the temperature; change the frame rate if it crosses a threshold."""
        was = self._cooler.slow
        self.temperature_c = tick.vitals.temperature_c
        slow = self._cooler.step(tick.vitals.temperature_c)
        if slow is was:
            return
        _LOG.warning("temperature", frame_rate_reduced=slow)
        for camera in self._cameras:
            camera.limit_fps(self._slow_fps if slow else self._max_fps)

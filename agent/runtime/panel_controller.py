"""What the driver sees, hears and presses: lamp, illuminator, buttons.  Used by the main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hw.ports import Button, Lamp

if TYPE_CHECKING:
    from agent.pipeline import CameraPipeline
    from agent.runtime.health import DeviceCounts
    from hw.ports import Panel

_LOG = structlog.get_logger(__name__)
HEALTHY_LAMPS = frozenset({Lamp.RECORDING, Lamp.NO_UPLINK, Lamp.OFF})
"""Patterns of a unit that does its work."""


class PanelController:
    """The panel's state, so that it is told only what changes."""

    def __init__(self, panel: Panel, counts: DeviceCounts) -> None:
        self._panel = panel
        self._counts = counts
        self._illuminated = False
        self.lamp = Lamp.OFF
        self.private = False
        """The driver has asked for privacy; ends with the drive, or at the next press."""

    def step(self, visions: list[CameraPipeline]) -> None:
        """Take what was pressed since the last time, and light the scene if the cameras want it."""
        for button in self._panel.take_presses():
            _LOG.info("pressed", button=button.value)
            if button is Button.ACKNOWLEDGE:
                self._counts.acknowledgements += 1
                self._panel.hush()
            else:
                self.private = not self.private
                self._counts.privacy += self.private
        for vision in visions:
            vision.private = self.private
        dark = any(vision.exposure is not None and vision.exposure.is_dark for vision in visions)
        wanted = dark and not self.private
        if wanted is not self._illuminated:
            self._illuminated = wanted
            self._panel.set_illuminator(on=wanted)

    def show(self, lamp: Lamp) -> bool:
        """Show a pattern; True when it is another one than before."""
        if lamp is self.lamp:
            return False
        self.lamp = lamp
        self._panel.set_lamp(lamp)
        _LOG.info("lamp", shows=lamp.value)
        return True

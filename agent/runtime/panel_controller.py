"""The driver's panel: lamp, illuminator, buzzer, buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.policy.records import Pause, PauseReason
from agent.runtime.component import Component
from agent.runtime.lamp import Condition, lamp_for
from hw.ports import Button, Buzz, Lamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.commit import CommitResult
    from agent.runtime.camera import CameraComponent
    from agent.runtime.committing import CommitComponent
    from agent.runtime.component import Tick
    from agent.runtime.policy import RecordingGate
    from agent.runtime.uplink import UplinkComponent
    from hw.ports import Panel

_LOG = structlog.get_logger(__name__)
HEALTHY_LAMPS = frozenset({Lamp.RECORDING, Lamp.NOT_DELIVERED, Lamp.NO_UPLINK, Lamp.LOG_REFUSED, Lamp.OFF})
"""Patterns of a unit that records normally."""
_LOSS_SHOWN_NS = 600 * 1_000_000_000
"""How long the lamp indicates a lost read."""


class PanelController(Component):
    """Stores the panel's state, so that only changes are set."""

    name = "panel"

    def __init__(
        self,
        panel: Panel,
        cameras: tuple[CameraComponent, ...],
        commit: CommitComponent,
        uplink: UplinkComponent,
        *,
        min_free_bytes: int,
        acknowledge: Callable[[], None],
        gate: RecordingGate,
        log_refused: Callable[[], bool] = lambda: False,
    ) -> None:
        """``min_free_bytes``: free disk below which the lamp shows it.

        ``acknowledge`` is called for the acknowledge button, after the panel is silent; it must return at once.
        """
        self._panel = panel
        self._cameras = cameras
        self._commit = commit
        self._uplink = uplink
        self._min_free_bytes = min_free_bytes
        self._acknowledge = acknowledge
        self._gate = gate
        self._log_refused = log_refused
        self._illuminated = False
        self._acknowledgements = 0
        self._privacy = 0
        self.lamp = Lamp.OFF
        self.free_bytes: int | None = None
        """Free disk at the last round; None before the first."""
        self.disk_bad = False
        """True while the disk is nearly full or not writable, and for a while after a record was lost."""
        self.private = False
        """True if the driver has switched on privacy; ends with the drive, or at the next press."""

    @property
    def pause(self) -> Pause | None:
        """Why nothing is recorded at this moment; None if it is."""
        return Pause(PauseReason.BUTTON) if self.private else self._gate.current

    def watch(self, tick: Tick) -> None:
        """Handle pressed buttons, set the illuminator as the cameras request, choose the lamp's pattern."""
        for button in self._panel.take_presses():
            self._press(button)
        wanted = any(camera.is_dark for camera in self._cameras) and self.pause is None
        if wanted is not self._illuminated:
            self._illuminated = wanted
            self._panel.set_illuminator(on=wanted)
        self.free_bytes = tick.vitals.disk_free_bytes
        self.disk_bad = self._disk_is_bad(tick)
        self._show(Lamp.FAULT if tick.late else lamp_for(self._condition(), tick.t_mono_ns))

    def stop(self) -> None:
        """Switch everything off.  Raises OSError if a pin cannot be set."""
        self._panel.close()

    def on_commit(self, result: CommitResult) -> None:
        """Sound the buzzer for a read; commit thread."""
        if result.reads:
            self._panel.buzz(Buzz.READ)

    def _press(self, button: Button) -> None:
        _LOG.info("button_pressed", button=button.value)
        if button is Button.ACKNOWLEDGE:
            self._acknowledgements += 1
            self._panel.hush()
            self._acknowledge()
            return
        self.private = not self.private
        self._privacy += self.private
        for camera in self._cameras:
            camera.set_private(private=self.private)

    def _condition(self) -> Condition:
        return Condition(
            disk_bad=self.disk_bad,
            camera_ok=all(camera.alive and not camera.missing for camera in self._cameras),
            private=self.pause is not None,
            view_clear=all(camera.view.is_clear for camera in self._cameras),
            fix=self._commit.last_fix,
            link_up=self._uplink.is_up,
            delivering=not self._uplink.undelivered,
            log_accepted=not self._log_refused(),
        )

    def _disk_is_bad(self, tick: Tick) -> bool:
        full = tick.vitals.disk_free_bytes < self._min_free_bytes
        return full or self._commit.stuck or self._commit.has_lost(tick.t_mono_ns - _LOSS_SHOWN_NS)

    def _show(self, lamp: Lamp) -> None:
        if lamp is not self.lamp:
            self.lamp = lamp
            self._panel.set_lamp(lamp)
            _LOG.info("lamp", pattern=lamp.value)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {"devices.acknowledgements": self._acknowledgements, "devices.privacy": self._privacy}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {}

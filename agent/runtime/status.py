"""The unit's status: published at the start and at every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.power import Phase
from agent.runtime.component import Component
from agent.runtime.panel_controller import HEALTHY_LAMPS
from agent.runtime.stages import software
from hw.ports import Will
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from protocol.wire.topics import Channel, build

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.runtime.component import Tick
    from agent.runtime.panel_controller import PanelController
    from agent.runtime.power import Ignition
    from agent.runtime.queues import UplinkQueue

_MAX_REASON = 216


class StatusReporter(Component):
    """Ignition and lamp -> the unit's status, retained by the broker."""

    name = "status"

    def __init__(
        self,
        uplink_queue: UplinkQueue,
        ignition: Ignition,
        panel: PanelController,
        *,
        unit: str,
        boot_id: bytes,
        models: tuple[str, ...],
        undelivered: Callable[[], str] = lambda: "",
    ) -> None:
        """``undelivered`` returns why nothing is receipted; empty if deliveries work."""
        self._undelivered = undelivered
        self._uplink_queue = uplink_queue
        self._ignition = ignition
        self._panel = panel
        self._unit = unit
        self._boot_id = boot_id
        self._models = models
        self.state = UnitState.BIRTH
        self.reason = "started"

    def start(self) -> None:
        """Announce the start; before the link is opened, so that it is the first message."""
        self._uplink_queue.status(self._payload(self.state, self.reason))

    def watch(self, tick: Tick) -> None:
        """Announce changes; after the panel's step, whose lamp it includes."""
        del tick
        state, reason = self._present()
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._uplink_queue.status(self._payload(state, reason))

    def say_offline(self) -> None:
        """Announce that the unit stops."""
        self._uplink_queue.status(self._payload(UnitState.OFFLINE, "stopped"))

    def will(self) -> Will:
        """The will: what the broker publishes when the connection is lost."""
        return Will(build(self._unit, Channel.STATUS), self._payload(UnitState.OFFLINE, "connection lost"))

    def _present(self) -> tuple[UnitState, str]:
        if self._ignition.phase is not Phase.DRIVING:
            return UnitState.DYING, "ignition off"
        if self._panel.lamp in HEALTHY_LAMPS:
            cause = self._undelivered()
            return (
                (UnitState.DEGRADED, f"not delivered: {cause}"[:_MAX_REASON]) if cause else (UnitState.ONLINE, "")
            )
        return UnitState.DEGRADED, self._panel.lamp.value

    def _payload(self, state: UnitState, reason: str) -> bytes:
        return encode(
            Status(
                unit=self._unit,
                boot_id=self._boot_id,
                state=state,
                reason=reason,
                software=software(),
                models=self._models,
            )
        )

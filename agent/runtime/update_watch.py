"""Updates, as a component: trial of this release, reports to the station, restart into the next release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.runtime.component import Component
from agent.update.trial import HealthSample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.runtime.camera import CameraComponent
    from agent.runtime.component import Tick
    from agent.runtime.queues import UplinkQueue
    from agent.runtime.updates import UpdateReporter
    from agent.runtime.uplink import UplinkComponent

_NS_PER_S = 1_000_000_000


class UpdateWatch(Component):
    """Passes health samples to the reporter, and its reports to the station."""

    name = "update"

    def __init__(
        self,
        reporter: UpdateReporter,
        cameras: tuple[CameraComponent, ...],
        uplink: UplinkComponent,
        uplink_queue: UplinkQueue,
        *,
        unit: str,
        boot_id: bytes,
        config_sha256: bytes,
        every_s: float,
    ) -> None:
        """``every_s``: the report is repeated after this many seconds without a change."""
        self._reporter = reporter
        self._cameras = cameras
        self._uplink = uplink
        self._uplink_queue = uplink_queue
        self._unit = unit
        self._boot_id = boot_id
        self._config_sha256 = config_sha256
        self._every_ns = round(every_s * _NS_PER_S)
        self._due_ns = 0
        self.restart_wanted = False
        """True if the agent should end, to be restarted as another release."""

    def watch(self, tick: Tick) -> None:
        """Update the reporter; send a report if it changed or is due."""
        counts = [camera.counts for camera in self._cameras if camera.ready]
        sample = HealthSample(
            len(self._cameras), tuple(c.frames for c in counts), bool(tick.late), self._uplink.is_up
        )
        self.restart_wanted |= self._reporter.step(sample, sum(c.sightings for c in counts), tick.t_mono_ns)
        due = tick.t_mono_ns >= self._due_ns
        if due:
            self._due_ns = tick.t_mono_ns + self._every_ns
        report = self._reporter.report(self._unit, self._boot_id, self._config_sha256, again=due)
        if report is not None:
            self._uplink_queue.report(report)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {f"update.{name}": value for name, value in self._reporter.counters().items()}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return self._reporter.gauges()

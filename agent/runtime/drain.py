"""Drain: after the end of the input, waiting records may still be sent before the uplink ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.runtime.component import Component

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.runtime.committing import CommitComponent
    from agent.runtime.status import StatusReporter
    from agent.runtime.supervisor import Supervisor
    from agent.runtime.uplink import UplinkComponent
    from hw.ports import Clock

_NS_PER_S = 1_000_000_000
_ROUND_S = 0.05
_FAREWELL_S = 0.3


class Drain(Component):
    """Only its stop does anything: cameras and receiver have ended, commit thread and uplink still run."""

    name = "drain"

    def __init__(
        self,
        commit: CommitComponent,
        uplink: UplinkComponent,
        status: StatusReporter,
        supervisor: Supervisor,
        clock: Clock,
        *,
        pictures: bool,
    ) -> None:
        """``pictures``: whether pictures are sent, and must be waited for."""
        self._commit = commit
        self._uplink = uplink
        self._status = status
        self._supervisor = supervisor
        self._clock = clock
        self._pictures = pictures
        self._max_s = 0.0
        self._on_round: Callable[[], None] | None = None

    def allow(self, max_s: float, on_round: Callable[[], None] | None = None) -> None:
        """Set how long the stop may wait, and what is called meanwhile, many times per second."""
        self._max_s, self._on_round = max_s, on_round

    def stop(self) -> None:
        """Wait until everything is sent or the time is over, then report to the station that the unit stops."""
        until_ns = self._clock.mono_ns() + round(self._max_s * _NS_PER_S)
        while self._clock.mono_ns() < until_ns and self._supervisor.failure is None and self._something_waits():
            if self._on_round is not None:
                self._on_round()
            self._supervisor.wait(_ROUND_S)
        if self._uplink.is_up and self._uplink.alive:
            self._status.say_offline()
            self._supervisor.wait(_FAREWELL_S)

    def _something_waits(self) -> bool:
        # First what is on its way to the disk: what gets there between the two questions is then seen by the second.
        if self._commit.has_pending:
            return True
        stats = self._commit.stats_at_end()
        pictures = stats.plates + stats.overviews if self._pictures else 0
        return bool(stats.reads or stats.others or pictures)

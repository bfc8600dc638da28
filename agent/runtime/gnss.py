"""The receiver: sentences into the commit thread's queue; if it is lost, it is reopened until it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.runtime.component import Component
from hw.backoff import Backoff
from hw.ports import GnssLostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.runtime.queues import ReadQueue
    from agent.runtime.supervisor import Supervisor, WorkerContext
    from hw.ports import Gnss

_LOG = structlog.get_logger(__name__)
_LINE_TIMEOUT_S = 0.5
_DEADLINE_S = 20.0
_STOP_S = 5.0


class GnssComponent(Component):
    """The receiver and its thread."""

    name = "gnss"

    def __init__(self, gnss: Gnss, reads: ReadQueue, supervisor: Supervisor) -> None:
        self._gnss = gnss
        self._reads = reads
        self._supervisor = supervisor
        self._backoff = Backoff(0.5, 10.0)
        self._losses = 0

    def start(self) -> None:
        """Start the thread."""
        self._supervisor.spawn(self.name, self.run, deadline_s=_DEADLINE_S)

    def quiesce(self) -> None:
        """Close the receiver and ask the thread to end."""
        self._supervisor.ask_to_stop(self.name)
        self._gnss.close()

    def stop(self) -> None:
        """Join the thread.  Raises ThreadStuckError."""
        self._supervisor.stop(self.name, timeout_s=_STOP_S)

    def run(self, worker: WorkerContext) -> None:
        """Read sentences until asked to end; the thread's loop."""
        while not worker.stopping:
            worker.beat()
            try:
                line = self._gnss.next_line(timeout_s=_LINE_TIMEOUT_S)
            except GnssLostError as error:
                self._losses += 1
                _LOG.warning("gnss_lost", reason=str(error))
                worker.pause(self._backoff.next_s())
                continue
            if line is not None:
                self._backoff.reset()
                self._reads.put(line, worker)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {
            "devices.gnss_losses": self._losses,
            "devices.gnss_lines_dropped": self._gnss.dropped_lines,
            "devices.gnss_reports_unused": self._gnss.unused_reports,
        }

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {}

"""The hit thread: between the cameras and the commit thread.

Confirmed tracks are matched and alerted about at once; final tracks are matched, marked, and passed on to become reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.runtime.component import Component
from agent.runtime.queues import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.records import Track
    from agent.runtime.hits import HitService
    from agent.runtime.queues import ReadQueue
    from agent.runtime.supervisor import Supervisor, WorkerContext

_DEADLINE_S = 10.0
_STOP_S = 5.0


class HitComponent(Component):
    """Takes the tracks of all cameras.  Tracks are never dropped: a full queue slows the cameras."""

    name = "hits"

    def __init__(self, service: HitService, reads: ReadQueue, supervisor: Supervisor) -> None:
        self._service = service
        self._reads = reads
        self._supervisor = supervisor
        self._queue: WorkQueue[tuple[bool, Track]] = WorkQueue()

    def put_confirmed(self, track: Track, worker: WorkerContext) -> None:
        """Put a confirmed track; camera thread."""
        self._queue.put((True, track), worker)

    def put(self, track: Track, worker: WorkerContext) -> None:
        """Put a final track; camera thread."""
        self._queue.put((False, track), worker)

    def start(self) -> None:
        """Start the thread."""
        self._supervisor.spawn(self.name, self.run, deadline_s=_DEADLINE_S)

    def stop(self) -> None:
        """Pass on everything, end the thread and release the speaker.  Raises ThreadStuckError."""
        self._supervisor.stop(self.name, timeout_s=_STOP_S)
        self._service.close()

    def run(self, worker: WorkerContext) -> None:
        """Handle tracks until asked to end and nothing waits; the thread's loop."""
        try:
            while not (worker.stopping and self._queue.empty):
                worker.beat()
                items = self._queue.take()
                for index, (is_confirmed, track) in enumerate(items):
                    try:
                        self._handle(track, worker, is_confirmed=is_confirmed)
                    except BaseException:
                        self._pass_on(items[index:], worker)
                        raise
                self._service.tick()
                self._queue.done(len(items))
        finally:
            # After a failure the process ends; what it has read is still committed.
            while rest := self._queue.take():
                self._pass_on(rest, worker)

    def _handle(self, track: Track, worker: WorkerContext, *, is_confirmed: bool) -> None:
        if is_confirmed:
            self._service.on_confirmed(track)
        else:
            self._reads.put(self._service.on_final(track), worker)

    def _pass_on(self, items: list[tuple[bool, Track]], worker: WorkerContext) -> None:
        for is_confirmed, track in items:
            if not is_confirmed:
                self._reads.put(track, worker)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {**self._service.counters(), "hits.queue_waits": self._queue.waits}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return self._service.gauges()

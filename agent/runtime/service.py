"""The agent in the vehicle: components on threads, monitored by the main thread, stopped in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.power import Phase
from agent.runtime.assembly import assemble
from agent.runtime.component import Tick
from agent.runtime.stages import software
from agent.runtime.supervisor import Supervisor
from protocol.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.buffer import OutboxStats
    from agent.hits.desk import Matching
    from agent.pipeline import PlateRecognizer
    from agent.runtime.assembly import Assembly
    from agent.runtime.camera import CameraComponent
    from agent.runtime.commands import Commands, Officers
    from agent.runtime.config import AgentConfig
    from agent.runtime.hardware import Hardware
    from agent.runtime.health import Health
    from agent.runtime.hits import HitService
    from agent.runtime.progress import Progress
    from agent.runtime.stages import ReadPath
    from agent.runtime.updates import UpdateReporter

_LOG = structlog.get_logger(__name__)
_WATCH_S = 0.5
_SHOWN_S = 0.1


class Service:
    """One run of the agent.  ``run`` blocks; ``stop`` may come from any thread or a signal handler."""

    def __init__(
        self,
        config: AgentConfig,
        hardware: Hardware,
        reader: Callable[[], PlateRecognizer],
        models: tuple[str, ...],
        *,
        notifier: Notifier | None = None,
        matcher: Callable[[], Matching] | None = None,
        officers: Officers | None = None,
    ) -> None:
        """``reader`` makes a recogniser; it is called once in the thread of each camera.

        ``matcher`` returns that of the lists in force, ``officers`` knows who is signed on; if omitted, as configured.
        Raises OutboxError if the outbox cannot be opened.
        """
        self._config = config
        self._hw = hardware
        self._models = models
        self._notifier = notifier or Notifier({})
        self._stopping = False
        self._supervisor = Supervisor(hardware.clock)
        self._parts: Assembly = assemble(
            config,
            hardware,
            reader,
            models,
            supervisor=self._supervisor,
            notifier=self._notifier,
            matcher=matcher,
            officers=officers,
        )

    def stop(self) -> None:
        """Ask ``run`` to end cleanly."""
        self._stopping = True
        self._supervisor.wake()

    @property
    def outbox_stats(self) -> OutboxStats:
        """The outbox's counters, the last known ones if the disk cannot be read; main thread.

        Raises OutboxDamagedError.
        """
        return self._parts.commit.stats()

    @property
    def link_up(self) -> bool:
        """True while connected."""
        return self._parts.uplink.is_up

    @property
    def phase(self) -> Phase:
        """Phase of the drive."""
        return self._parts.ignition.phase

    @property
    def cameras(self) -> tuple[CameraComponent, ...]:
        """One component for each camera."""
        return self._parts.cameras

    @property
    def read_path(self) -> ReadPath:
        """The component that turns tracks into committed reads."""
        return self._parts.read_path

    @property
    def health(self) -> Health:
        """Counters and gauges."""
        return self._parts.health

    @property
    def updates(self) -> UpdateReporter:
        """State of updates."""
        return self._parts.updates

    @property
    def progress(self) -> Progress:
        """Results of this run so far."""
        return self._parts.progress

    @property
    def commands(self) -> Commands:
        """The verbs of the command socket."""
        return self._parts.commands

    @property
    def hits(self) -> HitService:
        """Hits of this run."""
        return self._parts.hits

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components in starting order."""
        return self._parts.lifecycle.names

    def run(
        self,
        *,
        until_cameras_end: bool = False,
        drain_s: float = 3.0,
        on_watch: Callable[[Service], None] | None = None,
    ) -> None:
        """Run until ``stop``, a failure, or (if requested) until every camera has ended.

        ``drain_s`` is how long the uplink may continue to send at the end.  Raises what ended a thread, or else the
        first failure of the stop; all components are stopped either way.
        """
        self._log_opening()
        self._parts.drain.allow(drain_s, None if on_watch is None else lambda: on_watch(self))
        try:
            self._parts.lifecycle.start()
            self._notifier.ready()
            while not self._is_over(until_cameras_end=until_cameras_end):
                self._watch()
                if on_watch is not None:
                    on_watch(self)
                self._supervisor.wait(_WATCH_S if on_watch is None else _SHOWN_S)
        finally:
            failed = self._shut_down()
        if (failure := self._supervisor.failure or failed) is not None:
            raise failure
        if self.phase is Phase.OVER:
            self._parts.ignition.ask_for_power_off()

    def _is_over(self, *, until_cameras_end: bool) -> bool:
        ended = until_cameras_end and not any(camera.alive for camera in self._parts.cameras)
        over = self.phase is Phase.OVER or self._parts.update_watch.restart_wanted
        return self._stopping or self._supervisor.failure is not None or ended or over

    def _watch(self) -> None:
        late = self._supervisor.overdue()
        if late:
            # Without the watchdog's reset systemd restarts the agent; only log which threads are late.
            _LOG.error("threads_overdue", **{name.replace("-", "_"): round(s, 1) for name, s in late.items()})
        else:
            self._notifier.alive()
        self._parts.lifecycle.watch(Tick(self._hw.clock.mono_ns(), self._hw.board.vitals(), tuple(late)))

    def _shut_down(self) -> Exception | None:
        self._notifier.stopping()
        _LOG.info("stopping")
        failed = self._parts.lifecycle.stop()
        stats = self.outbox_stats
        self.progress.finish(stats.reads)
        _LOG.info("stopped", appended=stats.appended, waiting=stats.reads)
        return failed

    def _log_opening(self) -> None:
        report = self.read_path.report
        if report.moved_to:
            _LOG.error(
                "outbox_damaged",
                moved_to=report.moved_to,
                damage=report.damage,
                salvaged=report.salvaged_records,
                salvaged_pictures=report.salvaged_pictures,
                lost_at_min=report.lost_at_min,
                lost_pictures=report.lost_pictures,
            )
        if report.taken_from:
            _LOG.warning(
                "outbox_taken_over",
                file=report.taken_from,
                records=report.taken_records,
                pictures=report.taken_pictures,
            )
        for problem in report.problems:
            _LOG.warning("outbox_problem", reason=problem)
        _LOG.info("starting", unit=self._config.unit, software=software(), models=list(self._models))

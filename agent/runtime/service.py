"""The agent in the vehicle: hardware and stages on threads, watched, stopped in order.

``main`` watches; ``vision-*``, ``gnss``, ``commit`` and ``uplink`` work.  Stopping goes along the flow: cameras and
receiver first, then what they led to is committed, then the uplink gets a moment, then the outbox is closed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.buffer import OutboxReader
from agent.errors import OutboxDamagedError, OutboxDiskError, OutboxError
from agent.power import Cooler, HoldUp, Phase
from agent.runtime.health import Condition, DeviceCounts, Health, Snapshot, health_payload, lamp_for
from agent.runtime.loops import ReadQueue, UplinkQueue, commit_loop, gnss_loop, uplink_loop, vision_loop
from agent.runtime.notify import Notifier
from agent.runtime.panel_controller import HEALTHY_LAMPS, PanelController
from agent.runtime.stages import build_fetcher, build_pipeline, build_read_path, build_uplink, software
from agent.runtime.supervisor import Supervisor
from agent.runtime.timing import StageTimes
from agent.runtime.updates import UpdateReporter
from agent.update.trial import HealthSample
from agent.wear import WriteBudget
from hw.backoff import Backoff
from hw.ports import Buzz, Exposable, Lamp, Will
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from protocol.wire.topics import Channel, build

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.buffer import OutboxStats
    from agent.commit import CommitResult
    from agent.pipeline import CameraPipeline, PlateRecognizer
    from agent.records import Read
    from agent.runtime.config import AgentConfig
    from hw.ports import Board, Camera, Clock, Gnss, Link, Panel, Vitals

_LOG = structlog.get_logger(__name__)
_NS_PER_S = 1_000_000_000
_WATCH_S = 0.5
_VISION_DEADLINE_S = 15.0
_DEADLINE_S = 10.0
_STOP_S = 5.0
_LOSS_SHOWN_S = 600.0
"""How long the lamp tells of a read that was lost."""
_MEBI = 2**20


@dataclass(frozen=True, slots=True)
class Hardware:
    """Open back ends of every port."""

    cameras: tuple[Camera, ...]
    gnss: Gnss
    panel: Panel
    link: Link
    board: Board
    clock: Clock


@dataclass(slots=True)
class Progress:
    """What a view may show; written by the commit thread, read by any."""

    reads: list[Read] = field(default_factory=list)
    """The latest."""
    committed: int = 0
    receipted: int = 0
    waiting: int = 0
    """Reads left in the outbox at the end."""
    first_mono_ns: int | None = None
    """When the first read was committed."""
    lost_mono_ns: int | None = None
    """When a read was last evicted for want of room."""
    keep: int = 50

    def note(self, settled: CommitResult, t_mono_ns: int) -> None:
        """Take a round of the committer."""
        if settled.reads and self.first_mono_ns is None:
            self.first_mono_ns = t_mono_ns
        self.committed += len(settled.reads)
        self.reads = [*self.reads, *settled.reads][-self.keep :]
        self.receipted += settled.freed
        if settled.lost:
            self.lost_mono_ns = t_mono_ns


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
    ) -> None:
        """``reader`` makes a recogniser; it is called once in the thread of each camera.

        Raises OutboxError when the outbox cannot be opened.
        """
        self._config = config
        self._hw = hardware
        self._reader = reader
        self._models = models
        self._notifier = notifier or Notifier({})
        self._stopping = False
        self._link_up = False
        self._health_due_ns = 0
        self._state = (UnitState.BIRTH, "started")
        self._hold_up = HoldUp(config.power.hold_up_s)
        self._cooler = Cooler(config.power.slow_above_c, config.power.fast_below_c)
        self.phase = Phase.DRIVING
        self.times = StageTimes()
        self.progress = Progress()
        boot_id = hardware.clock.boot_id
        self.read_path = build_read_path(config, boot_id=boot_id, models=models)
        self._waiting = OutboxReader(self.read_path.outbox.path)
        self._stats_reader = OutboxReader(self.read_path.outbox.path)
        self._stats = self.read_path.outbox.stats()
        self._inbox = ReadQueue()
        self._mailbox = UplinkQueue()
        self._supervisor = Supervisor(hardware.clock)
        self._devices = DeviceCounts()
        self._panel = PanelController(hardware.panel, self._devices)
        fetcher = build_fetcher(config, boot_id=boot_id)
        self.uplink = build_uplink(
            config, hardware.link, self._waiting, self._inbox.answer, boot_id=boot_id, downloads=fetcher
        )
        writing = WriteBudget(config.outbox.write_budget_mib_h * _MEBI)
        self.updates = UpdateReporter(config.update, config.state_dir, fetcher)
        self._config_sha256 = hashlib.sha256(config.model_dump_json().encode()).digest()
        self.health = Health(self.read_path, self.uplink, self._devices, writing, self.updates)

    def stop(self) -> None:
        """Ask ``run`` to end in order."""
        self._stopping = True
        self._supervisor.wake()

    @property
    def outbox_stats(self) -> OutboxStats:
        """The outbox's counters, the last known ones while the disk cannot be read; main thread.

        Raises OutboxDamagedError.
        """
        try:
            self._stats = self._stats_reader.stats()
        except OutboxDiskError as error:
            _LOG.warning("outbox_unreadable", reason=str(error))
        return self._stats

    def _stats_at_end(self) -> OutboxStats:
        """As ``outbox_stats``; damage does not keep the agent from stopping in order: it is marked."""
        try:
            return self.outbox_stats
        except OutboxDamagedError as error:
            _LOG.error("outbox_damaged", reason=str(error))
            return self._stats

    @property
    def link_up(self) -> bool:
        """True while connected."""
        return self._link_up

    def run(
        self,
        *,
        until_cameras_end: bool = False,
        drain_s: float = 3.0,
        on_watch: Callable[[Service], None] | None = None,
    ) -> None:
        """Work until ``stop``, a failure, or (if asked) until every camera has ended.

        ``drain_s`` is how long the uplink may go on sending at the end.  Raises what ended a thread.
        """
        self._log_opening()
        self._start()
        self._notifier.ready()
        try:
            while not self._stopping and self._supervisor.failure is None:
                if until_cameras_end and not self._cameras_alive():
                    break
                if self._watch_ignition() is Phase.OVER:
                    break
                self._watch()
                if on_watch is not None:
                    on_watch(self)
                self._supervisor.wait(_WATCH_S if on_watch is None else 0.1)
        finally:
            self._shut_down(drain_s, on_watch)
        if self._supervisor.failure is not None:
            raise self._supervisor.failure
        if self.phase is Phase.OVER:
            self._ask_for_power_off()

    def _watch_ignition(self) -> Phase:
        phase = self._hold_up.step(ignition_on=self._hw.panel.ignition_on, t_mono_ns=self._hw.clock.mono_ns())
        if phase is not self.phase:
            self.phase = phase
            _LOG.info("ignition", phase=phase.value)
            self._tell_state()
        return phase

    def _ask_for_power_off(self) -> None:
        """Everything is on the disk: leave the note that a unit of root's waits for; the agent has no such right."""
        request = self._config.power.off_request
        if request is None:
            return
        try:
            request.parent.mkdir(parents=True, exist_ok=True)
            request.touch()
        except OSError as error:
            _LOG.error("power_off_not_asked", path=str(request), error=error.strerror)

    def _tell_state(self) -> None:
        """Announce what the unit says of itself when it changes."""
        if self.phase is not Phase.DRIVING:
            state = (UnitState.DYING, "ignition off")
        elif self._panel.lamp in HEALTHY_LAMPS:
            state = (UnitState.ONLINE, "")
        else:
            state = (UnitState.DEGRADED, self._panel.lamp.value)
        if state != self._state:
            self._state = state
            self._mailbox.status(self._status(*state))

    def _start(self) -> None:
        hw, clock = self._hw, self._hw.clock
        self._mailbox.status(self._status(*self._state))
        will = Will(build(self._config.unit, Channel.STATUS), self._status(UnitState.OFFLINE, "connection lost"))
        self._supervisor.spawn(
            "commit",
            commit_loop(self.read_path.committer, self._inbox, clock, on_settled=self._settled),
            deadline_s=_DEADLINE_S,
        )
        self._supervisor.spawn(
            "uplink", uplink_loop(self.uplink, self._mailbox, clock, on_link=self._on_link), deadline_s=_DEADLINE_S
        )
        heard = tuple(build(self._config.unit, c) for c in (Channel.RECEIPT, Channel.COMMAND, Channel.PART))
        hw.link.start(self._mailbox.event, subscribe=heard, will=will)
        self._supervisor.spawn(
            "gnss",
            gnss_loop(hw.gnss, self._inbox, counts=self._devices, backoff=Backoff(0.5, 10.0)),
            deadline_s=_DEADLINE_S + 10.0,
        )
        for camera in hw.cameras:
            loop = vision_loop(
                camera,
                partial(self._build_vision, camera),
                self.health.visions.append,
                self._inbox,
                times=self.times,
                counts=self._devices,
                expose=camera.expose if isinstance(camera, Exposable) else None,
            )
            self._supervisor.spawn(f"vision-{camera.name}", loop, deadline_s=_VISION_DEADLINE_S)

    def _build_vision(self, camera: Camera) -> CameraPipeline:
        return build_pipeline(self._config, self._reader(), camera)

    def _watch(self) -> None:
        late = self._supervisor.overdue()
        if late:
            # Without the petting systemd restarts us; saying who was late is all there is left to do.
            _LOG.error("threads_overdue", **{name.replace("-", "_"): round(s, 1) for name, s in late.items()})
            self._panel.show(Lamp.FAULT)
        else:
            self._notifier.alive()
        self._panel.step(self.health.visions)
        now_ns = self._hw.clock.mono_ns()
        vitals = self._hw.board.vitals()
        due = now_ns >= self._health_due_ns
        if due:
            self._health_due_ns = now_ns + round(self._config.sync.health_s * _NS_PER_S)
            self._report_health(now_ns, vitals)
        if not late:
            self._show_lamp(now_ns, vitals)
        self._see_to_updates(now_ns, late=bool(late), again=due)

    def _see_to_updates(self, now_ns: int, *, late: bool, again: bool) -> None:
        counts = [vision.counts for vision in self.health.visions]
        signs = HealthSample(len(self._hw.cameras), tuple(c.frames for c in counts), late, self._link_up)
        if self.updates.step(signs, sum(c.sightings for c in counts), now_ns):
            self.stop()
        report = self.updates.news(self._config.unit, self._hw.clock.boot_id, self._config_sha256, again=again)
        if report is not None:
            self._mailbox.report(report)

    def _report_health(self, now_ns: int, vitals: Vitals) -> None:
        stats = self.outbox_stats
        if self.health.writing.step(vitals.written_bytes, now_ns):
            _LOG.warning("write_budget_exceeded", last_hour_bytes=self.health.writing.last_hour_bytes)
        free = self._config.sync.unmetered_interfaces
        self.uplink.meter.metered = vitals.default_interface is None or not vitals.default_interface.startswith(
            free
        )
        slow = self._cooler.slow
        if self._cooler.step(vitals.temperature_c) is not slow:
            _LOG.warning("heat", slow=self._cooler.slow)
        for vision in self.health.visions:
            vision.pacer.limit(
                self._config.power.slow_fps if self._cooler.slow else self._config.recognise.max_fps
            )
        snapshot = Snapshot(self.health.counters(stats), self.health.gauges(stats, vitals))
        tag = self.read_path.timebase.tag(now_ns)
        payload = health_payload(
            snapshot,
            unit=self._config.unit,
            boot_id=self._hw.clock.boot_id,
            t_mono_ns=now_ns,
            utc_ns=tag.utc_ns,
            seq_high=stats.next_seq - 1,
        )
        self._mailbox.health(payload)
        self._notifier.status(
            f"{stats.appended} reads, {stats.reads} waiting, link {'up' if self._link_up else 'down'}"
        )
        _LOG.info(
            "health", appended=stats.appended, waiting=stats.reads, link_up=self._link_up, rss=vitals.rss_bytes
        )

    def _show_lamp(self, now_ns: int, vitals: Vitals) -> None:
        condition = Condition(
            disk_bad=self._disk_is_bad(now_ns, vitals),
            camera_ok=self._cameras_deliver(),
            private=self._panel.private,
            view_clear=all(view.is_clear for view in self.health.views),
            fix=self.read_path.committer.last_fix,
            link_up=self._link_up,
        )
        if self._panel.show(lamp_for(condition, now_ns)):
            self._tell_state()

    def _disk_is_bad(self, now_ns: int, vitals: Vitals) -> bool:
        lost_ns = self.progress.lost_mono_ns
        return (
            self.read_path.committer.stuck
            or vitals.disk_free_bytes < self._config.outbox.min_free_mib * _MEBI
            or (lost_ns is not None and now_ns - lost_ns < _LOSS_SHOWN_S * _NS_PER_S)
        )

    def _cameras_alive(self) -> bool:
        return any(self._supervisor.alive(f"vision-{camera.name}") for camera in self._hw.cameras)

    def _cameras_deliver(self) -> bool:
        alive = all(self._supervisor.alive(f"vision-{camera.name}") for camera in self._hw.cameras)
        return alive and not self._devices.missing_cameras

    def _shut_down(self, drain_s: float, on_watch: Callable[[Service], None] | None) -> None:
        self._notifier.stopping()
        _LOG.info("stopping")
        for camera in self._hw.cameras:
            camera.close()
        self._hw.gnss.close()
        inputs = [f"vision-{camera.name}" for camera in self._hw.cameras]
        self._supervisor.stop(*inputs, "gnss", timeout_s=_STOP_S)
        self._drain(drain_s, on_watch)
        if self._link_up:
            self._mailbox.status(self._status(UnitState.OFFLINE, "stopped"))
            self._supervisor.wait(0.3)
        self._supervisor.stop("uplink", timeout_s=_STOP_S)
        self._supervisor.stop("commit", timeout_s=_STOP_S)
        self._hw.link.close()
        self._hw.panel.close()
        stats = self._stats_at_end()
        self._waiting.close()
        self._stats_reader.close()
        self.progress.waiting = stats.reads
        try:
            self.read_path.outbox.close()
        except OutboxError as error:
            _LOG.error("wal_checkpoint_failed", reason=str(error))
        _LOG.info("stopped", appended=stats.appended, waiting=stats.reads)

    def _drain(self, drain_s: float, on_watch: Callable[[Service], None] | None) -> None:
        """Let the uplink go on while the link is up, something waits and there is time."""
        until_ns = self._hw.clock.mono_ns() + round(drain_s * _NS_PER_S)
        while self._hw.clock.mono_ns() < until_ns and self._supervisor.failure is None:
            stats = self._stats_at_end()
            pictures = stats.plates + stats.overviews if self._config.sync.pictures else 0
            held = self.read_path.committer.waiting or not self._inbox.empty
            if not held and not (stats.reads or stats.others or pictures):
                return
            if on_watch is not None:
                on_watch(self)
            self._supervisor.wait(0.05)

    def _settled(self, settled: CommitResult) -> None:
        """ReadCommitter thread: tell everybody who cares."""
        self.progress.note(settled, self._hw.clock.mono_ns())
        if settled.lost:
            _LOG.error("reads_lost", count=settled.lost, why="no room: see `patrol-lpr doctor`")
        if settled.refused:
            _LOG.error("records_refused", count=settled.refused, look="patrol-lpr outbox list --quarantined")
        if settled.reads:
            self._mailbox.wake()
            self._hw.panel.buzz(Buzz.READ)
        for read, seq in zip(settled.reads, settled.seqs, strict=True):
            _LOG.info(
                "read", id=read.read_id.hex(), seq=seq, camera=read.body.camera, frames=read.body.n_sightings
            )

    def _on_link(self, up: bool, reason: str) -> None:
        self._link_up = up
        _LOG.info("link_up") if up else _LOG.warning("link_down", reason=reason)

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
        for problem in report.problems:
            _LOG.warning("outbox_problem", what=problem)
        _LOG.info("starting", unit=self._config.unit, software=software(), models=list(self._models))

    def _status(self, state: UnitState, reason: str) -> bytes:
        return encode(
            Status(
                unit=self._config.unit,
                boot_id=self._hw.clock.boot_id,
                state=state,
                reason=reason,
                software=software(),
                models=self._models,
            )
        )

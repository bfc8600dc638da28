"""Creates all components of one run, connects them, and lists them in starting order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent.runtime.alarm import Alarm
from agent.runtime.audit import ConfigWatch, QueuedAuditor
from agent.runtime.command import CommandSocket, build_command_server
from agent.runtime.committing import CommitComponent
from agent.runtime.drain import Drain
from agent.runtime.feed import Feed, build_feed_server
from agent.runtime.feed_state import AgentState
from agent.runtime.first_writes import FirstWrites
from agent.runtime.gnss import GnssComponent
from agent.runtime.health import Health
from agent.runtime.hit_component import HitComponent
from agent.runtime.hit_stages import build_hits
from agent.runtime.lifecycle import Lifecycle
from agent.runtime.panel_controller import PanelController
from agent.runtime.parts import (
    Shared,
    make_camera,
    make_health_reporter,
    make_lists,
    make_update_watch,
    make_uplink,
)
from agent.runtime.picture_verbs import LatestPictures
from agent.runtime.policy import PolicyComponent, RecordingGate
from agent.runtime.power import Heat, Ignition
from agent.runtime.progress import Progress
from agent.runtime.shifts import Shifts, build_shifts
from agent.runtime.stages import (
    build_fetcher,
    build_read_path,
    build_transfers,
    build_witness,
)
from agent.runtime.status import StatusReporter
from agent.runtime.updates import UpdateReporter
from agent.runtime.uplink import LinkComponent, UplinkComponent
from agent.runtime.verbs import VerbSources, build_commands
from agent.runtime.view_audit import ViewAudit
from agent.runtime.witness import WitnessComponent
from agent.shift.ports import DutyLimits
from agent.wear import WriteBudget
from protocol.wire.topics import heard_by_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.commit import CommitResult
    from agent.hits.desk import Matching
    from agent.pipeline import PlateRecognizer
    from agent.runtime.camera import CameraComponent
    from agent.runtime.commands import Commands, Officers
    from agent.runtime.config import AgentConfig
    from agent.runtime.hardware import Hardware
    from agent.runtime.hits import HitService
    from agent.runtime.lists import ListComponent
    from agent.runtime.queues import UplinkQueue
    from agent.runtime.stages import ReadPath
    from agent.runtime.supervisor import Supervisor
    from agent.runtime.update_watch import UpdateWatch
    from hw.ports import Clock
    from protocol.notify import Notifier

_MEBI = 2**20


@dataclass(frozen=True, slots=True)
class Assembly:
    """The components that are accessed by name, and the list of all."""

    lifecycle: Lifecycle
    read_path: ReadPath
    cameras: tuple[CameraComponent, ...]
    commit: CommitComponent
    uplink: UplinkComponent
    panel: PanelController
    ignition: Ignition
    drain: Drain
    updates: UpdateReporter
    update_watch: UpdateWatch
    health: Health
    progress: Progress
    auditor: QueuedAuditor
    commands: Commands
    lists: ListComponent
    shifts: Shifts
    hits: HitService


def assemble(
    config: AgentConfig,
    hardware: Hardware,
    reader: Callable[[], PlateRecognizer],
    models: tuple[str, ...],
    *,
    supervisor: Supervisor,
    notifier: Notifier,
    matcher: Callable[[], Matching] | None = None,
    officers: Officers | None = None,
) -> Assembly:
    """Create all components; nothing is started.

    ``matcher`` returns that of the lists in force, ``officers`` knows who is signed on; if omitted, as configured.
    ``reader`` makes a recogniser; it is called once in the thread of each camera.  Raises OutboxError if the outbox
    cannot be opened, and KeyFileError.
    """
    shared = Shared(config, hardware, supervisor, models)
    uplink_queue, clock = shared.uplink_queue, hardware.clock
    auditor = QueuedAuditor(shared.reads, clock)
    read_path = build_read_path(config, boot_id=shared.boot_id, models=models)
    fetcher = build_fetcher(config, boot_id=shared.boot_id)
    commit = CommitComponent(read_path, shared.reads, supervisor, clock)
    gate = RecordingGate(read_path.policies, lambda: commit.last_fix, commit.utc_ns)
    lists = make_lists(shared, commit, auditor, read_path.policies)
    first_writes = FirstWrites()
    hits = build_hits(
        config,
        read_path,
        clock,
        models=models,
        emit=shared.reads.add_record,
        matcher=matcher or (lambda: lists.matcher),
        alarm=Alarm(hardware.panel, hardware.speaker, config.hits.language),
        first=first_writes,
    )
    hit_thread = HitComponent(hits, shared.reads, supervisor)
    cameras = tuple(
        make_camera(shared, camera, reader, gate, read_path, hit_thread) for camera in hardware.cameras
    )
    ignition = Ignition(hardware.panel, config.power)
    shifts = build_shifts(
        *(config, commit, shared.reads, ignition, clock), auditor=auditor, limits=partial(_duty_limits, gate)
    )
    lists.watch_shifts(lambda: shifts.document() is not None)
    roster = shifts.roster_kind()
    transfers = build_transfers(
        config,
        fetcher,
        boot_id=shared.boot_id,
        kinds=() if roster is None else (roster,),
        on_list=lists.on_fetched,
        now_s=partial(_now_s, commit, clock),
    )
    witness = WitnessComponent(build_witness(config, partial(_whole_s, commit, clock)))
    uplink = make_uplink(shared, read_path, transfers, witness)
    panel = PanelController(
        hardware.panel,
        cameras,
        commit,
        uplink,
        min_free_bytes=config.outbox.min_free_mib * _MEBI,
        gate=gate,
        acknowledge=hits.acknowledge_newest,
        log_refused=lambda: bool(witness.refusal),
    )
    policy = PolicyComponent(
        read_path.policies,
        gate,
        read_path.read_policy,
        auditor,
        supervisor,
        is_private=lambda: panel.private,
        now_s=partial(_now_s, commit, clock),
        state_dir=config.state_dir,
    )
    status = StatusReporter(
        *(uplink_queue, ignition, panel),
        unit=shared.unit,
        boot_id=shared.boot_id,
        models=models,
        undelivered=lambda: uplink.undelivered,
    )
    heat = Heat(cameras, config.power, max_fps=config.recognise.max_fps)
    agent = AgentState(
        status, panel, cameras, commit, uplink, hits, shared.unit, shared.boot_id, models, shifts, gate, heat
    )
    feed = Feed(build_feed_server(config.feed, clock), agent, supervisor, clock)
    pictures, views = LatestPictures(clock), ViewAudit(auditor, clock)
    sources = VerbSources(hardware, cameras, commit, hits, shifts, lists, pictures, auditor, views)
    commands = build_commands(sources, officers or shifts, config.state_dir)
    command = CommandSocket(build_command_server(config.command, clock, commands), supervisor)
    link = LinkComponent(hardware.link, uplink_queue, heard_by_unit(shared.unit), status.will())
    drain = Drain(commit, uplink, status, supervisor, clock, pictures=config.sync.pictures)
    gnss = GnssComponent(hardware.gnss, shared.reads, supervisor)
    updates = UpdateReporter(config.update, config.state_dir, fetcher)
    update_watch = make_update_watch(shared, updates, cameras, uplink)
    health = Health(
        (
            *cameras,
            *(
                commit,
                uplink,
                panel,
                gnss,
                update_watch,
                feed,
                transfers,
                policy,
                command,
                lists,
                shifts,
                hit_thread,
                witness,
                first_writes,
            ),
        ),
        WriteBudget(config.outbox.write_budget_mib_h * _MEBI),
    )
    reporter = make_health_reporter(shared, health, commit, uplink, notifier, read_path.encoder)
    progress = Progress()
    commit.subscribe(lambda result: progress.note(result, clock.mono_ns()))
    commit.subscribe(partial(_wake, uplink_queue))
    commit.subscribe(panel.on_commit)
    commit.subscribe(pictures.on_commit)
    commit.subscribe(feed.on_commit)
    commit.subscribe(shifts.on_commit)
    uplink.subscribe(feed.on_link)
    commit.subscribe(lambda _: hits.tidy())
    hits.subscribe(feed.on_hit)
    hits.restore()
    # Stopped in the reverse order, which is the flow of data: cameras and receiver first, then waiting records may be
    # sent, and the outbox is closed when nothing writes to it any more.
    order = (
        *(ignition, panel, status, feed, commit, link, uplink, drain, gnss, policy),
        *(first_writes, hit_thread),
        *cameras,
        *(heat, reporter, update_watch, shifts, command, lists, witness),
        views,
        ConfigWatch(config.state_dir, shared.config_sha256, auditor),
    )
    return Assembly(
        lifecycle=Lifecycle(order),
        read_path=read_path,
        cameras=cameras,
        commit=commit,
        uplink=uplink,
        panel=panel,
        ignition=ignition,
        drain=drain,
        updates=updates,
        update_watch=update_watch,
        health=health,
        progress=progress,
        auditor=auditor,
        commands=commands,
        lists=lists,
        shifts=shifts,
        hits=hits,
    )


def _now_s(commit: CommitComponent, clock: Clock) -> float | None:
    utc_ns = commit.utc_ns(clock.mono_ns())
    return None if utc_ns is None else utc_ns / 1e9


def _duty_limits(gate: RecordingGate, t_mono_ns: int) -> DutyLimits:
    """What the policy that holds here says about officers; no track where nothing may be recorded."""
    policy = gate.policy(t_mono_ns)
    if policy is None:
        return DutyLimits()
    track_s = None if gate.pause(t_mono_ns) is not None else policy.track_every_s or None
    return DutyLimits(track_s, policy.idle_s)


def _whole_s(commit: CommitComponent, clock: Clock) -> int | None:
    now_s = _now_s(commit, clock)
    return None if now_s is None else int(now_s)


def _wake(uplink_queue: UplinkQueue, result: CommitResult) -> None:
    if result.reads:
        uplink_queue.wake()

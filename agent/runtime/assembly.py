"""Creates all components of one run, connects them, and lists them in starting order."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from agent.buffer import OutboxReader
from agent.policy.records import Where
from agent.runtime.alarm import Alarm
from agent.runtime.audit import ConfigWatch, ListWatch, QueuedAuditor
from agent.runtime.camera import CameraComponent
from agent.runtime.command import CommandSocket, build_command_server
from agent.runtime.commands import Commands
from agent.runtime.committing import CommitComponent
from agent.runtime.drain import Drain
from agent.runtime.feed import Feed, build_feed_server
from agent.runtime.feed_state import AgentState
from agent.runtime.gnss import GnssComponent
from agent.runtime.health import Health
from agent.runtime.health_reporter import HealthReporter
from agent.runtime.hit_component import HitComponent
from agent.runtime.hit_stages import build_hits
from agent.runtime.hit_verbs import HitVerbs
from agent.runtime.lifecycle import Lifecycle
from agent.runtime.lists import ListComponent, build_lists, inbox, kind_names
from agent.runtime.mount_file import MountFile
from agent.runtime.mount_verbs import MountVerbs
from agent.runtime.panel_controller import PanelController
from agent.runtime.picture_verbs import LatestPictures, PictureVerbs
from agent.runtime.policy import PolicyComponent, RecordingGate
from agent.runtime.power import Heat, Ignition
from agent.runtime.progress import Progress
from agent.runtime.queues import ReadQueue, UplinkQueue
from agent.runtime.shift_verbs import ShiftVerbs
from agent.runtime.shifts import Shifts, build_shifts
from agent.runtime.stages import (
    build_fetcher,
    build_pipeline,
    build_read_path,
    build_transfers,
    build_uplink,
    load_unit_key,
)
from agent.runtime.status import StatusReporter
from agent.runtime.update_watch import UpdateWatch
from agent.runtime.updates import UpdateReporter
from agent.runtime.uplink import LinkComponent, UplinkComponent
from agent.shift.pins import Argon2Pins
from agent.shift.ports import DutyLimits
from agent.wear import WriteBudget
from protocol.wire.topics import heard_by_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.audit import Auditor
    from agent.commit import CommitResult
    from agent.hits.desk import Matching
    from agent.pipeline import CameraPipeline, PlateRecognizer
    from agent.runtime.commands import Officers
    from agent.runtime.config import AgentConfig
    from agent.runtime.hardware import Hardware
    from agent.runtime.hits import HitService
    from agent.runtime.notify import Notifier
    from agent.runtime.policy import PoliciesInForce
    from agent.runtime.stages import ReadPath
    from agent.runtime.supervisor import Supervisor
    from agent.sync.encoder import RecordEncoder
    from agent.sync.transfer import Transfers
    from hw.ports import Camera, Clock

_MEBI = 2**20
_NS_PER_US = 1_000


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


@dataclass(frozen=True, slots=True)
class _Shared:
    """What most components need."""

    config: AgentConfig
    hw: Hardware
    supervisor: Supervisor
    models: tuple[str, ...]
    reads: ReadQueue = field(default_factory=ReadQueue)
    uplink_queue: UplinkQueue = field(default_factory=UplinkQueue)

    @property
    def unit(self) -> str:
        return self.config.unit

    @property
    def boot_id(self) -> bytes:
        return self.hw.clock.boot_id

    @property
    def config_sha256(self) -> bytes:
        return hashlib.sha256(self.config.model_dump_json().encode()).digest()


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
    shared = _Shared(config, hardware, supervisor, models)
    uplink_queue, clock = shared.uplink_queue, hardware.clock
    auditor = QueuedAuditor(shared.reads, clock)
    read_path = build_read_path(config, boot_id=shared.boot_id, models=models)
    fetcher = build_fetcher(config, boot_id=shared.boot_id)
    commit = CommitComponent(read_path, shared.reads, supervisor, clock)
    gate = RecordingGate(read_path.policies, lambda: commit.last_fix, commit.utc_ns)
    lists = _lists(shared, commit, auditor, read_path.policies)
    hits = build_hits(
        config,
        read_path,
        clock,
        models=models,
        emit=shared.reads.add_record,
        matcher=matcher or (lambda: lists.matcher),
        alarm=Alarm(hardware.panel, hardware.speaker, config.hits.language),
    )
    hit_thread = HitComponent(hits, shared.reads, supervisor)
    cameras = tuple(_camera(shared, camera, reader, gate, read_path, hit_thread) for camera in hardware.cameras)
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
    )
    uplink = _uplink(shared, read_path, transfers)
    panel = PanelController(
        hardware.panel,
        cameras,
        commit,
        uplink,
        min_free_bytes=config.outbox.min_free_mib * _MEBI,
        gate=gate,
        acknowledge=hits.acknowledge_newest,
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
    commands, pictures = Commands(officers or shifts), LatestPictures()
    commands.add(PictureVerbs(pictures, cameras, clock, hits.picture, auditor).verbs())
    commands.add(HitVerbs(hits, auditor).verbs())
    commands.add(
        ShiftVerbs(shifts, Argon2Pins(), secrets.token_bytes, lambda: commit.last_fix, lists.sign_on).verbs()
    )
    commands.add(MountVerbs(hardware.cameras, MountFile(config.state_dir), auditor).verbs())
    command = CommandSocket(build_command_server(config.command, clock, commands), supervisor)
    link = LinkComponent(hardware.link, uplink_queue, heard_by_unit(shared.unit), status.will())
    drain = Drain(commit, uplink, status, supervisor, clock, pictures=config.sync.pictures)
    gnss = GnssComponent(hardware.gnss, shared.reads, supervisor)
    updates = UpdateReporter(config.update, config.state_dir, fetcher)
    update_watch = _update_watch(shared, updates, cameras, uplink)
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
            ),
        ),
        WriteBudget(config.outbox.write_budget_mib_h * _MEBI),
    )
    reporter = _health_reporter(shared, health, commit, uplink, notifier, read_path.encoder)
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
        *(ignition, panel, status, feed, commit, link, uplink, drain, gnss, policy, hit_thread),
        *cameras,
        *(heat, reporter, update_watch, shifts, command, lists),
        ConfigWatch(config.state_dir, shared.config_sha256, auditor),
        ListWatch(config.state_dir, lambda: lists.matcher.lists, auditor),
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


def _lists(
    shared: _Shared, commit: CommitComponent, auditor: Auditor, policies: PoliciesInForce | None
) -> ListComponent:
    def utc_us() -> int | None:
        utc_ns = commit.utc_ns(shared.hw.clock.mono_ns())
        return None if utc_ns is None else utc_ns // _NS_PER_US

    config = shared.config
    # Lists are packed for the whole run: by the policy of an unknown place, the strictest.
    budget = None if policies is None else policies().at(Where()).alarms.max_false_per_1000
    unit = build_lists(config, lambda: load_unit_key(config), utc_us, budget_per_1000=budget)
    return ListComponent(unit, tuple(inbox(config, kind) for kind in kind_names()), shared.supervisor, auditor)


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


def _camera(  # noqa: PLR0917 - what one camera needs
    shared: _Shared,
    camera: Camera,
    reader: Callable[[], PlateRecognizer],
    gate: RecordingGate,
    read_path: ReadPath,
    hits: HitComponent,
) -> CameraComponent:
    def pipeline() -> CameraPipeline:
        return build_pipeline(shared.config, reader(), camera, read_ids=read_path.new_id)

    roles = {c.name: c.role for c in shared.config.hw.cameras}
    return CameraComponent(
        camera,
        roles.get(camera.name, ""),
        pipeline,
        hits,
        shared.supervisor,
        clock=shared.hw.clock,
        max_fps=shared.config.recognise.max_fps,
        may_not_record=gate.pause,
        confirmed=hits.put_confirmed,
    )


def _uplink(shared: _Shared, read_path: ReadPath, downloads: Transfers) -> UplinkComponent:
    waiting = OutboxReader(read_path.outbox.path)
    uplink = build_uplink(
        shared.config,
        shared.hw.link,
        waiting,
        shared.reads.add_command,
        boot_id=shared.boot_id,
        downloads=downloads,
    )
    return UplinkComponent(
        uplink,
        shared.uplink_queue,
        waiting,
        shared.supervisor,
        shared.hw.clock,
        unmetered_interfaces=shared.config.sync.unmetered_interfaces,
        may_take=lambda: shared.reads.takes_commands,
    )


def _health_reporter(  # noqa: PLR0917 - the parts that it reports
    shared: _Shared,
    health: Health,
    commit: CommitComponent,
    uplink: UplinkComponent,
    notifier: Notifier,
    encoder: RecordEncoder,
) -> HealthReporter:
    return HealthReporter(
        health,
        commit,
        uplink,
        shared.uplink_queue,
        notifier,
        encoder=encoder,
        every_s=shared.config.sync.health_s,
    )


def _update_watch(
    shared: _Shared, updates: UpdateReporter, cameras: tuple[CameraComponent, ...], uplink: UplinkComponent
) -> UpdateWatch:
    return UpdateWatch(
        updates,
        cameras,
        uplink,
        shared.uplink_queue,
        unit=shared.unit,
        boot_id=shared.boot_id,
        config_sha256=shared.config_sha256,
        every_s=shared.config.sync.health_s,
    )


def _wake(uplink_queue: UplinkQueue, result: CommitResult) -> None:
    if result.reads:
        uplink_queue.wake()

"""Creates single components of a run for :mod:`agent.runtime.assembly`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from agent.buffer import OutboxReader
from agent.policy.records import Where
from agent.runtime.audit import UNIT, ListNote
from agent.runtime.camera import CameraComponent
from agent.runtime.health_reporter import HealthReporter
from agent.runtime.lists import ListComponent, build_lists, inbox, kind_names
from agent.runtime.metrics_file import MetricsFile, metrics_path
from agent.runtime.queues import ReadQueue, UplinkQueue
from agent.runtime.stages import build_pipeline, build_uplink, load_unit_key
from agent.runtime.update_watch import UpdateWatch
from agent.runtime.uplink import UplinkComponent
from protocol.errors import HotlistError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.audit import Auditor
    from agent.pipeline import CameraPipeline, PlateRecognizer
    from agent.runtime.committing import CommitComponent
    from agent.runtime.config import AgentConfig
    from agent.runtime.hardware import Hardware
    from agent.runtime.health import Health
    from agent.runtime.hit_component import HitComponent
    from agent.runtime.policy import PoliciesInForce, RecordingGate
    from agent.runtime.stages import ReadPath
    from agent.runtime.supervisor import Supervisor
    from agent.runtime.updates import UpdateReporter
    from agent.runtime.witness import WitnessComponent
    from agent.sync.encoder import RecordEncoder
    from agent.sync.transfer import Transfers
    from hw.ports import Camera
    from protocol.notify import Notifier

_LOG = structlog.get_logger(__name__)
_NS_PER_US = 1_000


@dataclass(frozen=True, slots=True)
class Shared:
    """What most components need."""

    config: AgentConfig
    hw: Hardware
    supervisor: Supervisor
    models: tuple[str, ...]
    reads: ReadQueue = field(default_factory=ReadQueue)
    uplink_queue: UplinkQueue = field(default_factory=UplinkQueue)

    @property
    def unit(self) -> str:
        """Id of the unit."""
        return self.config.unit

    @property
    def boot_id(self) -> bytes:
        """Id of this boot."""
        return self.hw.clock.boot_id

    @property
    def config_sha256(self) -> bytes:
        """Hash of the configuration in force."""
        return hashlib.sha256(self.config.model_dump_json().encode()).digest()


def make_lists(
    shared: Shared, commit: CommitComponent, auditor: Auditor, policies: PoliciesInForce | None
) -> ListComponent:
    """The hot lists of the unit."""

    def utc_us() -> int | None:
        utc_ns = commit.utc_ns(shared.hw.clock.mono_ns())
        return None if utc_ns is None else utc_ns // _NS_PER_US

    config = shared.config
    # Lists are packed for the whole run: by the policy of an unknown place, the strictest.
    budget = None if policies is None else policies().at(Where()).alarms.max_false_per_1000
    inboxes = tuple(inbox(config, kind) for kind in kind_names())
    note = ListNote(config.state_dir)
    try:
        unit = build_lists(config, lambda: load_unit_key(config), utc_us, budget_per_1000=budget)
    except (HotlistError, OSError) as error:
        # Reads must be kept whatever happened to the lists.
        _LOG.error("hotlists_unreadable", error=str(error))
        auditor.add(UNIT, "list_change", "hot lists", outcome="unreadable: none is in force")
        without = ListComponent(None, inboxes, shared.supervisor, auditor, note)
        without.counts.unopened += 1
        return without
    return ListComponent(unit, inboxes, shared.supervisor, auditor, note)


def make_camera(  # noqa: PLR0917 - what one camera needs
    shared: Shared,
    camera: Camera,
    reader: Callable[[], PlateRecognizer],
    gate: RecordingGate,
    read_path: ReadPath,
    hits: HitComponent,
) -> CameraComponent:
    """The thread of one camera."""

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


def make_uplink(
    shared: Shared, read_path: ReadPath, downloads: Transfers, witness: WitnessComponent
) -> UplinkComponent:
    """The link to the station."""
    waiting = OutboxReader(read_path.outbox.path)
    uplink = build_uplink(
        shared.config,
        shared.hw.link,
        waiting,
        shared.reads.add_command,
        boot_id=shared.boot_id,
        downloads=downloads,
        witness=witness.take,
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


def make_health_reporter(  # noqa: PLR0917 - the parts that it reports
    shared: Shared,
    health: Health,
    commit: CommitComponent,
    uplink: UplinkComponent,
    notifier: Notifier,
    encoder: RecordEncoder,
) -> HealthReporter:
    """What reports counters and gauges, and signs the head of the series."""
    return HealthReporter(
        health,
        commit,
        uplink,
        shared.uplink_queue,
        notifier,
        encoder=encoder,
        every_s=shared.config.sync.health_s,
        metrics=MetricsFile(metrics_path(shared.config.metrics.file, os.environ)),
    )


def make_update_watch(
    shared: Shared, updates: UpdateReporter, cameras: tuple[CameraComponent, ...], uplink: UplinkComponent
) -> UpdateWatch:
    """What ends the trial of an update."""
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

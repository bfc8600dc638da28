"""Deterministic replay of a drive, as fast as possible.

The stages of the vehicle run on simulated time, with a scripted link and a real station.

The script's faults are applied here: sentences, frames, link and power.  Invariant: every read
that was committed is at the station, still in the outbox, or counted as evicted.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.buffer import OutboxReader
from agent.hits.errors import HitRefusedError
from agent.hits.machine import Verification
from agent.hits.records import DECIDED, OPEN, Actor, Checks
from agent.runtime.alarm import Alarm
from agent.runtime.hit_stages import build_hits
from agent.runtime.stages import build_pipeline, build_read_path, build_uplink
from agent.runtime.timing import StageTimes
from hw.clock import SimClock
from hw.link_sim import LinkSim
from hw.panel_sim import PanelSim
from hw.ports import NmeaLine
from hw.timeline import DrivePictures, FrameEvent, NmeaEvent, ScriptEvent, scripted_timeline
from protocol.wire.topics import Channel, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.buffer import Command, OutboxStats
    from agent.commit import CommitResult
    from agent.hits.desk import Matching
    from agent.hits.records import Hit
    from agent.pipeline import CameraPipeline, PipelineCounts, PlateRecognizer
    from agent.records import Fix, Read, Track
    from agent.runtime.config import AgentConfig
    from agent.runtime.hits import HitService
    from agent.runtime.stages import ReadPath
    from agent.sync.counts import UplinkCounts
    from agent.sync.uplink import Uplink
    from agent.track import TrackerCounts
    from hw.drive_format import Drive
    from hw.script import Action
    from hw.timeline import Event

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_ROUND_NS = 100 * _NS_PER_MS
_LATENCY_MS = 25
_LAST_DRAIN_S = 60.0
_BADGE = "0000"
"""Badge of the officer of a script."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An event on the time axis of a report."""

    t_mono_ns: int
    what: str


@dataclass(slots=True)
class ReplayResult:
    """Result of a drive."""

    reads: list[Read] = field(default_factory=list)
    """All reads that were committed, over all boots."""
    seqs: list[int] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    waiting: list[tuple[int, int]] = field(default_factory=list)
    """Time in nanoseconds and number of pending reads, once a second."""
    hits: dict[bytes, Hit] = field(default_factory=dict)
    """All hits, as they were last."""
    refusals: list[str] = field(default_factory=list)
    """Codes of what officers tried and were refused."""
    panels: list[PanelSim] = field(default_factory=list)
    """The panel of each boot."""
    frame_ms: list[float] = field(default_factory=list)
    """Wall time in the vision step of each frame."""
    times: StageTimes = field(default_factory=StageTimes)
    visions: list[PipelineCounts] = field(default_factory=list)
    trackers: list[TrackerCounts] = field(default_factory=list)
    uplinks: list[UplinkCounts] = field(default_factory=list)
    unreadable: int = 0
    """Frames of the drive whose pictures cannot be decoded."""
    partial: int = 0
    """Frames whose pictures are damaged, decoded as far as possible."""
    boots: int = 1
    rereads: int = 0
    receipted: int = 0
    outbox: OutboxStats | None = None


class _Boot:
    """The agent from one start to the next power cut."""

    def __init__(self, replay: Replay) -> None:
        config, clock = replay.config, replay.clock
        reader = replay.make_reader()
        self.read_path: ReadPath = build_read_path(
            config, boot_id=clock.boot_id, models=replay.models, random_bytes=replay.random_bytes, life=b""
        )
        self.vision: CameraPipeline = build_pipeline(config, reader, read_ids=self.read_path.new_id)
        self.panel = PanelSim(clock)
        self.hits: HitService = build_hits(
            config,
            self.read_path,
            clock,
            models=replay.models,
            emit=self.read_path.committer.add_record,
            matcher=replay.matcher,
            alarm=Alarm(self.panel, None, config.hits.language),
        )
        self.hits.subscribe(replay.note_hit)
        self.hits.restore()
        self.waiting = OutboxReader(self.read_path.outbox.path)
        self.link = LinkSim(replay.peer, clock, latency_ms=_LATENCY_MS, window=config.sync.window)
        self.uplink: Uplink = build_uplink(config, self.link, self.waiting, self._answer, boot_id=clock.boot_id)
        self.link.start(
            lambda event: self.uplink.handle(event, clock.mono_ns()),
            subscribe=(build(config.unit, Channel.RECEIPT),),
            will=None,
        )

    def _answer(self, command: Command) -> None:
        self.read_path.committer.add_command(command)

    def release(self) -> None:
        """Close the files without flushing."""
        self.waiting.close()
        self.read_path.outbox.close()


def starts_with_link_up(drive: Drive) -> bool:
    """A recorded drive has no script: its link is up; one whose script begins by bringing it up starts without."""
    turns = [action.do for action in drive.script if action.do in {"link.up", "link.down"}]
    return turns[:1] != ["link.up"]


class Replay:
    """Plays one drive once."""

    def __init__(
        self,
        drive: Drive,
        config: AgentConfig,
        make_reader: Callable[[], PlateRecognizer],
        models: tuple[str, ...],
        peer: Callable[[str, bytes], Iterable[tuple[str, bytes]]],
        *,
        earlier_boots: int = 0,
        matcher: Callable[[], Matching] | None = None,
    ) -> None:
        """``peer`` is the station: topic and payload in, answers out.  ``matcher`` returns that of the lists in force.

        ``earlier_boots`` is how often this unit was started before: it continues with its outbox, under new ids.
        """
        self.drive = drive
        self.config = config
        self.make_reader = make_reader
        self.models = models
        self.peer = peer
        self.matcher = matcher
        self.clock = SimClock(utc_ns=drive.header.start_utc_ns, boots_before=earlier_boots)
        self.result = ReplayResult()
        self._random = random.Random(f"{drive.header.name} {earlier_boots}")  # noqa: S311 - the same ids in every replay
        self._link_is_up = False
        self._settle_due_ns = 0
        self._note_due_ns = 0
        self._boot = _Boot(self)

    def random_bytes(self, n: int) -> bytes:
        """Return random bytes for read ids."""
        return self._random.randbytes(n)

    def run(self, on_frame: Callable[[int, ReplayResult], None] | None = None) -> ReplayResult:
        """Play to the end and drain the link.  ``on_frame`` is called with each frame's number."""
        pictures = DrivePictures(self.drive)
        if starts_with_link_up(self.drive):
            self._link_is_up = True
            self._boot.link.up()
        for event in scripted_timeline(self.drive):
            self._pass_time(event.t_mono_ns)
            self._take(event, pictures)
            if on_frame is not None and isinstance(event, FrameEvent):
                on_frame(event.row.seq, self.result)
        pictures.close()
        self.result.partial = pictures.partial
        for track in self._boot.vision.flush():
            self._finish(track)
        self._note(self._boot.read_path.committer.flush())
        self._drain()
        self._end_boot()
        return self.result

    def _take(self, event: Event, pictures: DrivePictures) -> None:
        boot = self._boot
        match event:
            case FrameEvent():
                frame = pictures.frame(event.row, t_mono_ns=event.t_mono_ns)
                if frame is None:
                    self.result.unreadable += 1
                    return
                self.result.times.start()
                start_s = time.perf_counter()
                step = boot.vision.step(frame, self.result.times.lap)
                self.result.frame_ms.append((time.perf_counter() - start_s) * 1e3)
                for track in step.confirmed:
                    boot.hits.on_confirmed(track)
                for track in step.tracks:
                    self._finish(track)
            case NmeaEvent():
                fix = boot.read_path.committer.add_sentence(NmeaLine(event.t_mono_ns, event.text))
                if fix is not None:
                    self.result.fixes.append(fix)
            case ScriptEvent():
                self._strike(event)

    def _finish(self, track: Track) -> None:
        self._boot.read_path.committer.add_track(self._boot.hits.on_final(track))

    def note_hit(self, hit: Hit) -> None:
        """Keep a changed hit for the result."""
        self.result.hits[hit.hit_id] = hit

    def _decide(self, action: Action) -> None:
        """An officer acts on the latest hit, as in the vehicle: what is not complete is refused."""
        hits, actor = self._boot.hits, Actor(_BADGE)
        of_state = OPEN if action.do != "officer.outcome" else DECIDED
        latest = next((hit for hit in reversed(self.result.hits.values()) if hit.state in of_state), None)
        if latest is None:
            self.result.refusals.append("no_hit")
            return
        given = Verification(
            Checks(*(action.truth(name, True) for name in ("characters", "region", "vehicle"))),
            reason=action.word("reason", ""),
            confirming_agency=action.word("agency", ""),
            reference=action.word("reference", ""),
        )
        try:
            if action.do == "officer.confirm":
                hits.confirm(latest.hit_id, given, actor)
            elif action.do == "officer.reject":
                hits.reject(latest.hit_id, given, actor)
            else:
                hits.note_outcome(latest.hit_id, action.word("code", ""), actor)
        except HitRefusedError as refused:
            self.result.refusals.append(refused.code)

    def _strike(self, event: ScriptEvent) -> None:
        action = event.action
        self.result.moments.append(Moment(event.t_mono_ns, action.do))
        if self._boot.link.apply(action):
            if action.do in {"link.up", "link.down"}:
                self._link_is_up = action.do == "link.up"
            self._step_link()
        elif action.do == "power.cut":
            self._end_boot()
            self.clock.restart()
            self.result.boots += 1
            self._boot = _Boot(self)
            if self._link_is_up:
                self._boot.link.up()
        elif action.do == "button.acknowledge":
            self._boot.hits.acknowledge_newest()
        elif action.do.startswith("officer."):
            self._decide(action)
        elif action.do == "clock.step":
            self.clock.step_utc(round(action.number("seconds", 0.0) * _NS_PER_S))

    def _pass_time(self, until_ns: int) -> None:
        """Advance the clock, stopping whenever the link or the committer is due."""
        while True:
            due = [self._settle_due_ns]
            link_due_ns = self._boot.link.next_due_ns()
            if link_due_ns is not None:
                due.append(link_due_ns)
            next_ns = max(self.clock.mono_ns(), min(due))
            if next_ns > until_ns:
                self.clock.advance_to(max(until_ns, self.clock.mono_ns()))
                return
            self.clock.advance_to(next_ns)
            self._step_link()
            if next_ns >= self._settle_due_ns:
                self._settle_due_ns = next_ns + _ROUND_NS
                self._boot.hits.tick()
                self._note(self._boot.read_path.committer.commit_ready(next_ns))
                self._boot.hits.tidy()
                self._boot.uplink.pump(next_ns)
                self._note_waiting(next_ns)

    def _step_link(self) -> None:
        self._boot.link.step()
        self._boot.uplink.pump(self.clock.mono_ns())

    def _note(self, result: CommitResult) -> None:
        self.result.reads += result.reads
        self.result.seqs += result.seqs
        self.result.receipted += result.freed

    def _note_waiting(self, now_ns: int) -> None:
        if now_ns >= self._note_due_ns:
            self._note_due_ns = now_ns + _NS_PER_S
            self.result.waiting.append((now_ns, self._boot.read_path.outbox.stats().reads))

    def _drain(self) -> None:
        until_ns = self.clock.mono_ns() + round(_LAST_DRAIN_S * _NS_PER_S)
        while self._link_is_up and self.clock.mono_ns() < until_ns:
            stats = self._boot.read_path.outbox.stats()
            if not (stats.reads or stats.others or stats.plates or stats.overviews):
                return
            self._pass_time(self.clock.mono_ns() + _ROUND_NS)

    def _end_boot(self) -> None:
        boot, result = self._boot, self.result
        result.panels.append(boot.panel)
        result.visions.append(boot.vision.counts)
        result.trackers.append(boot.vision.track_counts)
        result.uplinks.append(boot.uplink.counts)
        result.rereads += boot.read_path.rereads.counts.suppressed
        result.outbox = boot.read_path.outbox.stats()
        boot.link.close()
        boot.release()

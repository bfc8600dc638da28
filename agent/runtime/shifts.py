"""Shifts on the unit: the state machine behind a lock, fed by the other components, with its file and its records."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.buffer import NewRecord
from agent.geotag.geodesy import Position
from agent.power import Phase
from agent.runtime.component import Component
from agent.runtime.duty_file import DutyFile
from agent.runtime.feed_documents import shift_document
from agent.runtime.roster_file import RosterFile
from agent.shift.duty import Duty
from agent.shift.errors import ShiftError
from agent.shift.moment import Moment
from agent.shift.ports import DutyPorts
from agent.shift.track import TrackRecorder
from protocol.wire.records.shift import Shift
from protocol.wire.released import released_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agent.audit import Auditor
    from agent.commit import CommitResult
    from agent.records import Geotag, TimeTag
    from agent.runtime.committing import CommitComponent
    from agent.runtime.component import Tick
    from agent.runtime.config import AgentConfig
    from agent.runtime.feed_documents import Document, Json
    from agent.runtime.power import Ignition
    from agent.runtime.queues import ReadQueue
    from agent.shift.ports import DutyConfig, DutyLimits, OnDuty
    from agent.shift.shifts import ShiftState
    from agent.sync.transfer import FileKind
    from hw.ports import Clock
    from protocol.wire.registry import RecordBody, Registry

_LOG = structlog.get_logger(__name__)
_ID_BYTES = 16
_S_PER_DAY = 86_400
_US_PER_S = 1_000_000
_MAX_READS = 10_000
"""Reads between two rounds of the main thread; more would only be miscounted."""


def build_shifts(
    config: AgentConfig,
    commit: CommitComponent,
    reads: ReadQueue,
    ignition: Ignition,
    clock: Clock,
    *,
    auditor: Auditor,
    limits: Callable[[int], DutyLimits],
) -> Shifts:
    """Create the component.  Raises KeyFileError for an invalid key of the agency."""
    table = config.shift
    parts = DutyParts(
        config=table.duty_config(config.unit),
        file=DutyFile(config.state_dir),
        roster=RosterFile(config.state_dir, table.roster_key, config.unit),
        registry=released_registry(),
        random_bytes=secrets.token_bytes,
        keep_days=table.keep_days,
        ignition_signs_off=table.ignition_sign_off,
    )
    return Shifts(parts, commit, reads, ignition, clock, auditor=auditor, limits=limits)


def _ignore() -> None:
    return


@dataclass(frozen=True, slots=True)
class DutyParts:
    """What shifts work with on this unit."""

    config: DutyConfig
    file: DutyFile
    roster: RosterFile
    registry: Registry
    random_bytes: Callable[[int], bytes]
    keep_days: float
    """Employees' data that the station has not confirmed by then are deleted."""
    ignition_signs_off: bool = True


class Shifts(Component):
    """The component; also the ``Officers`` of the command socket."""

    name = "shifts"

    def __init__(
        self,
        parts: DutyParts,
        commit: CommitComponent,
        reads: ReadQueue,
        ignition: Ignition,
        clock: Clock,
        *,
        auditor: Auditor,
        limits: Callable[[int], DutyLimits],
    ) -> None:
        """``limits`` returns what the policy allows at an instant of the monotonic clock."""
        self._parts = parts
        self._commit = commit
        self._reads = reads
        self._ignition = ignition
        self._clock = clock
        self._limits = limits
        self._auditor = auditor
        self._lock = threading.RLock()
        self._read_at: deque[Position | None] = deque(maxlen=_MAX_READS)
        self._stored: deque[str] = deque()
        self._track = TrackRecorder()
        self._roster_due = threading.Event()
        self._signed_on = self._refused = self._sent = 0
        self._duty = self._open()

    def _open(self) -> Duty:
        parts, now = self._parts, self.now()
        ports = DutyPorts(parts.file.save, self._send, parts.random_bytes, self._auditor)
        roster, document = parts.roster.load(), parts.file.load()
        try:
            return Duty(parts.config, ports, parts.registry, document, now, roster=roster)
        except ShiftError as error:
            parts.file.set_aside(str(error))
            return Duty(parts.config, ports, parts.registry, None, now, roster=roster)

    def now(self) -> Moment:
        """The present moment."""
        t_mono_ns = self._clock.mono_ns()
        return Moment(t_mono_ns, self._clock.boot_id, self._commit.time_tag(t_mono_ns))

    # For the other components

    def start(self) -> None:
        """Hand over the records that were not known to be in the outbox."""
        with self._lock:
            self._duty.journal.resend(self.now())

    def watch(self, tick: Tick) -> None:
        """Count, end what is due, save; a new roster is used from now on."""
        with self._lock:
            now = Moment(tick.t_mono_ns, self._clock.boot_id, self._commit.time_tag(tick.t_mono_ns))
            if self._roster_due.is_set():
                self._roster_due.clear()
                if (roster := self._parts.roster.load()) is not None:
                    self._duty.install(roster, now)
                    _LOG.info("roster_installed", version=roster.version)
            limits = self._limits(now.t_mono_ns)
            self._count(now, limits.track_every_s)
            over = self._parts.ignition_signs_off and self._ignition.phase is Phase.OVER
            self._duty.watch(now, ignition_over=over, idle_s=limits.idle_s)

    def _count(self, now: Moment, track_every_s: float | None) -> None:
        self._duty.journal.stored({self._stored.popleft() for _ in range(len(self._stored))})
        fix = self._commit.last_fix
        if fix is not None:
            self._duty.add_fix(fix, now)
            shifts = self._duty.state.shifts
            shift_id = shifts[0].shift_id if shifts else None
            for points in self._track.add(fix, now, every_s=track_every_s, shift_id=shift_id):
                self._reads.add_record(_Record(points, now.t_mono_ns))
        for _ in range(len(self._read_at)):
            self._duty.add_read(self._read_at.popleft())

    def stop(self) -> None:
        """Save; open shifts go on when the agent is back."""
        with self._lock:
            now = self.now()
            self._count(now, None)
            for points in self._track.finish():
                self._reads.add_record(_Record(points, now.t_mono_ns))
            self._duty.close(now)

    def on_commit(self, result: CommitResult) -> None:
        """Note where reads were made; the commit thread."""
        for read in result.reads:
            lat_deg, lon_deg = read.body.place.lat_deg, read.body.place.lon_deg
            self._read_at.append(None if lat_deg is None or lon_deg is None else Position(lat_deg, lon_deg))

    def on_roster(self) -> None:
        """Note that a new roster is there; the uplink's thread."""
        self._roster_due.set()

    def roster_kind(self) -> FileKind | None:
        """The kind of file for the transfers; None without the agency's key."""
        return self._parts.roster.kind(self._roster_floor, lambda: self.now().utc_s, self.on_roster)

    def _roster_floor(self) -> int:
        with self._lock:
            return self._duty.state.roster_version

    # For commands and views; any thread

    def officer_of(self, session: str, *, used: bool = True) -> OnDuty | None:
        """See ``Officers`` of the command socket."""
        with self._lock:
            return self._duty.officer_of(session, self.now(), used=used)

    @contextmanager
    def locked(self) -> Iterator[tuple[Duty, Moment]]:
        """Give one command access to the state machine: ``with shifts.locked() as (duty, now)``."""
        with self._lock:
            yield self._duty, self.now()

    def document(self) -> Document | None:
        """The first open shift, for the feed; None if nobody is on duty."""
        return next(map(shift_document, self._running()), None)

    def documents(self) -> list[Json]:
        """All open shifts, for the feed, in the order of their beginnings."""
        return [shift_document(shift) for shift in self._running()]

    def _running(self) -> list[ShiftState]:
        with self._lock:
            return [shift for shift in self._duty.state.shifts if shift.hours.running]

    def noted(self, *, refused: bool) -> None:
        """Count an attempt to sign on."""
        self._refused += int(refused)
        self._signed_on += int(not refused)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {
            "shifts.signed_on": self._signed_on,
            "shifts.refused": self._refused,
            "shifts.records": self._sent,
            "shifts.save_failures": self._parts.file.failures,
        }

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        with self._lock:
            state, roster = self._duty.state, self._duty.gate.roster
        return {
            "shifts.open": len(state.shifts),
            "shifts.incidents_open": len(state.drafts),
            "shifts.unsent": len(state.pending),
            "shifts.roster_version": 0 if roster is None else roster.version,
        }

    def _send(self, key: str, body: RecordBody) -> None:
        """Queue a record; employees' data do not stay on the unit for ever if the station is out of reach."""
        expires_us = period_s = None
        if isinstance(body, Shift):
            period_s = round(self._parts.keep_days * _S_PER_DAY)
            expires_us = None if body.utc_us is None else body.utc_us + period_s * _US_PER_S
        self._sent += 1
        on_stored = partial(self._stored.append, key)
        # A new id each time: a station drops the evidence of a repeated id, and the series would have a gap.
        record_id = self._parts.random_bytes(_ID_BYTES)
        self._reads.add_record(_Record(body, self._clock.mono_ns(), record_id, expires_us, on_stored, period_s))


@dataclass(frozen=True, slots=True)
class _Record:
    """A record of ours on its way to the disk; a late record whose time is known already."""

    body: RecordBody
    t_mono_ns: int
    record_id: bytes | None = None
    expires_utc_us: int | None = None
    on_stored: Callable[[], None] = _ignore
    period_s: int | None = None
    """Seconds after which it expires, if the time is not known yet."""

    def complete(self, when: TimeTag, where: Geotag) -> NewRecord:  # noqa: ARG002 - it has its time and place
        """See :class:`LateRecord`."""
        return NewRecord(self.body, self.record_id, (), self.expires_utc_us, self.period_s)

    def stored(self, seq: int) -> None:  # noqa: ARG002 - as above
        """See :class:`LateRecord`."""
        self.on_stored()

"""The commit thread: the only writer of the outbox, which it closes at its end."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from agent.buffer import OutboxReader
from agent.errors import OutboxDamagedError, OutboxDiskError, OutboxError
from agent.records import Track
from agent.runtime.component import Component
from hw.ports import NmeaLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.buffer import Command, OutboxStats
    from agent.commit import CommitResult
    from agent.records import Fix, TimeTag
    from agent.runtime.queues import ReadQueue
    from agent.runtime.stages import ReadPath
    from agent.runtime.supervisor import Supervisor, WorkerContext
    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)
_NS_PER_S = 1_000_000_000
_NTP_EVERY_S = 10.0
_STUCK_PAUSE_S = 0.5
_DEADLINE_S = 10.0
_STOP_S = 5.0
_TOTALS = (
    "appended", "receipted", "evicted_reads", "evicted_plates", "evicted_overviews", "expired_pictures",
    "unknown_receipts",
)  # fmt: skip
_TYPE_TOTALS = ("appended", "receipted", "evicted", "expired")


def _by_type(outbox: OutboxStats, *names: str) -> dict[str, int]:
    """Counters published for each record type, such as ``appended.read/1``."""
    return {f"{name}.{schema}": getattr(n, name) for schema, n in outbox.types.items() for name in names}


class CommitComponent(Component):
    """Sentences, tracks, receipts and nacks -> committed reads."""

    name = "commit"

    def __init__(self, read_path: ReadPath, reads: ReadQueue, supervisor: Supervisor, clock: Clock) -> None:
        """Raises OutboxError if the outbox cannot be read."""
        self._path = read_path
        self._committer = read_path.committer
        self._reads = reads
        self._supervisor = supervisor
        self._clock = clock
        self._listeners: list[Callable[[CommitResult], None]] = []
        self._stats_reader = OutboxReader(read_path.outbox.path)
        self._stats = read_path.outbox.stats()
        self._open = True
        self._lost_mono_ns: int | None = None

    def subscribe(self, listener: Callable[[CommitResult], None]) -> None:
        """Call ``listener`` after each round, in the commit thread; before the start only."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Start the thread."""
        self._supervisor.spawn(self.name, self.run, deadline_s=_DEADLINE_S)

    def stop(self) -> None:
        """Commit everything, end the thread, close the outbox.

        Raises ThreadStuckError: the file then stays open, and the next start finds all committed records.
        """
        try:
            self._supervisor.stop(self.name, timeout_s=_STOP_S)
            self.stats_at_end()
        finally:
            self._open = False
            self._stats_reader.close()
        try:
            self._path.outbox.close()
        except OutboxError as error:
            _LOG.error("wal_checkpoint_failed", reason=str(error))

    def run(self, worker: WorkerContext) -> None:
        """Commit until asked to end and nothing waits; the thread's loop."""
        ntp_due_ns = 0
        while not (worker.stopping and self._reads.empty):
            worker.beat()
            messages = self._reads.take()
            for message in messages:
                self._dispatch(message)
            for record in self._reads.take_records():
                self._committer.add_record(record)
            for draft in self._reads.take_audit():
                self._committer.add_audit(draft)
            now_ns = self._clock.mono_ns()
            if now_ns >= ntp_due_ns:
                ntp_due_ns = now_ns + round(_NTP_EVERY_S * _NS_PER_S)
                if self._clock.synchronised():
                    self._committer.add_ntp_time(now_ns, self._clock.utc_ns())
            result = self._committer.commit_ready(now_ns)
            self._tell(result)
            self._reads.done(len(messages))
            if result.stuck:
                worker.pause(_STUCK_PAUSE_S)
        self._tell(self._committer.flush())
        if self._committer.waiting:
            _LOG.error("reads_not_stored", count=self._committer.waiting, reason="the disk is not writable")

    def _dispatch(self, message: NmeaLine | Track | Command) -> None:
        if isinstance(message, NmeaLine):
            self._committer.add_sentence(message)
        elif isinstance(message, Track):
            self._committer.add_track(message)
        else:
            self._committer.add_command(message)

    def _tell(self, result: CommitResult) -> None:
        if result.lost:
            self._lost_mono_ns = self._clock.mono_ns()
            _LOG.error(
                "reads_lost", count=result.lost, reason="the disk or the budget is full: see `patrol-lpr doctor`"
            )
        if result.refused:
            _LOG.error("records_quarantined", count=result.refused, command="patrol-lpr outbox list --quarantined")
        for read, seq in zip(result.reads, result.seqs, strict=True):
            body = read.body
            _LOG.info("read", id=read.read_id.hex(), seq=seq, camera=body.camera, frames=body.n_sightings)
        for listener in self._listeners:
            listener(result)

    @property
    def stuck(self) -> bool:
        """True while the disk is not writable."""
        return self._committer.stuck

    def has_lost(self, since_mono_ns: int) -> bool:
        """True if a read was evicted unsent after this instant."""
        return self._lost_mono_ns is not None and self._lost_mono_ns > since_mono_ns

    @property
    def last_fix(self) -> Fix | None:
        """The latest fix."""
        return self._committer.last_fix

    @property
    def has_pending(self) -> bool:
        """True while anything is on its way to the disk."""
        return not self._reads.all_done or bool(self._committer.waiting)

    def time_tag(self, t_mono_ns: int) -> TimeTag:
        """UTC of an instant of the monotonic clock with its source; any thread."""
        return self._path.timebase.tag(t_mono_ns)

    def utc_ns(self, t_mono_ns: int) -> int | None:
        """UTC of an instant of the monotonic clock; None while it is unknown."""
        return self._path.timebase.tag(t_mono_ns).utc_ns

    def stats(self) -> OutboxStats:
        """The outbox's counters, the last known ones if the disk cannot be read or after the stop; main thread.

        Raises OutboxDamagedError.
        """
        if self._open:
            try:
                self._stats = self._stats_reader.stats()
            except OutboxDiskError as error:
                _LOG.warning("outbox_unreadable", reason=str(error))
        return self._stats

    def stats_at_end(self) -> OutboxStats:
        """As ``stats``, without OutboxDamagedError: the damage is marked, and the agent stops in order."""
        try:
            return self.stats()
        except OutboxDamagedError as error:
            _LOG.error("outbox_damaged", reason=str(error))
            return self._stats

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        path, outbox = self._path, self.stats()
        parts = {
            "rereads": asdict(path.rereads.counts),
            "nmea": asdict(path.nmea.counts),
            "time": asdict(path.timebase.counts),
            "commit": asdict(self._committer.counts),
            "devices": {"queue_waits": self._reads.waits},
            "outbox": {name: getattr(outbox, name) for name in _TOTALS} | _by_type(outbox, *_TYPE_TOTALS),
        }
        return {f"{prefix}.{name}": n for prefix, counts in parts.items() for name, n in counts.items()}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        outbox = self.stats()
        return {
            "outbox.reads_waiting": outbox.reads,
            "outbox.others_waiting": outbox.others,
            "outbox.plates_waiting": outbox.plates,
            "outbox.overviews_waiting": outbox.overviews,
            "outbox.quarantined": outbox.quarantined,
            "outbox.pictures_held": outbox.held,
            "outbox.used_bytes": outbox.used_bytes,
            "commit.waiting": self._committer.waiting,
            **{f"outbox.{name}": value for name, value in _by_type(outbox, "waiting").items()},
        }

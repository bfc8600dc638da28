"""Geotag -> buffer: sentences, tracks and receipts in, committed reads out.

Synchronous and without a clock, like :mod:`agent.pipeline`: the commit thread and the replay runner use the same
object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from agent.buffer import Applied, NewRecord, PicturePriority, PurgeNote
from agent.errors import OutboxFullError, OutboxHeldError
from agent.geotag.units import time_quality, to_us
from agent.policy.clock import ExpiryClock
from agent.policy.position import where_of
from agent.policy.records import HIT
from protocol.wire.enums import PictureKind
from protocol.wire.parts import Retention
from protocol.wire.records.disposition import Disposition as DispositionBody
from protocol.wire.records.hit import Hit as HitBody
from protocol.wire.records.read import Read as ReadBody

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.audit import AuditDraft, AuditLog, AuditRecord
    from agent.buffer import Command, Outbox
    from agent.geotag import Geotagger
    from agent.geotag.nmea import NmeaState
    from agent.geotag.timebase import Timebase
    from agent.policy.clock import TimeStore
    from agent.policy.policies import Policies
    from agent.records import Fix, Geotag, Read, TimeTag, Track
    from hw.ports import NmeaLine
    from protocol.wire.records.time_anchor import TimeAnchor


class LateRecord(Protocol):
    """A record that gets its time and place in the commit thread, such as a hit."""

    @property
    def t_mono_ns(self) -> int:
        """When it happened, on the monotonic clock."""

    def complete(self, when: TimeTag, where: Geotag) -> NewRecord:
        """Return the record; called once, before it is appended."""

    def stored(self, seq: int) -> None:
        """The record is on the disk."""


_GROUP = 64
"""Maximum number of reads per transaction."""
_EXPIRE_EVERY_NS = 5 * 10**9
"""Some policies keep reads for three minutes; nothing is written while nothing has expired."""
_US_PER_S = 1_000_000
_PICTURES_OF = {
    HitBody.SCHEMA: (PicturePriority.HIT_PLATE, PicturePriority.HIT_OVERVIEW),
    ReadBody.SCHEMA: (PicturePriority.PLATE, PicturePriority.OVERVIEW, PicturePriority.QUARANTINED),
}
"""Queues of the pictures that are limited with old records of a type."""
_MANY_UNDATED = 1024
"""Number of records without a time above which those that left the outbox are looked for."""
_MAX_WHOLE = 256
"""Number of reads kept in memory with all their pictures while the disk is not writable."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The result of one round."""

    reads: tuple[Read, ...] = ()
    """Reads that are now on the disk."""
    seqs: tuple[int, ...] = ()
    freed: int = 0
    """Records deleted from the outbox by receipt."""
    refused: int = 0
    """Records quarantined because they were refused permanently."""
    lost: int = 0
    """Records evicted unsent because nothing else could make room."""
    expired: int = 0
    """Records deleted because they had expired."""
    stuck: bool = False
    """True if nothing could be written; the reads are kept in memory and retried."""


@dataclass(slots=True)
class CommitCounts:
    """Since the start of the process."""

    reads_committed: int = 0
    groups: int = 0
    disk_full: int = 0
    """Rounds in which nothing could be committed because the disk was full."""
    disk_failed: int = 0
    """Rounds in which the disk failed or was read-only."""
    scenes_dropped: int = 0
    """Overviews discarded while the disk was not writable, to keep memory for reads."""
    receipts_applied: int = 0
    others_committed: int = 0
    """Records other than reads and time anchors, such as hits."""


class ReadCommitter:
    """Geotags, time-tags and commits.  One per process; used by one thread."""

    def __init__(
        self,
        nmea: NmeaState,
        geotagger: Geotagger,
        timebase: Timebase,
        outbox: Outbox,
        *,
        audit: AuditLog | None = None,
        policies: Callable[[], Policies] | None = None,
        times: TimeStore | None = None,
        keep_s: Mapping[str, int] | None = None,
    ) -> None:
        """Without ``audit`` entries are dropped; without ``policies`` deletions leave no purge records.

        ``times`` keeps the last believed time over restarts.  ``keep_s``: seconds for which records of types that no
        policy is about are kept, by schema.
        """
        self._nmea = nmea
        self._geotagger = geotagger
        self._timebase = timebase
        self._outbox = outbox
        self._reads: list[Read] = []
        self._time_anchors: list[TimeAnchor] = []
        self._late: list[LateRecord] = []
        self._others: list[tuple[LateRecord, NewRecord]] = []
        """Complete, and not on the disk yet."""
        self._commands: list[Command] = []
        self._audit = audit
        self._entries: list[AuditRecord] = []
        self._lost = outbox.lost_records
        self._expire_due_ns = 0
        self._expiry_clock = ExpiryClock(times)
        self._policies = policies
        self._undated: list[tuple[int, int, int]] = []
        """Reads whose time is not known yet: sequence number, monotonic microseconds, period in seconds."""
        self._many_undated = _MANY_UNDATED
        self._keep_s = keep_s or {}
        self._old_limited = False
        self.counts = CommitCounts()
        self.last_fix: Fix | None = None
        self.stuck = False
        """True while the disk is not writable."""

    @property
    def waiting(self) -> int:
        """Number of records not on the disk yet, and of tracks that wait for a fix."""
        others = len(self._late) + len(self._others) + len(self._entries)
        return len(self._reads) + self._geotagger.waiting + others

    def add_sentence(self, line: NmeaLine) -> Fix | None:
        """Add a sentence; return the newest fix that it completed."""
        fixes = self._nmea.take(line)
        for fix in fixes:
            self.last_fix = fix
            self._geotagger.add_fix(fix)
        return fixes[-1] if fixes else None

    def add_ntp_time(self, t_mono_ns: int, utc_ns: int) -> None:
        """Add a sample of the operating system's clock, taken while it was synchronised."""
        self._timebase.feed_ntp(t_mono_ns, utc_ns)

    def add_track(self, track: Track) -> None:
        """Add a closed track."""
        self._geotagger.add_track(track)

    def add_record(self, record: LateRecord) -> None:
        """Add a record that is complete but for time and place; committed in the next round, before reads."""
        self._late.append(record)

    def add_command(self, command: Command) -> None:
        """Add a receipt or nack; applied in the next round."""
        self._commands.append(command)

    def add_audit(self, draft: AuditDraft) -> None:
        """Add an entry of the audit log; committed in the next round."""
        if self._audit is not None:
            entry = self._audit.add(
                draft.who,
                draft.action,
                draft.obj,
                when=self._timebase.tag(draft.t_mono_ns),
                t_mono_ns=draft.t_mono_ns,
                purpose=draft.purpose,
                case_number=draft.case_number,
                outcome=draft.outcome,
            )
            self._entries.append(entry)

    def commit_ready(self, t_mono_ns: int) -> CommitResult:
        """Commit what is ready, apply receipts and nacks, and once a minute delete what has expired.

        Raises OutboxError for a damaged outbox.
        """
        result = self._commit(self._geotagger.tick(t_mono_ns))
        return result if self.stuck else replace(result, expired=self._expire(t_mono_ns), stuck=self.stuck)

    def flush(self) -> CommitResult:
        """Commit everything, geotagged with the fixes there are: the agent stops."""
        self._timebase.settle()
        return self._commit(self._geotagger.flush())

    def _commit(self, fresh: list[Read]) -> CommitResult:
        self._reads += fresh
        anchor = self._timebase.time_anchor()
        if anchor is not None:
            self._time_anchors.append(anchor)
        for late in self._late:
            when, where = self._geotagger.tag(late.t_mono_ns)
            self._others.append((late, self._limited(late.complete(when, where), when, where)))
        self._late.clear()
        applied, self.stuck = self._apply()
        committed: list[Read] = []
        seqs: list[int] = []
        while (self._reads or self._time_anchors or self._others or self._entries) and not self.stuck:
            group = self._reads[:_GROUP]
            others = self._others[:_GROUP]
            anchors = [NewRecord(anchor) for anchor in self._time_anchors]
            try:
                numbers = self._append([*(record for _, record in others), *group, *anchors])
            except OutboxHeldError as error:
                self._note(error)
                break
            of_reads = numbers[len(others) : len(others) + len(group)]
            seqs += of_reads
            self._undated += [
                (seq, read.body.mono_us, read.period_s)
                for seq, read in zip(of_reads, group, strict=True)
                if read.expires_utc_us is None and read.period_s is not None
            ]
            self._undated += [
                (seq, to_us(late.t_mono_ns), record.period_s)
                for seq, (late, record) in zip(numbers, others, strict=False)
                if record.expires_utc_us is None and record.period_s is not None
            ]
            committed += group
            self._time_anchors.clear()
            del self._others[: len(others)]
            self.counts.others_committed += len(others)
            for (late, _), number in zip(others, numbers, strict=False):
                late.stored(number)
            del self._reads[: len(group)]
            self.counts.groups += 1
            self.counts.reads_committed += len(group)
        self._store_head()
        if self.stuck:
            self._lighten()
        elif len(self._undated) > self._many_undated:
            self._forget_undated()
        lost, self._lost = self._outbox.lost_records - self._lost, self._outbox.lost_records
        return CommitResult(
            tuple(committed), tuple(seqs), applied.freed, applied.quarantined, lost, stuck=self.stuck
        )

    def _forget_undated(self) -> None:
        """Forget records that left the outbox before the time was known: it may not be known for months."""
        try:
            done_seq = self._outbox.stats().done_seq
        except OutboxHeldError as error:
            self._note(error)
            return
        self._undated = [waiting for waiting in self._undated if waiting[0] > done_seq]
        self._many_undated = max(_MANY_UNDATED, 2 * len(self._undated))

    def _limited(self, record: NewRecord, when: TimeTag, where: Geotag) -> NewRecord:
        """Give a record of a hit, or of what was decided about one, its expiry by the policy of its place.

        Incidents, shifts, coverage and tracks have classes that no policy is about.
        """
        retention = getattr(record.body, "retention", None)
        is_of_hit = isinstance(retention, Retention) and retention.policy_class == HIT
        if self._policies is None or record.expires_utc_us is not None or not is_of_hit:
            return record
        t_utc_us = None if when.utc_ns is None else to_us(when.utc_ns)
        decision = self._policies().at(where_of(where)).keep(HIT, hit=True, t_utc_us=t_utc_us)
        # A policy that keeps nothing: deleted at the next check, with a purge record that says so.
        period_s = decision.period_s or 0
        expires = None if t_utc_us is None else t_utc_us + period_s * _US_PER_S
        body = record.body
        if getattr(body, "policy", None) == "":
            body = body.model_copy(update={"policy": decision.policy})
        return replace(record, body=body, expires_utc_us=expires, period_s=period_s)

    def _append(self, records: list[Read | NewRecord]) -> list[int]:
        """Append records and all audit entries; raises what ``Outbox.append`` raises."""
        if self._audit is None or not self._entries:
            return self._outbox.append(records)
        self._audit.before_append()
        seqs = self._outbox.append([*records, *self._entries])
        self._audit.note_appended()
        self._entries.clear()
        return seqs

    def _store_head(self) -> None:
        if self._audit is not None and not self.stuck:
            try:
                self._audit.store_head()
            except OutboxHeldError as error:
                self._note(error)

    def _expire(self, t_mono_ns: int) -> int:
        """Delete what has expired; return how many records."""
        if t_mono_ns < self._expire_due_ns:
            return 0
        tag = self._timebase.tag(t_mono_ns)
        now_us = self._expiry_clock.now_us(tag, t_mono_ns)
        if now_us is None:
            return 0
        note = None
        if self._policies is not None:
            quality = time_quality(tag.source, tag.uncertainty_ms)
            note = PurgeNote(self._policies().label, quality, to_us(t_mono_ns))
        try:
            self._date_reads(now_us, t_mono_ns)
            expired = self._outbox.expire(now_us) if note is None else self._outbox.expire(now_us, note)
        except OutboxHeldError as error:
            self._note(error)
            return 0
        if not expired.more:
            self._expire_due_ns = t_mono_ns + _EXPIRE_EVERY_NS
        return expired.records

    def _date_reads(self, now_us: int, t_mono_ns: int) -> None:
        """Give reads from before the time was known their expiry; raises OutboxHeldError."""
        if self._undated:
            offset_us = now_us - to_us(t_mono_ns)
            self._outbox.set_expiry(
                [(seq, offset_us + mono_us + period_s * _US_PER_S) for seq, mono_us, period_s in self._undated]
            )
            self._undated.clear()
        if not self._old_limited:
            self._limit_old(now_us)
            self._old_limited = True

    def _limit_old(self, now_us: int) -> None:
        """Limit records of earlier boots that never had a time, or of a release without policies.

        They may be as new as this boot, so they are kept no longer than one made now.
        """
        periods_s: dict[str, int | None] = dict(self._keep_s)
        if self._policies is not None:
            policies = self._policies()
            periods_s |= dict.fromkeys((HitBody.SCHEMA, DispositionBody.SCHEMA), policies.shortest_hit_s)
            periods_s[ReadBody.SCHEMA] = policies.shortest_s
        for schema, period_s in periods_s.items():
            if period_s is not None:
                self._outbox.limit_expiry(schema, now_us + period_s * _US_PER_S, _PICTURES_OF.get(schema, ()))

    def _note(self, error: OutboxHeldError) -> None:
        self.stuck = True
        if isinstance(error, OutboxFullError):
            self.counts.disk_full += 1
        else:
            self.counts.disk_failed += 1

    def _lighten(self) -> None:
        """The disk may be unwritable for hours: the reads must fit into memory."""
        for index, read in enumerate(self._reads[_MAX_WHOLE:], _MAX_WHOLE):
            kept = tuple(p for p in read.pictures if p.kind is PictureKind.PLATE)
            self.counts.scenes_dropped += len(read.pictures) - len(kept)
            if len(kept) < len(read.pictures):
                self._reads[index] = replace(read, pictures=kept)

    def _apply(self) -> tuple[Applied, bool]:
        """Apply receipts and nacks; kept while the disk is not writable, as the station would only repeat them."""
        if not self._commands:
            return Applied(), False
        try:
            applied = self._outbox.apply(self._commands)
        except OutboxHeldError as error:
            self._note(error)
            return Applied(), True
        self._commands.clear()
        self.counts.receipts_applied += applied.freed
        return applied, False

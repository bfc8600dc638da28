"""The second half of the sentence: geotag -> buffer.  Sentences, tracks and receipts in; committed reads out.

Synchronous and without a clock, like :mod:`agent.pipeline`: the ledger thread and the replay runner use the same
object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.buffer import Applied
from agent.errors import OutboxFullError, OutboxHeldError
from agent.records import PictureKind

if TYPE_CHECKING:
    from agent.buffer import Command, Outbox
    from agent.geotag import Geotagger
    from agent.geotag.nmea import NmeaState
    from agent.geotag.timebase import Timebase
    from agent.records import Dating, Fix, Read, Track
    from hw.ports import NmeaLine

_GROUP = 64
"""Reads committed in one transaction at most."""
_MOST_WHOLE = 256
"""Reads held with all their pictures while the disk takes nothing."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What one round led to."""

    reads: tuple[Read, ...] = ()
    """Reads that are now on the disk."""
    seqs: tuple[int, ...] = ()
    freed: int = 0
    """Records that left the outbox by receipt."""
    refused: int = 0
    """Records set aside because they were refused for good."""
    stuck: bool = False
    """True when the disk took nothing; the reads are held in memory and tried again."""


@dataclass(slots=True)
class LedgerCounts:
    """Since the start of the process."""

    reads_committed: int = 0
    groups: int = 0
    disk_full: int = 0
    """Rounds in which nothing could be committed for want of room."""
    disk_failed: int = 0
    """Rounds in which the disk failed or was read-only."""
    scenes_dropped: int = 0
    """Scene pictures given up while the disk took nothing: memory is for reads."""
    receipts_applied: int = 0


class Ledger:
    """Places, dates and commits.  One per process; used by one thread."""

    def __init__(self, nmea: NmeaState, geotagger: Geotagger, timebase: Timebase, outbox: Outbox) -> None:
        self._nmea = nmea
        self._geotagger = geotagger
        self._timebase = timebase
        self._outbox = outbox
        self._reads: list[Read] = []
        self._datings: list[Dating] = []
        self._commands: list[Command] = []
        self.counts = LedgerCounts()
        self.last_fix: Fix | None = None
        self.stuck = False
        """True while the disk takes nothing."""

    @property
    def waiting(self) -> int:
        """Reads that are not on the disk yet, and tracks that wait for a fix."""
        return len(self._reads) + self._geotagger.held

    def hear(self, line: NmeaLine) -> Fix | None:
        """Take a sentence; return the fix that it completed."""
        fix = self._nmea.feed(line)
        if fix is not None:
            self.last_fix = fix
            self._geotagger.add_fix(fix)
        return fix

    def hear_ntp(self, t_mono_ns: int, utc_ns: int) -> None:
        """Take a reading of the operating system's clock while it is disciplined."""
        self._timebase.feed_ntp(t_mono_ns, utc_ns)

    def place(self, track: Track) -> None:
        """Take a closed track."""
        self._geotagger.add_track(track)

    def answer(self, command: Command) -> None:
        """Take what the station said; carried out with the next round."""
        self._commands.append(command)

    def settle(self, t_mono_ns: int) -> Settled:
        """Commit what is ready and carry out the station's answers.  Raises OutboxError for a damaged outbox."""
        return self._commit(self._geotagger.tick(t_mono_ns))

    def flush(self) -> Settled:
        """Commit everything, placed with the fixes there are: the agent stops."""
        return self._commit(self._geotagger.flush())

    def _commit(self, fresh: list[Read]) -> Settled:
        self._reads += fresh
        dating = self._timebase.dating()
        if dating is not None:
            self._datings.append(dating)
        applied, self.stuck = self._apply()
        committed: list[Read] = []
        seqs: list[int] = []
        while (self._reads or self._datings) and not self.stuck:
            group = self._reads[:_GROUP]
            try:
                seqs += self._outbox.append(group, self._datings)
            except OutboxHeldError as error:
                self._note(error)
                break
            committed += group
            self._datings.clear()
            del self._reads[: len(group)]
            self.counts.groups += 1
            self.counts.reads_committed += len(group)
        if self.stuck:
            self._lighten()
        return Settled(tuple(committed), tuple(seqs), applied.freed, applied.quarantined, self.stuck)

    def _note(self, error: OutboxHeldError) -> None:
        self.stuck = True
        if isinstance(error, OutboxFullError):
            self.counts.disk_full += 1
        else:
            self.counts.disk_failed += 1

    def _lighten(self) -> None:
        """A disk may take nothing for hours: the reads must fit into memory."""
        for index, read in enumerate(self._reads[_MOST_WHOLE:], _MOST_WHOLE):
            kept = tuple(p for p in read.pictures if p.kind is PictureKind.PLATE)
            self.counts.scenes_dropped += len(read.pictures) - len(kept)
            if len(kept) < len(read.pictures):
                self._reads[index] = replace(read, pictures=kept)

    def _apply(self) -> tuple[Applied, bool]:
        """Carry out the answers; on a disk that takes nothing they wait, the station would only repeat them."""
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

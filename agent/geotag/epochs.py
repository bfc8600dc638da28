"""Assembles the sentences of an epoch: which belong together, and when the epoch is complete.

Sentences with the same time of day are of one epoch; VTG has no time and belongs to its burst.  RMC with GGA or
GNS has all fields.  Any other set (only RMC, GGA and ZDA ...) is complete if the receiver recently ended an epoch with
that set; until this is learnt, it is complete when the next epoch begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from agent.geotag.sentences import Kind, Sentence

_NS_PER_MS = 1_000_000
_SETS = 6
"""Number of epochs remembered: receivers send different sets in turn, and a lost line must not be learnt for long."""
_PAUSE_MS = 300.0
"""Silence that separates two bursts."""
_PLACED = (Kind.GGA, Kind.GNS, Kind.RMC, Kind.GLL)
"""Sentences whose position is used, best first."""
_DATED = (Kind.RMC, Kind.ZDA)
_MOVED = (Kind.RMC, Kind.VTG)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The sentences of one instant."""

    tod_ns: int
    t_mono_ns: int
    """Arrival of its first sentence."""
    parts: tuple[Sentence, ...] = ()
    done: bool = False

    @property
    def kinds(self) -> frozenset[Kind]:
        """The sentences received."""
        return frozenset(part.kind for part in self.parts)

    @property
    def places(self) -> list[Sentence]:
        """The sentences with a position, best first."""
        placed = [part for part in self.parts if part.place_deg is not None]
        return sorted(placed, key=lambda part: _PLACED.index(part.kind))

    @property
    def is_void(self) -> bool:
        """True if any of them says that there is no position."""
        return any(part.void for part in self.parts)

    @property
    def day(self) -> Sentence | None:
        """The sentence whose date is used."""
        dated = [part for part in self.parts if part.day is not None]
        return min(dated, key=lambda part: _DATED.index(part.kind), default=None)

    @property
    def motion(self) -> Sentence | None:
        """The sentence whose speed is used."""
        moved = [part for part in self.parts if part.speed_mps is not None]
        return min(moved, key=lambda part: _MOVED.index(part.kind), default=None)


class EpochGatherer:
    """Sentences in, epochs out: each once, when it is complete or over."""

    def __init__(self, span_ms: float) -> None:
        """``span_ms`` is the time within which the sentences of one epoch arrive."""
        self._span_ns = round(span_ms * _NS_PER_MS)
        self._epoch: Epoch | None = None
        self._before: tuple[Sentence, int] | None = None
        """A VTG at the start of a burst, and its arrival."""
        self._sets: deque[frozenset[Kind]] = deque(maxlen=_SETS)
        self._t_line_ns: int | None = None

    @property
    def is_waiting(self) -> bool:
        """True while an epoch has begun and was not returned."""
        return self._epoch is not None and not self._epoch.done

    def note_line(self, t_mono_ns: int) -> bool:
        """Note the arrival of any line; True if it is the first after a silence."""
        t_ns, self._t_line_ns = self._t_line_ns, t_mono_ns
        return t_ns is None or t_mono_ns - t_ns > _PAUSE_MS * _NS_PER_MS

    def add(self, part: Sentence, t_mono_ns: int, *, first_of_burst: bool) -> tuple[bool, list[Epoch]]:
        """Add a sentence; return whether it was new, and the epochs that it ended or completed."""
        if part.tod_ns is None:
            return self._add_timeless(part, t_mono_ns, first_of_burst=first_of_burst)
        ended: list[Epoch] = []
        if self._epoch is None or not self._belongs(part.tod_ns, t_mono_ns):
            ended = self._end()
            self._epoch = self._begin(part.tod_ns, t_mono_ns)
        is_new, whole = self._put(part)
        return is_new, ended + whole

    def _begin(self, tod_ns: int, t_mono_ns: int) -> Epoch:
        before, self._before = self._before, None
        if before is None or not 0 <= t_mono_ns - before[1] <= _PAUSE_MS * _NS_PER_MS:
            return Epoch(tod_ns, t_mono_ns)
        return Epoch(tod_ns, before[1], (before[0],))

    def _add_timeless(self, part: Sentence, t_mono_ns: int, *, first_of_burst: bool) -> tuple[bool, list[Epoch]]:
        if first_of_burst or self._epoch is None:
            self._before = part, t_mono_ns
            return True, []
        if t_mono_ns - self._epoch.t_mono_ns > self._span_ns:
            return False, []
        return self._put(part)

    def _belongs(self, tod_ns: int, t_mono_ns: int) -> bool:
        epoch = self._epoch
        return epoch is not None and epoch.tod_ns == tod_ns and 0 <= t_mono_ns - epoch.t_mono_ns <= self._span_ns

    def _put(self, part: Sentence) -> tuple[bool, list[Epoch]]:
        epoch = self._epoch
        if epoch is None or part.kind in epoch.kinds:
            return False, []
        epoch = replace(epoch, parts=(*epoch.parts, part))
        self._epoch = epoch
        if epoch.done or not self._is_whole(epoch):
            return True, []
        self._epoch = replace(epoch, done=True)
        return True, [epoch]

    def _is_whole(self, epoch: Epoch) -> bool:
        if not epoch.places or epoch.is_void:
            return False
        kinds = epoch.kinds
        if Kind.RMC in kinds and kinds & {Kind.GGA, Kind.GNS}:
            return True
        return kinds in self._sets and not any(kinds < other for other in self._sets)

    def _end(self) -> list[Epoch]:
        epoch = self._epoch
        if epoch is None:
            return []
        self._sets.append(epoch.kinds)
        return [] if epoch.done else [epoch]

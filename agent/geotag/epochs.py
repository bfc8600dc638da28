"""Sentences of one epoch, put together: which belong to each other, and when all have come.

Sentences with the same time of day are of one epoch; VTG has no time and belongs to the burst it came in.  RMC with
GGA or GNS holds all there is to know.  Any other set (RMC alone, GGA and ZDA ...) is whole once it is a set that
the receiver ended an epoch with lately; until that is learnt, once the next epoch begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from agent.geotag.sentences import Kind, Sentence

_NS_PER_MS = 1_000_000
_SETS = 6
"""Epochs remembered: receivers send different sets in turn, and one lost line must not be learnt for long."""
_PAUSE_MS = 300.0
"""Silence that parts two bursts."""
_PLACED = (Kind.GGA, Kind.GNS, Kind.RMC, Kind.GLL)
"""Whose place is taken, best first."""
_DATED = (Kind.RMC, Kind.ZDA)
_MOVED = (Kind.RMC, Kind.VTG)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a receiver said of one instant."""

    tod_ns: int
    t_mono_ns: int
    """Arrival of its first sentence."""
    parts: tuple[Sentence, ...] = ()
    done: bool = False

    @property
    def kinds(self) -> frozenset[Kind]:
        """The sentences that came."""
        return frozenset(part.kind for part in self.parts)

    @property
    def places(self) -> list[Sentence]:
        """The sentences with a place, best first."""
        placed = [part for part in self.parts if part.place_deg is not None]
        return sorted(placed, key=lambda part: _PLACED.index(part.kind))

    @property
    def is_void(self) -> bool:
        """True when any of them says that there is no position."""
        return any(part.void for part in self.parts)

    @property
    def day(self) -> Sentence | None:
        """The sentence whose date is taken."""
        dated = [part for part in self.parts if part.day is not None]
        return min(dated, key=lambda part: _DATED.index(part.kind), default=None)

    @property
    def motion(self) -> Sentence | None:
        """The sentence whose speed is taken."""
        moved = [part for part in self.parts if part.speed_mps is not None]
        return min(moved, key=lambda part: _MOVED.index(part.kind), default=None)


class EpochGatherer:
    """Takes sentences in turn; hands out each epoch once, when it is whole or over."""

    def __init__(self, span_ms: float) -> None:
        """Sentences of one epoch arrive within ``span_ms``."""
        self._span_ns = round(span_ms * _NS_PER_MS)
        self._epoch: Epoch | None = None
        self._before: tuple[Sentence, int] | None = None
        """A VTG that came at the head of a burst, and when."""
        self._sets: deque[frozenset[Kind]] = deque(maxlen=_SETS)
        self._t_line_ns: int | None = None

    @property
    def is_waiting(self) -> bool:
        """True while an epoch has begun and was not handed out."""
        return self._epoch is not None and not self._epoch.done

    def note_line(self, t_mono_ns: int) -> bool:
        """Take note that a line came, whatever it was; True when it is the first after a silence."""
        t_ns, self._t_line_ns = self._t_line_ns, t_mono_ns
        return t_ns is None or t_mono_ns - t_ns > _PAUSE_MS * _NS_PER_MS

    def add(self, part: Sentence, t_mono_ns: int, *, first_of_burst: bool) -> tuple[bool, list[Epoch]]:
        """Take a sentence; return whether it was new, and the epochs that it ended or made whole."""
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

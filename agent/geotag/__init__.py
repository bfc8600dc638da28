"""Position and time: Track -> Read.

A track waits for a fix after its exposure, so that its position can be interpolated, but at most for the hold time:
then it is geotagged with the fixes there are, and the method says so.  Without a fix there is still a read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.geotag.fixes import FixRing
    from agent.geotag.read_maker import ReadMaker
    from agent.geotag.timebase import Timebase
    from agent.records import Fix, Geotag, Read, TimeTag, Track

_NS_PER_MS = 1_000_000
HOLD_MS = 1500.0
"""Receivers send one fix per second, some of them late."""


class Rereads(Protocol):
    """Decides which tracks are re-reads, and counts them."""

    def is_new(self, track: Track, where: Geotag) -> bool:
        """Return False for a plate already read in this window at this place."""


class Geotagger:
    """Geotags and time-tags tracks.  One per process; used by one thread, which also adds the fixes."""

    def __init__(
        self,
        maker: ReadMaker,
        *,
        ring: FixRing,
        timebase: Timebase,
        rereads: Rereads | None = None,
        hold_ms: float = HOLD_MS,
    ) -> None:
        """``hold_ms`` is the maximum wait for a fix after the exposure."""
        self._maker = maker
        self._ring = ring
        self._timebase = timebase
        self._rereads = rereads
        self._hold_ns = round(hold_ms * _NS_PER_MS)
        self._waiting: list[Track] = []

    @property
    def waiting(self) -> int:
        """Number of tracks that wait for a fix."""
        return len(self._waiting)

    def add_fix(self, fix: Fix) -> None:
        """Add a fix for position and time.  Raises ValueError if it is older than the one before."""
        self._ring.add(fix)
        self._timebase.feed_fix(fix)

    def tag(self, t_mono_ns: int) -> tuple[TimeTag, Geotag]:
        """Return time and place of an instant, with the fixes there are."""
        return self._timebase.tag(t_mono_ns), self._ring.locate(t_mono_ns)

    def add_track(self, track: Track) -> None:
        """Add a closed track; ``tick`` or ``flush`` returns it as a read, or it is counted as a re-read."""
        self._waiting.append(track)

    def tick(self, t_mono_ns: int) -> list[Read]:
        """Return the reads that are ready and kept, in the order of their tracks."""
        last = self._ring.last
        fixed_ns = None if last is None else last.t_mono_ns
        ready: list[Track] = []
        waiting: list[Track] = []
        for track in self._waiting:
            exposed_ns = track.best.frame.t_mono_ns
            placed = fixed_ns is not None and fixed_ns >= exposed_ns
            (ready if placed or t_mono_ns - exposed_ns >= self._hold_ns else waiting).append(track)
        self._waiting = waiting
        return self._finish(ready)

    def flush(self) -> list[Read]:
        """Return all waiting tracks as reads, geotagged with the fixes there are: the agent stops."""
        ready, self._waiting = self._waiting, []
        return self._finish(ready)

    def _finish(self, tracks: list[Track]) -> list[Read]:
        reads: list[Read] = []
        for track in tracks:
            exposed_ns = track.best.frame.t_mono_ns
            where = self._ring.locate(exposed_ns)
            if self._rereads is None or self._rereads.is_new(track, where):
                read = self._maker.make(track, self._timebase.tag(exposed_ns), where)
                if read is not None:
                    reads.append(read)
        return reads

"""Tracks and matches -> hits: raised once a pass, finished or withdrawn with the final text, decided by officers.

One per process; used under a lock by whoever has tracks, officers or time.  Every method returns what follows from it:
what to alert about, which stages and decisions to record, which hits changed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from agent.hits import machine
from agent.hits.errors import HitRefusedError
from agent.hits.records import DECIDED, OPEN, RANK, Actor, Decision, Hit, HitState
from agent.hotlist.records import Priority, Rule
from protocol.wire.enums import HitStage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.hits.machine import Verification
    from agent.hotlist.records import ListInfo, Match
    from agent.records import Geotag, Picture, PlateText, Sighting, TimeTag, Track

_NS_PER_S = 1_000_000_000
_US_PER_S = 1_000_000
_MAX_SEEN = 1024
_MAX_DECIDED = 200
MAX_OTHERS = 8


@dataclass(frozen=True, slots=True)
class HitSettings:
    """When hits are raised, and how long they wait."""

    repeat_s: float = 60.0
    """A vehicle that was seen within this time is not raised again; the time starts again whenever it is seen."""
    rejected_s: float = 600.0
    """The same after an officer rejected the hit."""
    max_open: int = 50
    """Hits that wait for a decision; if there are more, the oldest of the lowest priority expires."""
    open_s: float = 12 * 3600.0
    """Age at which a hit that nobody decided on expires."""
    decided_s: float = 72 * 3600.0
    """How long a decided hit waits for its outcome."""
    final_s: float = 15.0
    """A preview without a final text is withdrawn after this time."""
    quiet_if_stale: bool = False
    """Hits of stale lists are recorded and not alerted, except those of high priority."""


@dataclass(frozen=True, slots=True)
class Now:
    """Time and place of the unit."""

    t_mono_ns: int
    utc_us: int | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    max_list_age_s: float = 24 * 3600.0
    """An older list is stale."""
    keep_s: float | None = None
    """How long the policy keeps hits; None: no policy."""


class Matching(Protocol):
    """Matches plate texts with lists."""

    def match(
        self,
        plate: PlateText,
        *,
        now_utc_us: int | None,
        lat_deg: float | None = None,
        lon_deg: float | None = None,
    ) -> tuple[Match, ...]:
        """Return the matches, best first."""

    @property
    def lists(self) -> tuple[ListInfo, ...]:
        """The lists in force."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What follows from one step."""

    alerts: tuple[Hit, ...] = ()
    """Hits to alert about, at once."""
    staged: tuple[tuple[Hit, Sighting | None], ...] = ()
    """Stages to record, each with the sighting of its pictures, if they are new."""
    decisions: tuple[tuple[Hit, Decision], ...] = ()
    """Decisions to record."""
    changed: tuple[Hit, ...] = ()
    forgotten: tuple[bytes, ...] = ()
    """Ids of decided hits that no longer wait for an outcome."""

    def __add__(self, other: Effects) -> Effects:
        return Effects(
            self.alerts + other.alerts,
            self.staged + other.staged,
            self.decisions + other.decisions,
            self.changed + other.changed,
            self.forgotten + other.forgotten,
        )


@dataclass(slots=True)
class HitCounts:
    """Since the start of the process."""

    raised: int = 0
    """Hits raised: previews, and reads that matched without one."""
    alerted: int = 0
    """Those that were alerted about; the others come from stale lists."""
    finished: int = 0
    """Hits whose final text still matched."""
    withdrawn: int = 0
    repeats: int = 0
    """Matches of a vehicle seen shortly before; not raised again."""
    acknowledged: int = 0
    confirmed: int = 0
    rejected: int = 0
    outcomes: int = 0
    overflowed: int = 0
    """Hits that expired because too many waited."""
    aged: int = 0
    """Hits that expired because nobody decided in time."""


@dataclass(slots=True)
class _Seen:
    hit_id: bytes
    t_mono_ns: int


@dataclass(slots=True)
class HitDesk:
    """The hits of one unit."""

    settings: HitSettings
    mint: Callable[[int], bytes]
    """Makes a new id for a time of the monotonic clock."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Role of each camera by name."""
    boot_id: bytes = b""
    counts: HitCounts = field(default_factory=HitCounts, init=False)
    _hits: dict[bytes, Hit] = field(default_factory=dict, init=False)
    """In the order in which they were raised."""
    _of_track: dict[tuple[str, int], tuple[bytes, int]] = field(default_factory=dict, init=False)
    """Hit of each open track, and when it was raised."""
    _seen: OrderedDict[tuple[str, str], _Seen] = field(default_factory=OrderedDict, init=False)

    # Hits

    def restore(self, hits: Iterable[Hit]) -> None:
        """Take over the hits of the run before, in their order; those still in preview get no final text any more."""
        for hit in hits:
            self._hits[hit.hit_id] = hit

    @property
    def open_hits(self) -> tuple[Hit, ...]:
        """Hits that wait for a decision, the oldest first."""
        return tuple(hit for hit in self._hits.values() if hit.is_open)

    @property
    def unacknowledged(self) -> tuple[Hit, ...]:
        """Hits that nobody has seen, the oldest first."""
        return tuple(hit for hit in self._hits.values() if hit.state is HitState.NEW and hit.alerted)

    def get(self, hit_id: bytes) -> Hit:
        """Return a hit.  Raises HitRefusedError if it is unknown."""
        hit = self._hits.get(hit_id)
        if hit is None:
            raise HitRefusedError("unknown_hit", "this unit has no such hit, or it is over: reload the queue")
        return hit

    # Tracks

    def on_confirmed(self, track: Track, matches: tuple[Match, ...], now: Now) -> Effects:
        """Raise a hit for a confirmed track, which is still in view; its ``read_id`` is that of its read."""
        return self._raise(track, matches, now, HitStage.PREVIEW)[1]

    def on_final(self, track: Track, matches: tuple[Match, ...], now: Now) -> tuple[Track, Effects]:
        """Finish or withdraw the hit of a closed track; return the track marked for its read."""
        hit_id, _ = self._of_track.pop((track.camera, track.track_id), (None, 0))
        effects = Effects()
        raised = False
        if hit_id is not None and (hit := self._hits.get(hit_id)) is not None:
            same = next((m for m in matches if _key(m) == hit.entry_key), None)
            if same is not None:
                return replace(track, is_hit=True, is_raised=True), self._finish(hit, track, same)
            effects = self._withdraw(hit, track.plate)
        if matches:
            raised, more = self._raise(track, matches, now, HitStage.FINAL)
            effects += more
            track = self._with_id(track) if raised else track
        return replace(track, is_hit=bool(matches), is_raised=raised), effects

    def attach(self, hit_id: bytes, pictures: tuple[Picture, ...]) -> Hit | None:
        """Add the pictures, the plate first; None if the hit is over."""
        return self._put(replace(hit, pictures=pictures)) if (hit := self._hits.get(hit_id)) else None

    def located(self, hit_id: bytes, when: TimeTag, where: Geotag) -> Hit | None:
        """Note time and place; None if the hit is over."""
        return self._put(machine.locate(hit, when, where)) if (hit := self._hits.get(hit_id)) else None

    def _with_id(self, track: Track) -> Track:
        newest = next(reversed(self._hits.values()))
        return replace(track, read_id=newest.read_id)

    def _raise(self, track: Track, matches: tuple[Match, ...], now: Now, stage: HitStage) -> tuple[bool, Effects]:
        if not matches:
            return False, Effects()
        best, *others = sorted(matches, key=lambda match: RANK[match.list.priority])
        if self._is_repeat(_key(best), now.t_mono_ns):
            self.counts.repeats += 1
            return False, Effects()
        exposed_ns = track.best.frame.t_mono_ns
        stale = _is_stale(best, now)
        alerted = not (stale and self.settings.quiet_if_stale and best.list.priority is not Priority.HIGH)
        hit = Hit(
            hit_id=self.mint(now.t_mono_ns),
            read_id=track.read_id or self.mint(exposed_ns),
            camera=track.camera,
            camera_role=self.roles.get(track.camera, "?"),
            t_mono_ns=exposed_ns,
            plate=track.plate,
            n_agreeing=track.n_agreeing,
            match=best,
            others=tuple(others[:MAX_OTHERS]),
            stage=stage,
            alerted=alerted,
            stale=stale,
            boot_id=self.boot_id,
        )
        self.counts.raised += 1
        self.counts.alerted += alerted
        self.counts.finished += stage is HitStage.FINAL
        self._hits[hit.hit_id] = hit
        if stage is HitStage.PREVIEW:
            self._of_track[track.camera, track.track_id] = (hit.hit_id, now.t_mono_ns)
        self._note_seen(hit, now.t_mono_ns)
        raised = Effects(alerts=(hit,) if alerted else (), staged=((hit, track.best),), changed=(hit,))
        return True, raised + self._overflow(hit, now.t_mono_ns)

    def _finish(self, hit: Hit, track: Track, match: Match) -> Effects:
        self.counts.finished += 1
        same_frame = hit.t_mono_ns == track.best.frame.t_mono_ns
        finished = machine.finish(hit, track.plate, track.n_agreeing, track.best.frame.t_mono_ns)
        hit = self._put(replace(finished, match=match))
        return Effects(staged=((hit, None if same_frame else track.best),), changed=(hit,))

    def _withdraw(self, hit: Hit, plate: PlateText | None) -> Effects:
        self.counts.withdrawn += 1
        self._seen.pop(hit.entry_key, None)
        hit = self._put(machine.withdraw(hit, plate))
        return Effects(staged=((hit, None),), changed=(hit,))

    def _is_repeat(self, key: tuple[str, str], t_mono_ns: int) -> bool:
        seen = self._seen.get(key)
        if seen is None:
            return False
        hit = self._hits.get(seen.hit_id)
        rejected = hit is not None and hit.state is HitState.REJECTED
        window_s = self.settings.rejected_s if rejected else self.settings.repeat_s
        if t_mono_ns - seen.t_mono_ns > window_s * _NS_PER_S:
            return False
        seen.t_mono_ns = t_mono_ns
        return True

    def _note_seen(self, hit: Hit, t_mono_ns: int) -> None:
        self._seen[hit.entry_key] = _Seen(hit.hit_id, t_mono_ns)
        self._seen.move_to_end(hit.entry_key)
        if len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)

    # Officers

    def acknowledge(self, hit_id: bytes, actor: Actor, t_mono_ns: int) -> Effects:
        """Note that a hit was seen; nothing if it was seen before.  Raises HitRefusedError."""
        changed = machine.acknowledge(self.get(hit_id), actor, t_mono_ns)
        if changed is None:
            return Effects()
        self.counts.acknowledged += 1
        return self._decided(*changed)

    def acknowledge_newest(self, actor: Actor, t_mono_ns: int) -> Effects:
        """Note that the newest unacknowledged hit was seen; nothing if there is none."""
        waiting = self.unacknowledged
        return self.acknowledge(waiting[-1].hit_id, actor, t_mono_ns) if waiting else Effects()

    def confirm(self, hit_id: bytes, given: Verification, actor: Actor, t_mono_ns: int) -> Effects:
        """Confirm a hit.  Raises HitRefusedError unless everything was compared and the agency confirmed."""
        changed = machine.confirm(self.get(hit_id), given, actor, t_mono_ns)
        self.counts.confirmed += 1
        return self._decided(*changed)

    def reject(self, hit_id: bytes, given: Verification, actor: Actor, t_mono_ns: int) -> Effects:
        """Reject a hit.  Raises HitRefusedError."""
        changed = machine.reject(self.get(hit_id), given, actor, t_mono_ns)
        self.counts.rejected += 1
        return self._decided(*changed)

    def note_outcome(self, hit_id: bytes, code: str, actor: Actor, t_mono_ns: int) -> Effects:
        """Record an outcome.  Raises HitRefusedError."""
        changed = machine.note_outcome(self.get(hit_id), code, actor, t_mono_ns)
        self.counts.outcomes += 1
        return self._decided(*changed)

    def _decided(self, hit: Hit, decision: Decision) -> Effects:
        self._put(hit)
        return Effects(decisions=((hit, decision),), changed=(hit,))

    # Time

    def tick(self, now: Now) -> Effects:
        """Withdraw previews without a final text, and expire what nobody decided on."""
        effects = Effects()
        limit_ns = self.settings.final_s * _NS_PER_S
        for key, (hit_id, raised_ns) in tuple(self._of_track.items()):
            if now.t_mono_ns - raised_ns > limit_ns:
                del self._of_track[key]
                if (hit := self._hits.get(hit_id)) is not None:
                    effects += self._withdraw(hit, None)
        for hit in tuple(self._hits.values()):
            if hit.is_open and self._is_older(hit, now, self.settings.open_s):
                self.counts.aged += 1
                effects += self._decided(*machine.expire(hit, "age", now.t_mono_ns))
            elif hit.state in DECIDED and self._is_older(hit, now, self.settings.decided_s):
                effects += self._drop(hit)
        return effects

    def forget(self, hit_id: bytes) -> None:
        """Drop a hit that is over."""
        self._hits.pop(hit_id, None)

    def knows(self, hit_id: bytes) -> bool:
        """True while the hit is here."""
        return hit_id in self._hits

    def is_kept(self, hit_id: bytes) -> bool:
        """True while a hit must survive a restart: it waits for a decision or an outcome."""
        hit = self._hits.get(hit_id)
        return hit is not None and hit.state in OPEN | DECIDED

    def _is_older(self, hit: Hit, now: Now, limit_s: float) -> bool:
        if now.keep_s is not None:
            limit_s = min(limit_s, now.keep_s)
        if hit.boot_id == self.boot_id:
            return now.t_mono_ns - hit.t_mono_ns > limit_s * _NS_PER_S
        # Of an earlier boot: only UTC can tell, and what is unknown is kept.
        made_ns = None if hit.when is None else hit.when.utc_ns
        return (
            made_ns is not None and now.utc_us is not None and now.utc_us - made_ns // 1000 > limit_s * _US_PER_S
        )

    def _overflow(self, newest: Hit, t_mono_ns: int) -> Effects:
        effects = Effects()
        for hit in [h for h in self._hits.values() if h.state in DECIDED][:-_MAX_DECIDED]:
            effects += self._drop(hit)
        waiting = self.open_hits
        if len(waiting) <= self.settings.max_open:
            return effects
        others = [hit for hit in waiting if hit.hit_id != newest.hit_id]
        # The first of the lowest priority is its oldest.
        victim = max(others, key=lambda hit: RANK[hit.priority])
        self.counts.overflowed += 1
        return effects + self._decided(*machine.expire(victim, "overflow", t_mono_ns))

    def _drop(self, hit: Hit) -> Effects:
        self.forget(hit.hit_id)
        return Effects(forgotten=(hit.hit_id,))

    def _put(self, hit: Hit) -> Hit:
        self._hits[hit.hit_id] = hit
        return hit


def _key(match: Match) -> tuple[str, str]:
    return match.list.list_id, match.entry.entry_id


def _is_stale(match: Match, now: Now) -> bool:
    if match.rule is Rule.MANUAL:
        return False
    return now.utc_us is None or now.utc_us - match.list.as_of_utc_us > now.max_list_age_s * _US_PER_S

"""One policy: answers from its pack alone."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from agent.policy.records import HASHED, HIT, Decision, Kept, Pause, PauseReason, Shown
from protocol.policy.pack import Keep, Overview, Period

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.policy.records import Where
    from protocol.policy.pack import Alarms, EntryRules, ListRules, PolicyPack
    from protocol.policy.polygons import Polygon

_US_PER_S = 1_000_000
_KEEP_RANK = {Keep.NOTHING: 0, Keep.HITS_ONLY: 1, Keep.KEYED_HASH: 2, Keep.EVERY_READ: 3}
_OVERVIEW_RANK = {Overview.NONE: 0, Overview.VEHICLE: 1, Overview.WHOLE: 2}


class Policy:
    """A policy pack, asked.  Immutable; any thread."""

    def __init__(self, pack: PolicyPack) -> None:
        self.pack = pack
        self._fences = [(fence.name, fence.shape) for fence in pack.fences]
        self._areas = pack.shapes
        self._hours = [(hours, ZoneInfo(hours.zone)) for hours in pack.off_hours]

    @property
    def id(self) -> str:
        """The pack's id."""
        return self.pack.id

    @property
    def version(self) -> int:
        """The pack's version."""
        return self.pack.version

    @property
    def name(self) -> str:
        """Id and version, as records have it."""
        return self.pack.name

    @property
    def lists(self) -> ListRules:
        """Which hot lists may raise hits."""
        return self.pack.lists

    @property
    def entries(self) -> EntryRules:
        """Who may watch for a plate by typing it."""
        return self.pack.entries

    @property
    def alarms(self) -> Alarms:
        """The alarm budget."""
        return self.pack.alarms

    @property
    def track_every_s(self) -> int:
        """Seconds between points of the vehicle's own track; 0: none is recorded."""
        return self.pack.track.every_s

    @property
    def idle_s(self) -> int:
        """Seconds without activity after which an officer is signed off."""
        return self.pack.session.idle.seconds

    @property
    def shown(self) -> Shown:
        """What pictures may show."""
        pictures = self.pack.pictures
        return Shown(pictures.plate, pictures.overview, pictures.vehicle)

    @property
    def has_areas(self) -> bool:
        """False if it holds everywhere."""
        return bool(self._areas)

    @property
    def shortest_s(self) -> int | None:
        """The shortest period of a class that is kept; None if nothing is."""
        retain = self.pack.retain
        periods = [period.seconds for period in (retain.nonhit, retain.hit, retain.hash) if period is not None]
        return min(periods, default=None)

    @property
    def hit_s(self) -> int | None:
        """The period of hits; None if they are not kept."""
        hit = self.pack.retain.hit
        return None if hit is None else hit.seconds

    def strictness(self) -> tuple[float, ...]:
        """Sorts policies: the first keeps least."""
        retain = self.pack.retain
        others = retain.nonhit or retain.hash
        return (
            _KEEP_RANK[self.pack.keep],
            0 if others is None else others.seconds,
            0 if retain.hit is None else retain.hit.seconds,
            _OVERVIEW_RANK[self.pack.pictures.overview],
        )

    def keep(self, read_class: str, *, hit: bool, t_utc_us: int | None) -> Decision:
        """Say what is kept of a read of a class, made at ``t_utc_us`` (None: unknown)."""
        keep, retain = self.pack.keep, self.pack.retain
        if keep is Keep.NOTHING or (keep is Keep.HITS_ONLY and not hit):
            return Decision(Kept.NONE, read_class, self.name, f'keep = "{keep}"')
        if hit:
            return self._for(Kept.FULL, read_class or HIT, retain.hit, t_utc_us, "retain.hit")
        if keep is Keep.KEYED_HASH:
            return self._for(Kept.HASH, HASHED, retain.hash, t_utc_us, "retain.hash")
        return self._for(Kept.FULL, read_class, retain.nonhit, t_utc_us, "retain.nonhit")

    def _for(self, kept: Kept, name: str, period: Period | None, t_utc_us: int | None, key: str) -> Decision:
        if period is None:
            return Decision(Kept.NONE, name, self.name, f"there is no {key}")
        expires = None if t_utc_us is None else t_utc_us + period.seconds * _US_PER_S
        return Decision(kept, name, self.name, f"{key}: {period}", expires, period.seconds, self.shown)

    def recording_allowed(self, where: Where, now_utc_us: int | None) -> Pause | None:
        """Return None if recording is allowed here and now; in doubt it is not."""
        return self.fence_at(where) or self._by_hours(now_utc_us)

    def fence_at(self, where: Where) -> Pause | None:
        """Return the fence that may contain a position, or that the position is unknown; None if it is outside."""
        if not self._fences:
            return None
        place = self._bound(where)
        if place is None:
            return Pause(PauseReason.POSITION)
        return next(
            (Pause(PauseReason.FENCE, name) for name, shape in self._fences if shape.may_contain(*place)), None
        )

    def _by_hours(self, now_utc_us: int | None) -> Pause | None:
        if not self._hours:
            return None
        if now_utc_us is None:
            return Pause(PauseReason.TIME)
        now = dt.datetime.fromtimestamp(now_utc_us / _US_PER_S, dt.UTC)
        for hours, zone in self._hours:
            local = now.astimezone(zone)
            if hours.covers((local.weekday() * 24 + local.hour) * 60 + local.minute):
                return Pause(PauseReason.HOURS, hours.name)
        return None

    def may_hold(self, where: Where) -> bool:
        """True if the position may be in an area of this policy."""
        place = self._bound(where)
        return not self._areas or place is None or any(shape.may_contain(*place) for shape in self._areas)

    def surely_holds(self, where: Where) -> bool:
        """True if the position certainly is in an area of this policy."""
        place = self._bound(where)
        return not self._areas or (place is not None and _surely(self._areas, place))

    def _bound(self, where: Where) -> tuple[float, float, float] | None:
        lat, lon, error = where.lat_deg, where.lon_deg, where.error_m
        if lat is None or lon is None or error is None or not all(map(math.isfinite, (lat, lon, error))):
            return None
        return lat, lon, self.pack.position_sigmas * error


def _surely(areas: Sequence[Polygon], place: tuple[float, float, float]) -> bool:
    return any(area.surely_contains(*place) for area in areas)

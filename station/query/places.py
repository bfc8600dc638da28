"""Where units are, for a map that follows them: looked at once for everybody who does."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from protocol.wire.records.read import Read
from protocol.wire.records.track_point import TrackPoints
from station.query.stored import stored_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.asker import Scope
    from station.query.stored import StoredRecord
    from station.store import Store
    from station.store.map_search import UnitSeen

_RECENT_US = 86_400_000_000
_KEPT_US = 3_000_000
_E7 = 10**7


@dataclass(frozen=True, slots=True)
class UnitPlace:
    """Where a unit was last, as far as its records of the last day say."""

    unit: str
    agency: str = ""
    state: str = "?"
    """Its latest status; ``?`` if there was none."""
    reason: str = ""
    seen_us: int | None = None
    """When it last sent something."""
    utc_us: int | None = None
    """When it was there; None if no record says where it was, as are all below."""
    lat_deg: float | None = None
    lon_deg: float | None = None
    error_m: float | None = None
    source: str = ""
    """``read`` or ``track_point``."""
    speed_mps: float | None = None
    course_deg: float | None = None


class UnitPlaces:
    """The places of all units.  Thread-safe; the database is asked at most once in three seconds."""

    def __init__(self, store: Store, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._clock_us = clock_us
        self._lock = threading.Lock()
        self._looked_us: int | None = None
        self._places: list[UnitPlace] = []
        self._decoded: dict[tuple[str, bytes], UnitPlace | None] = {}
        self._followers: Counter[str] = Counter()
        # One of its own: the event loop counts, and must not wait for the database.
        self._counting = threading.Lock()

    @property
    def followers(self) -> int:
        """Number of maps that follow the units now."""
        with self._counting:
            return self._followers.total()

    def followers_of(self, who: str) -> int:
        """Number of maps of one person that do."""
        with self._counting:
            return self._followers[who]

    def enter(self, who: str) -> None:
        """Count one more of a person; :meth:`leave` must follow."""
        with self._counting:
            self._followers[who] += 1

    def leave(self, who: str) -> None:
        """Count one less."""
        with self._counting:
            self._followers[who] -= 1
            if not self._followers[who]:
                del self._followers[who]

    def look(self, scope: Scope) -> list[UnitPlace]:
        """Return the units that may be seen, sorted by name.  Raises StoreError."""
        with self._lock:
            now_us = self._clock_us()
            if self._looked_us is None or not 0 <= now_us - self._looked_us < _KEPT_US:
                self._places = self._look(now_us)
                self._looked_us = now_us
            return [place for place in self._places if scope.has(place.agency, place.unit)]

    def _look(self, now_us: int) -> list[UnitPlace]:
        last = self._store.last_places(now_us - _RECENT_US, now_us)
        decoded = {}
        for row in last.records:
            key = (row.unit, bytes(row.record_id))
            # A time anchor may give a record another time: then its row differs, and so does its place.
            decoded[key] = self._decoded.get(key) if row.utc_us is not None else None
            if decoded[key] is None:
                decoded[key] = _place_of(stored_record(row, self._store.registry))
        self._decoded = decoded
        known = [place for place in decoded.values() if place is not None]
        latest = {place.unit: place for place in sorted(known, key=lambda place: place.utc_us or 0)}
        return [_with_state(latest.get(seen.unit, UnitPlace(seen.unit)), seen) for seen in last.units]


def _with_state(place: UnitPlace, seen: UnitSeen) -> UnitPlace:
    return replace(place, agency=seen.agency, state=seen.state, reason=seen.reason, seen_us=seen.seen_us)


def _place_of(record: StoredRecord) -> UnitPlace | None:
    """Where a unit was when it made a record; None if the record does not say so."""
    body = record.body
    made_us = record.received_us if record.utc_us is None else record.utc_us
    if isinstance(body, TrackPoints):
        after_ms, lat_e7, lon_e7, error_cm, speed_cmps = body.points[-1]
        return UnitPlace(
            record.unit,
            utc_us=made_us + after_ms * 1000,
            lat_deg=lat_e7 / _E7,
            lon_deg=lon_e7 / _E7,
            error_m=error_cm / 100,
            source="track_point",
            speed_mps=None if speed_cmps is None else speed_cmps / 100,
        )
    if isinstance(body, Read) and body.place.lat_deg is not None:
        place = body.place
        return UnitPlace(
            record.unit,
            utc_us=made_us,
            lat_deg=place.lat_deg,
            lon_deg=place.lon_deg,
            error_m=place.error_m,
            source="read",
            speed_mps=None if place.speed_cmps is None else place.speed_cmps / 100,
            course_deg=None if place.course_cdeg is None else place.course_cdeg / 100,
        )
    return None

"""Hits by list, owner and what became of them; one hit with all its records; each question is audited."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from station.query.hits import assemble_hits
from station.query.query import Query
from station.store.hit_search import HitGroup
from station.store.hit_state import UNDECIDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from protocol.seal import KeyRing
    from station.query.hits import StoredHit
    from station.query.proof import RecordProof
    from station.query.stored import StoredRecord
    from station.store import RecordRow
    from station.store.hit_search import HitPlace, HitRecords, HitSearch, HitState

_COUNTED = 1_000
"""Hits of a page, where they are counted one by one."""


@dataclass(frozen=True, slots=True)
class HitPage:
    """Found hits."""

    hits: list[StoredHit]
    """By time."""
    after: HitPlace | None
    """Where the next page starts; None if this is the last one."""


@dataclass(slots=True)
class ListYield:
    """What became of the hits of one list."""

    list_id: str
    list_name: str
    """Its name; the list may have had others."""
    owner: str
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why hits were rejected, by code."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """By code; hits without an outcome are left out."""

    @property
    def hits(self) -> int:
        """Number of hits."""
        return self.states.total()

    @property
    def undecided(self) -> int:
        """Number of hits that wait for a decision."""
        return sum(self.states[state] for state in UNDECIDED)

    @property
    def wrong(self) -> int:
        """Number of hits that an officer rejected, or whose final text did not match."""
        return self.states["rejected"] + self.states["withdrawn"]


@dataclass(frozen=True, slots=True)
class ProvedRecord:
    """A record of a hit with the state of its evidence."""

    record: StoredRecord
    proof: RecordProof


@dataclass(frozen=True, slots=True)
class HitFile:
    """One hit with all its records."""

    hit: StoredHit
    stages: list[ProvedRecord]
    decisions: list[ProvedRecord]


class LedgerQuery(Query):
    """Queries of one person about hits."""

    def hit_page(self, search: HitSearch, *, limit: int, after: HitPlace | None = None) -> HitPage:
        """Return a page of hits by time, in the order of the search; ``after`` is that of the page before."""
        self._refuse_without_why()
        found = self._find_hits(search, limit=limit, after=after)
        self._note("search hits", len(found), **_asked(search), limit=limit)
        last = found[-1].place if len(found) == limit else None
        return HitPage([hit for one in self._store.hit_records(found) for hit in self._assembled(one)], last)

    def yields(self, search: HitSearch) -> list[ListYield]:
        """Return what became of hits, by list and owner, the list with the most hits first."""
        counts = self._count_hits(search)
        found = ledger(counts)
        self._note("count hits", sum(count.count for count in counts), **_asked(search))
        return found

    def hit_file(self, unit: str, hit_id: bytes, ring: KeyRing | None = None) -> HitFile | None:
        """Return one hit; None if it is unknown, was purged, or may not be seen.  ``ring`` has the units' keys."""
        self._refuse_without_why()
        state = self._store.hit(unit, hit_id)
        if state is not None and not self._may_see_hit(state):
            state = None
        self._note("show hit", int(state is not None), unit=unit, id=hit_id.hex())
        for one in self._store.hit_records([] if state is None else [state]):
            for hit in self._assembled(one):
                return HitFile(hit, self._proved(one.stages, ring), self._proved(one.decisions, ring))
        return None

    def hit_picture(self, unit: str, hit_id: bytes, sha256: bytes) -> bytes | None:
        """Return a picture of a hit; None if it is incomplete, or is not of this hit."""
        self._refuse_without_why()
        state = self._store.hit(unit, hit_id)
        may_see = state is not None and self._may_see_hit(state)
        jpeg = None
        for one in self._store.hit_records([state] if state is not None and may_see else []):
            named = {ref.sha256 for hit in self._assembled(one) for ref in hit.hit.pictures}
            jpeg = self._store.picture(unit, sha256) if sha256 in named else None
        self._note("show picture", int(jpeg is not None), unit=unit, sha256=sha256.hex())
        return jpeg

    def _find_hits(self, search: HitSearch, *, limit: int, after: HitPlace | None = None) -> list[HitState]:
        """As the store, but none outside of the zones: a page is full, or it is the last one."""
        scope = self._asker.scope
        if self._zones.is_none:
            return self._store.find_hits(search, limit=limit, after=after, scope=scope)
        found: list[HitState] = []
        search = replace(search, boxes=self._zones.boxes(search.boxes))
        while search.boxes and len(found) < limit:
            page = self._store.find_hits(search, limit=limit, after=after, scope=scope)
            found += [state for state in page if self._may_see_hit(state)]
            if len(page) < limit:
                break
            after = page[-1].place
        return found[:limit]

    def _count_hits(self, search: HitSearch) -> list[HitGroup]:
        if self._zones.is_none:
            return self._store.count_hits(search, scope=self._asker.scope)
        states: Counter[HitGroup] = Counter()
        after = None
        while page := self._find_hits(search, limit=_COUNTED, after=after):
            states.update(_group(state) for state in page)
            after = page[-1].place
        return [replace(group, count=count) for group, count in states.items()]

    def _may_see_hit(self, state: HitState) -> bool:
        return self._asker.scope.has(state.agency, state.unit) and self._zones.has(state.lat_e7, state.lon_e7)

    def _assembled(self, one: HitRecords) -> list[StoredHit]:
        """Of a hit that may be seen: what was decided about it elsewhere belongs to it."""
        return assemble_hits(self._of_agency(one.stages), self._of_agency(one.decisions))

    def _proved(self, rows: Iterable[RecordRow], ring: KeyRing | None) -> list[ProvedRecord]:
        return [ProvedRecord(stored, self.proof(stored, ring)) for stored in self._of_agency(rows)]


def ledger(counts: Sequence[HitGroup]) -> list[ListYield]:
    """Add up counts by list and owner, the list with the most hits first."""
    found: dict[tuple[str, str], ListYield] = {}
    for count in counts:
        key = (count.list_id, count.list_owner)
        one = found.setdefault(key, ListYield(count.list_id, count.list_name, count.list_owner))
        one.states[count.state] += count.count
        if count.state == "rejected":
            one.reasons[count.reason] += count.count
        if count.outcome:
            one.outcomes[count.outcome] += count.count
    return sorted(found.values(), key=lambda one: (-one.hits, one.list_id, one.owner))


def _group(state: HitState) -> HitGroup:
    return HitGroup(state.list_id, state.list_name, state.list_owner, state.state, state.reason, state.outcome, 1)


def _asked(search: HitSearch) -> dict[str, str | int | None]:
    """A search for the audit trail."""
    return {
        "list": search.list_id,
        "owner": search.list_owner,
        "unit": search.unit,
        "states": ",".join(search.states) or None,
        "outcome": search.outcome,
        "reason": search.reason,
        "since_us": search.since_us,
        "until_us": search.until_us,
        "order": "oldest first" if search.ascending else None,
    }

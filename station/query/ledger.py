"""Hits by list, owner and what became of them; one hit with all its records; each question is audited."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from station.query.hits import assemble_hits
from station.query.query import Query
from station.query.stored import stored_record
from station.store.hit_state import UNDECIDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from station.query.hits import StoredHit
    from station.query.stored import StoredRecord
    from station.store import EvidenceRow, RecordRow
    from station.store.hit_search import HitGroup, HitPlace, HitRecords, HitSearch


@dataclass(frozen=True, slots=True)
class HitPage:
    """Found hits."""

    hits: list[StoredHit]
    """The latest first."""
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
class SignedRecord:
    """A record of a hit with what its unit signed."""

    record: StoredRecord
    evidence: EvidenceRow | None
    """None if the unit does not sign its records."""


@dataclass(frozen=True, slots=True)
class HitFile:
    """One hit with all its records."""

    hit: StoredHit
    stages: list[SignedRecord]
    decisions: list[SignedRecord]


class LedgerQuery(Query):
    """Queries of one person about hits."""

    def hit_page(self, search: HitSearch, *, limit: int, after: HitPlace | None = None) -> HitPage:
        """Return a page of hits by time, the latest first; ``after`` is that of the page before."""
        self._refuse_without_why()
        found = self._store.find_hits(search, limit=limit, after=after, scope=self._asker.scope)
        self._note("search hits", len(found), **_asked(search), limit=limit)
        last = found[-1].place if len(found) == limit else None
        return HitPage([hit for one in self._store.hit_records(found) for hit in self._assembled(one)], last)

    def yields(self, search: HitSearch) -> list[ListYield]:
        """Return what became of hits, by list and owner, the list with the most hits first."""
        counts = self._store.count_hits(search, scope=self._asker.scope)
        found = ledger(counts)
        self._note("count hits", sum(count.count for count in counts), **_asked(search))
        return found

    def hit_file(self, unit: str, hit_id: bytes) -> HitFile | None:
        """Return one hit; None if it is unknown, was purged, or may not be seen."""
        self._refuse_without_why()
        state = self._store.hit(unit, hit_id)
        if state is not None and not self._asker.scope.has(state.agency, state.unit):
            state = None
        self._note("show hit", int(state is not None), unit=unit, id=hit_id.hex())
        for one in self._store.hit_records([] if state is None else [state]):
            for hit in self._assembled(one):
                return HitFile(hit, self._signed(one.stages), self._signed(one.decisions))
        return None

    def hit_picture(self, unit: str, hit_id: bytes, sha256: bytes) -> bytes | None:
        """Return a picture of a hit; None if it is incomplete, or is not of this hit."""
        self._refuse_without_why()
        state = self._store.hit(unit, hit_id)
        may_see = state is not None and self._asker.scope.has(state.agency, state.unit)
        jpeg = None
        for one in self._store.hit_records([state] if state is not None and may_see else []):
            named = {ref.sha256 for hit in self._assembled(one) for ref in hit.hit.pictures}
            jpeg = self._store.picture(unit, sha256) if sha256 in named else None
        self._note("show picture", int(jpeg is not None), unit=unit, sha256=sha256.hex())
        return jpeg

    def _assembled(self, one: HitRecords) -> list[StoredHit]:
        return assemble_hits(self._visible(one.stages), self._visible(one.decisions))

    def _signed(self, rows: Iterable[RecordRow]) -> list[SignedRecord]:
        registry = self._store.registry
        return [
            SignedRecord(stored_record(row, registry), self._store.evidence(row.unit, row.seq, row.record_id))
            for row in rows
        ]


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
    }

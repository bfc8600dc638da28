"""Hits at the station: the stages of each put together, with what officers decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from station.store.hit_state import RANK, decision_of, outcome_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.query.stored import StoredRecord

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class StoredHit:
    """One hit of a unit."""

    record: StoredRecord
    """Its latest stage."""
    hit: Hit
    decisions: tuple[tuple[StoredRecord, Disposition], ...]
    """In the order of their sequence numbers."""

    @property
    def state(self) -> str:
        """``new``, ``acknowledged``, ``confirmed``, ``rejected``, ``withdrawn`` or ``expired``."""
        return state_of(self.hit.stage, self._made)

    @property
    def decision(self) -> Disposition | None:
        """The disposition that confirmed or rejected it; None if there is none."""
        return decision_of(self._made)

    @property
    def outcome(self) -> str:
        """Code of the latest outcome; empty if there is none."""
        return outcome_of(self._made)

    @property
    def _made(self) -> list[Disposition]:
        return [made for _, made in self.decisions]

    @property
    def list_age_s(self) -> int | None:
        """Age of the list when the plate was seen; None if it is unknown."""
        if self.record.utc_us is None or self.hit.list_as_of_us is None:
            return None
        return max(0, self.record.utc_us - self.hit.list_as_of_us) // _US_PER_S


def assemble_hits(stages: Iterable[StoredRecord], decisions: Iterable[StoredRecord]) -> list[StoredHit]:
    """Put stages and decisions together, in the order in which the hits were raised; other records are left out."""
    latest: dict[tuple[str, bytes], tuple[StoredRecord, Hit]] = {}
    for record in sorted(stages, key=lambda one: one.seq):
        body = record.body
        if isinstance(body, Hit):
            key = (record.unit, body.hit_id)
            if key not in latest or RANK[body.stage] >= RANK[latest[key][1].stage]:
                latest[key] = (record, body)
    made: dict[tuple[str, bytes], list[tuple[StoredRecord, Disposition]]] = {}
    for record in sorted(decisions, key=lambda one: one.seq):
        body = record.body
        if isinstance(body, Disposition):
            made.setdefault((record.unit, body.hit_id), []).append((record, body))
    return [StoredHit(record, hit, tuple(made.get(key, ()))) for key, (record, hit) in latest.items()]


def hit_values(stored: StoredHit) -> dict[str, object]:
    """Return flat values for JSON."""
    hit, decision = stored.hit, stored.decision
    return {
        "unit": stored.record.unit,
        "hit_id": hit.hit_id.hex(),
        "read_id": hit.read_id.hex(),
        "utc_us": stored.record.utc_us,
        "state": stored.state,
        "stage": hit.stage.value,
        "priority": hit.priority.value,
        "plate": hit.text,
        "region": hit.region,
        "confidence": hit.confidence_e4 / 1e4,
        "listed_plate": hit.listed_text,
        "listed_region": hit.listed_region,
        "region_match": hit.region_match.value,
        "rule": hit.rule.value,
        "probability": hit.probability_e4 / 1e4,
        "list": hit.list_id,
        "list_name": hit.list_name,
        "list_owner": hit.list_owner,
        "list_version": hit.list_version,
        "list_age_s": stored.list_age_s,
        "list_stale": hit.list_stale,
        "entry": hit.entry_id,
        "reason": hit.listed_reason,
        "lat_deg": hit.place.lat_deg,
        "lon_deg": hit.place.lon_deg,
        "pictures": stored.record.pictures,
        "officer": "" if decision is None else decision.officer,
        "reject_reason": "" if decision is None else decision.reason,
        "confirming_agency": "" if decision is None else decision.confirming_agency,
        "reference": "" if decision is None else decision.reference,
        "outcome": stored.outcome,
    }

"""Hits and lists in the feed, as JSON values.  ``docs/feed.md`` explains every key; a test compares the two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.runtime.feed_documents import utc_us

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.hits.records import Hit
    from agent.hotlist.records import ListInfo
    from agent.runtime.feed_documents import Document, Json

_US_PER_S = 1_000_000


def lists_document(lists: Iterable[ListInfo], now_utc_us: int | None, max_age_s: float) -> list[Json]:
    """The lists in force, with their ages; an unknown age is stale."""
    return [_list_document(listed, now_utc_us, max_age_s) for listed in lists]


def _list_document(listed: ListInfo, now_utc_us: int | None, max_age_s: float) -> Document:
    age_s = _age_s(listed.as_of_utc_us, now_utc_us)
    return {
        "list_id": listed.list_id,
        "name": listed.name,
        "owner": listed.owner,
        "version": listed.version,
        "as_of_utc_us": listed.as_of_utc_us,
        "age_s": age_s,
        "stale": age_s is None or age_s > max_age_s,
        "priority": listed.priority.value,
        "entries": listed.entries,
    }


def hit_document(hit: Hit, boot_id: bytes, now_utc_us: int | None) -> Document:
    """One hit with its list entry, without its pictures."""
    where, match = hit.where, hit.match
    return {
        "hit_id": hit.hit_id.hex(),
        "read_id": hit.read_id.hex(),
        "state": hit.state.value,
        "stage": hit.stage.value,
        "alerted": hit.alerted,
        "priority": hit.priority.value,
        "text": hit.plate.text,
        "chars": [[char.symbol, round(char.confidence, 4)] for char in hit.plate.chars],
        "confidence": round(hit.plate.confidence, 4),
        "region": hit.plate.region,
        "region_match": match.region_match.value,
        "rule": match.rule.value,
        "probability": round(match.probability, 4),
        "n_agreeing": hit.n_agreeing,
        "listed": _listed_document(hit, now_utc_us),
        "others": len(hit.others),
        "camera": hit.camera,
        "camera_role": hit.camera_role,
        "mono_us": hit.t_mono_ns // 1000 if hit.boot_id == boot_id else None,
        "utc_us": None if hit.when is None else utc_us(hit.when.utc_ns),
        "lat_deg": None if where is None else _number(where.lat_deg),
        "lon_deg": None if where is None else _number(where.lon_deg),
        "error_m": None if where is None else _number(where.error_m),
        "pictures": [picture.kind.value for picture in hit.pictures],
        "checks": {
            "characters": hit.checks.characters,
            "region": hit.checks.region,
            "vehicle": hit.checks.vehicle,
        },
        "officer": hit.officer,
        "reason": hit.reason,
        "outcome": hit.outcome,
    }


def _listed_document(hit: Hit, now_utc_us: int | None) -> Document:
    listed, entry = hit.match.list, hit.match.entry
    return {
        "text": entry.text,
        "region": entry.region,
        "entry_id": entry.entry_id,
        "list_id": listed.list_id,
        "list_name": listed.name,
        "owner": listed.owner,
        "version": listed.version,
        "as_of_utc_us": listed.as_of_utc_us,
        "age_s": _age_s(listed.as_of_utc_us, now_utc_us),
        "stale": hit.stale,
        "make": entry.make,
        "model": entry.model,
        "colour": entry.colour,
        "year": entry.year,
        "reason": entry.reason,
        "note": entry.note,
        "callback": entry.callback,
    }


def _age_s(as_of_utc_us: int, now_utc_us: int | None) -> int | None:
    """Age of a list in seconds; None if it is unknown."""
    if now_utc_us is None or not as_of_utc_us:
        return None
    return max(0, now_utc_us - as_of_utc_us) // _US_PER_S


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 7)

"""Metrics of one ingest worker, from its counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from protocol.metrics import Sample, samples_of
from station.ingest import IngestCounts
from station.service import ServiceCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.ingest import Ingest
    from station.service import StationService

PREFIX = "patrol_lpr_station"
COUNTERS = tuple(field.name for field in (*fields(IngestCounts), *fields(ServiceCounts)))
"""Names of all counters of a worker."""


def worker_counts(ingests: Sequence[Ingest], services: Sequence[StationService]) -> dict[str, int]:
    """Return the sums over all brokers."""
    total: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
    for ingest in ingests:
        total.update(asdict(ingest.counts))
    for service in services:
        total.update(asdict(service.counts))
    return dict(total)


def worker_samples(ingests: Sequence[Ingest], services: Sequence[StationService]) -> list[Sample]:
    """Return all counters, and how many brokers are connected."""
    gauges = {
        "brokers": len(services),
        "brokers_connected": sum(service.connected.is_set() for service in services),
    }
    return samples_of(PREFIX, worker_counts(ingests, services), gauges)

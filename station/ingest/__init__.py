"""Messages of units in, receipts and nacks out."""

from __future__ import annotations

from station.ingest.batch import Answer
from station.ingest.ingest import Ingest, IngestCounts, IngestLimits

__all__ = ["Answer", "Ingest", "IngestCounts", "IngestLimits"]

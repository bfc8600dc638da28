"""Messages of units in, receipts and nacks out."""

from __future__ import annotations

from station.ingest.batch import Answer
from station.ingest.ingest import Ingest, IngestCounts, IngestLimits
from station.ingest.quota import Quota

__all__ = ["Answer", "Ingest", "IngestCounts", "IngestLimits", "Quota"]

"""Queries of the station.  Each is recorded in the audit trail here, so that no command or page can avoid it."""

from __future__ import annotations

from station.query.hits import StoredHit, hit_values
from station.query.query import READ_SCHEMA, CheckReport, Query, SearchPage
from station.query.stored import StoredRecord, stored_record
from station.store.search import Circle, Polygon, ReadSearch

__all__ = [
    "READ_SCHEMA",
    "CheckReport",
    "Circle",
    "Polygon",
    "Query",
    "ReadSearch",
    "SearchPage",
    "StoredHit",
    "StoredRecord",
    "hit_values",
    "stored_record",
]

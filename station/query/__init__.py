"""Queries of the station.  Each is recorded in the audit trail here, so that no command or page can avoid it."""

from __future__ import annotations

from station.query.query import READ_SCHEMA, Query
from station.query.stored import StoredRecord, stored_record

__all__ = ["READ_SCHEMA", "Query", "StoredRecord", "stored_record"]

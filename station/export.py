"""Reads as CSV and GeoJSON."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.rows import StoredRead

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "read_id", "unit", "agency", "seq", "camera", "role", "utc", "time_source", "uncertainty_ms", "plate", "raw",
    "confidence", "region", "region_confidence", "single_look", "sightings", "agreeing", "place_method", "lat_deg",
    "lon_deg", "error_m", "received", "pictures",
)  # fmt: skip


def to_csv(reads: Iterable[StoredRead]) -> str:
    """Return CSV with a header; cells that a spreadsheet would run as a formula get a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for read in reads:
        writer.writerow([_cell(value) for value in _values(read).values()])
    return out.getvalue()


def to_geojson(reads: Iterable[StoredRead]) -> str:
    """Return a FeatureCollection (RFC 7946); reads without a place have a null geometry."""
    features = []
    for read in reads:
        values = _values(read)
        lat, lon = values.pop("lat_deg"), values.pop("lon_deg")
        geometry = None if lat is None or lon is None else {"type": "Point", "coordinates": [lon, lat]}
        features.append({"type": "Feature", "geometry": geometry, "properties": values})
    return json.dumps({"type": "FeatureCollection", "features": features}, indent=1)


def _values(read: StoredRead) -> dict[str, Any]:
    values = (
        read.read_id.hex(), read.unit, read.agency, read.seq, read.camera, read.role, iso(read.utc_us),
        read.time_source, read.uncertainty_ms, read.text, read.raw, read.confidence_e4 / 1e4, read.region,
        read.region_e4 / 1e4, read.single_look, read.n_sightings, read.n_agreeing, read.method,
        None if read.lat_e7 is None else read.lat_e7 / 1e7, None if read.lon_e7 is None else read.lon_e7 / 1e7,
        None if read.error_cm is None else read.error_cm / 100, iso(read.received_us), read.pictures,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def iso(utc_us: int | None) -> str | None:
    """UTC as ISO 8601 with milliseconds."""
    if utc_us is None:
        return None
    return datetime.fromtimestamp(utc_us / 1e6, UTC).isoformat(timespec="milliseconds")


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value

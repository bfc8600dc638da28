"""Reads as CSV (RFC 4180) and GeoJSON (RFC 7946), one row at a time: a year of reads does not fit into memory."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

from protocol.seal.series import Proof, make_header, write_series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal import KeyRing
    from station.rows import StoredRead
    from station.store import Store

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet run a cell as a formula (OWASP, "CSV Injection")."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "read_id", "unit", "agency", "boot_id", "seq", "camera", "role", "utc", "time_source", "uncertainty_ms",
    "dated_later", "plate", "raw", "confidence", "region", "region_confidence", "single_look", "sightings",
    "agreeing", "place_method", "lat_deg", "lon_deg", "error_m", "retention", "received", "pictures",
)  # fmt: skip
_Cell = str | int | float | bool | None


def write_csv(reads: Iterable[StoredRead], out: IO[str]) -> None:
    """Write a header and a row a read; open ``out`` with ``newline=""``.

    Texts that a spreadsheet would run as a formula get a leading apostrophe.
    """
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for read in reads:
        writer.writerow([_cell(value) for value in _values(read).values()])


def write_geojson(reads: Iterable[StoredRead], out: IO[str]) -> None:
    """Write a FeatureCollection, a line a read; reads without a place have a null geometry."""
    out.write('{"type": "FeatureCollection", "features": [')
    separator = "\n"
    for read in reads:
        values = _values(read)
        lat, lon = values.pop("lat_deg"), values.pop("lon_deg")
        geometry = None if lat is None or lon is None else {"type": "Point", "coordinates": [lon, lat]}
        feature = {"type": "Feature", "id": values["read_id"], "geometry": geometry, "properties": values}
        out.write(separator + json.dumps(feature, ensure_ascii=False))
        separator = ",\n"
    out.write("\n]}\n")


def write_evidence(store: Store, out: IO[bytes], ring: KeyRing, unit: str | None, *, now_us: int) -> int:
    """Write the signed series of one unit or of all; return how many records.

    Raises WireError for more keys than a series holds.
    """
    units = [row.unit for row in store.units() if unit in {None, row.unit}]
    keys = tuple((name, key.raw) for name in units for key in ring.units.get(name, {}).values())
    proofs = (
        Proof(
            row.evidence,
            row.salt if row.record is not None else None,
            row.record if row.salt is not None else None,
        )
        for name in units
        for row in store.each_evidence(name)
    )
    return write_series(out, make_header("station", now_us, keys), proofs)


def iso(utc_us: int | None) -> str | None:
    """UTC as ISO 8601 with milliseconds; the bare number of microseconds beyond the calendar's end."""
    if utc_us is None:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=utc_us)).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{utc_us} us"


def _values(read: StoredRead) -> dict[str, _Cell]:
    values: tuple[_Cell, ...] = (
        read.read_id.hex(), read.unit, read.agency, read.boot_id.hex(), read.seq, read.camera, read.role,
        iso(read.utc_us), read.time_source, read.uncertainty_ms, read.dated, read.text, read.raw,
        read.confidence_e4 / 1e4, read.region, read.region_e4 / 1e4, read.single_frame, read.n_sightings,
        read.n_agreeing, read.method, read.lat_deg, read.lon_deg,
        None if read.error_cm is None else read.error_cm / 100, read.retention, iso(read.received_us), read.pictures,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def _cell(value: _Cell) -> _Cell:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value

"""Exports records as CSV (RFC 4180) and GeoJSON (RFC 7946), one at a time: a year of reads does not fit into memory."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from station.query.stored import StoredRecord

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters that make a spreadsheet run a cell as a formula (OWASP, "CSV Injection")."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Cell = str | int | float | bool | None
"""An exported value."""


class TextOut(Protocol):
    """Takes text."""

    def write(self, text: str, /) -> object:
        """Write."""


def write_csv(records: Iterable[StoredRecord], out: TextOut, schema: str) -> None:
    """Write a header and one row per record of one type; open ``out`` with ``newline=""``.

    Texts that a spreadsheet would run as a formula get a leading apostrophe.  Without records the header has
    only the columns of all types.
    """
    writer = csv.writer(out)
    columns: tuple[str, ...] = ()
    for record in records:
        values = flat_values(record)
        if not columns:
            columns = tuple(values)
            writer.writerow(columns)
        # A record that does not match its type has fewer values.
        writer.writerow([_cell(values.get(column)) for column in columns])
    if not columns:
        writer.writerow([id_column(schema), *_ENVELOPE, *_TIME, *_LAST])


def write_geojson(records: Iterable[StoredRecord], out: TextOut) -> None:
    """Write a FeatureCollection, one line per record; records without a position have a null geometry."""
    out.write('{"type": "FeatureCollection", "features": [')
    separator = "\n"
    for record in records:
        values = flat_values(record)
        lat, lon = values.pop("lat_deg", None), values.pop("lon_deg", None)
        geometry = None if lat is None or lon is None else {"type": "Point", "coordinates": [lon, lat]}
        feature = {
            "type": "Feature",
            "id": record.record_id.hex(),
            "geometry": geometry,
            "properties": values,
        }
        out.write(separator + json.dumps(feature, ensure_ascii=False))
        separator = ",\n"
    out.write("\n]}\n")


_ENVELOPE = ("unit", "agency", "boot_id", "seq")
_TIME = ("utc", "time_source", "uncertainty_ms", "dated_later")
_LAST = ("received", "pictures")


def id_column(schema: str) -> str:
    """Return the name of the column with the record's id: ``read_id`` for ``read/1``."""
    return f"{schema.partition('/')[0]}_id"


def flat_values(stored: StoredRecord) -> dict[str, Cell]:
    """Return the exported values of a record: its envelope, its time at the station, and what its type exports.

    For a record of an unknown type the bytes are exported.
    """
    envelope = stored.record.envelope
    values: dict[str, Cell] = {
        id_column(envelope.schema_id): envelope.record_id.hex(),
        "unit": envelope.unit,
        "agency": envelope.agency,
        "boot_id": envelope.boot_id.hex(),
        "seq": envelope.seq,
        "utc": iso(stored.utc_us),
        "time_source": stored.time_source,
        "uncertainty_ms": stored.uncertainty_ms,
        "dated_later": stored.dated,
    }
    if stored.known is None or stored.body is None:
        values["payload"] = stored.record.payload.hex()
    else:
        exported = stored.known.export(stored.body)
        values |= {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in exported.items()
            # The station's time of a record has precedence over the record's own.
            if values.get(name) is None
        }
    values["received"] = iso(stored.received_us) if stored.received_us else None
    values["pictures"] = stored.pictures
    return values


def iso(utc_us: int | None) -> str | None:
    """UTC as ISO 8601 with milliseconds; the number of microseconds after the year 9999."""
    if utc_us is None:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=utc_us)).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{utc_us} us"


def _cell(value: Cell) -> Cell:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value


def write_table(out: TextOut, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Write any table as :func:`write_csv` writes records; return the number of rows."""
    writer = csv.writer(out)
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        count += 1
    return count

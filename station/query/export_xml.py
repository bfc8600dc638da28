"""Exports records for maps and receivers as KML 2.2 (OGC 07-147r2) and GPX 1.1, one at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from station.query.export import flat_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.query.export import Cell, TextOut
    from station.query.stored import StoredRecord

KML, GPX = "http://www.opengis.net/kml/2.2", "http://www.topografix.com/GPX/1/1"
OURS = "urn:patrol-lpr:export:1"
"""Namespace of the values in GPX, which has no elements for them."""
_NO_XML = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot contain, also not escaped; and the carriage return, which a parser would change."""
_MAX_LAT, _MAX_LON = 90.0, 180.0
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def write_kml(records: Iterable[StoredRecord], out: TextOut) -> None:
    """Write a document with a placemark for each record; those without a position have no point."""
    out.write(f'{_HEAD}<kml xmlns="{KML}"><Document><name>patrol-lpr</name>\n')
    for record in records:
        values = flat_values(record)
        mark = ET.Element("Placemark")
        _add(mark, "name", _name(record, values))
        if (time := _time(values)) is not None:
            _add(ET.SubElement(mark, "TimeStamp"), "when", time)
        data = ET.SubElement(mark, "ExtendedData")
        for name, value in _texts(values):
            _add(ET.SubElement(data, "Data", name=_clean(name)), "value", value)
        if (place := _place(values)) is not None:
            _add(ET.SubElement(mark, "Point"), "coordinates", f"{place[1]:.7f},{place[0]:.7f}")
        out.write(ET.tostring(mark, encoding="unicode") + "\n")
    out.write("</Document></kml>\n")


def write_gpx(records: Iterable[StoredRecord], out: TextOut) -> None:
    """Write a waypoint for each record with a position; GPX has no others."""
    out.write(f'{_HEAD}<gpx xmlns="{GPX}" xmlns:lpr="{OURS}" version="1.1" creator="patrol-lpr">\n')
    for record in records:
        values = flat_values(record)
        place = _place(values)
        if place is None:
            continue
        lat, lon = place
        # The schema's longitudes end before 180.
        point = ET.Element("wpt", lat=f"{lat:.7f}", lon=f"{-_MAX_LON if lon == _MAX_LON else lon:.7f}")
        if (time := _time(values)) is not None:
            _add(point, "time", time)
        _add(point, "name", _name(record, values))
        _add(point, "src", record.unit)
        _add(point, "type", record.record.envelope.schema_id)
        more = ET.SubElement(point, "extensions")
        for name, value in _texts(values):
            ET.SubElement(more, "lpr:value", name=_clean(name)).text = _clean(value)
        out.write(ET.tostring(point, encoding="unicode") + "\n")
    out.write("</gpx>\n")


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = _clean(text)


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def _name(record: StoredRecord, values: dict[str, Cell]) -> str:
    return str(values.get("plate") or record.record.envelope.schema_id)


def _texts(values: dict[str, Cell]) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if value is not None:
            yield name, ("true" if value else "false") if isinstance(value, bool) else str(value)


def _time(values: dict[str, Cell]) -> str | None:
    """None for an unknown time, and for one beyond the calendar."""
    text = values.get("utc")
    return f"{text[:-6]}Z" if isinstance(text, str) and _TIME.fullmatch(text) else None


def _place(values: dict[str, Cell]) -> tuple[float, float] | None:
    lat, lon = values.get("lat_deg"), values.get("lon_deg")
    if not isinstance(lat, int | float) or not isinstance(lon, int | float):
        return None
    return (lat, lon) if -_MAX_LAT <= lat <= _MAX_LAT and -_MAX_LON <= lon <= _MAX_LON else None

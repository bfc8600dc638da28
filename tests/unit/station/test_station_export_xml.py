"""Exports as KML and GPX: well-formed whatever a unit sends, in the order of elements that the schemas demand."""

from __future__ import annotations

import io
import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.records import TimeTag
from cli.station import app
from protocol.wire.enums import TimeSource
from station.query.export import flat_values
from station.query.export_xml import GPX, KML, OURS, _clean, write_gpx, write_kml
from station.store import open_store
from tests.builders import WHERE, make_read_record
from tests.station_files import add, stored_reads

if TYPE_CHECKING:
    from pathlib import Path

NOW_US = 1_780_000_500_123_456
HOSTILE = (
    "<script>alert(1)</script>", "\"'><b>x</b>", "]]>", "&lt;&amp;", "<!--", "--><!DOCTYPE a [", "=1+1",
)  # fmt: skip
"""Control characters are refused when a record comes."""
FEATURE = ["name", "TimeStamp", "ExtendedData", "Point"]
"""Elements of a placemark in the order of the schema (OGC 07-147r2, AbstractFeatureType)."""
POINT = ["time", "name", "src", "type", "extensions"]
"""Those of a waypoint (GPX 1.1, wptType)."""


def written(write, records):
    out = io.StringIO()
    write(records, out)
    return out.getvalue()


@pytest.fixture
def records(tmp_path):
    """Hostile texts in every field that takes them; then one without a position, and one without a time."""
    with closing(open_store(tmp_path / "station.db")) as store:
        made = [
            make_read_record(
                n, seq=n, text=text[:32], camera=text[:36], region=text[:16], raw=text, software=text, pictures=()
            )
            for n, text in enumerate(HOSTILE, 1)
        ]
        made.append(make_read_record(50, seq=50, where=replace(WHERE, lat_deg=None, lon_deg=None), pictures=()))
        made.append(make_read_record(51, seq=51, when=TimeTag(None, TimeSource.NONE, None), pictures=()))
        add(store, *made, now_us=NOW_US)
        yield stored_reads(store)


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 - made here


def tags(element):
    return [child.tag.partition("}")[2] for child in element]


def in_order(found, wanted):
    return [tag for tag in wanted if tag in found] == found


def test_a_placemark_has_the_read_and_all_its_values(records):
    root = parsed(written(write_kml, records))
    assert root.tag == f"{{{KML}}}kml"
    (document,) = root
    assert tags(document)[0] == "name"
    marks = document.findall(f"{{{KML}}}Placemark")
    assert len(marks) == len(records)
    for record, mark in zip(records, marks, strict=True):
        assert in_order(tags(mark), FEATURE)
        values = flat_values(record)
        assert mark.findtext(f"{{{KML}}}name") == _clean(values["plate"])
        data = {one.get("name"): one.findtext(f"{{{KML}}}value") for one in mark.iter(f"{{{KML}}}Data")}
        assert data["camera"] == _clean(values["camera"])
        assert set(data) == {name for name, value in values.items() if value is not None}
        point = mark.findtext(f"{{{KML}}}Point/{{{KML}}}coordinates")
        if values["lat_deg"] is None:
            assert point is None
        else:
            lon, lat = (float(part) for part in point.split(","))
            assert (lat, lon) == (pytest.approx(values["lat_deg"]), pytest.approx(values["lon_deg"]))
    times = [mark.findtext(f"{{{KML}}}TimeStamp/{{{KML}}}when") for mark in marks]
    assert times.pop() is None
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


def test_a_waypoint_has_the_read_and_all_its_values(records):
    root = parsed(written(write_gpx, records))
    assert (root.tag, root.get("version"), bool(root.get("creator"))) == (f"{{{GPX}}}gpx", "1.1", True)
    placed = [record for record in records if flat_values(record)["lat_deg"] is not None]
    assert tags(root) == ["wpt"] * len(placed)
    assert len(placed) == len(records) - 1
    for record, point in zip(placed, root, strict=True):
        assert in_order(tags(point), POINT)
        values = flat_values(record)
        assert point.findtext(f"{{{GPX}}}name") == _clean(values["plate"])
        assert float(point.get("lat")) == pytest.approx(values["lat_deg"])
        more = {one.get("name"): one.text or "" for one in point.iter(f"{{{OURS}}}value")}
        assert more["camera"] == _clean(values["camera"])
        assert set(more) == {name for name, value in values.items() if value is not None}
    assert root[-1].find(f"{{{GPX}}}time") is None


@pytest.mark.parametrize(
    ("lat", "lon", "shown"),
    [(90.0, 180.0, ("90.0000000", "-180.0000000")), (1e-7, -1e-7, ("0.0000001", "-0.0000001"))],
)
def test_positions_are_decimals_within_the_bounds_of_the_schema(tmp_path, lat, lon, shown):
    """No exponent, and no 180th meridian in the east."""
    with closing(open_store(tmp_path / "station.db")) as store:
        add(store, make_read_record(1, where=replace(WHERE, lat_deg=lat, lon_deg=lon), pictures=()), now_us=NOW_US)
        (point,) = parsed(written(write_gpx, stored_reads(store)))
    assert (point.get("lat"), point.get("lon")) == shown


@given(st.text())
def test_any_text_survives_xml_but_for_what_xml_cannot_hold(text):
    element = ET.Element("a", b=_clean(text))
    element.text = _clean(text)
    back = parsed(ET.tostring(element, encoding="unicode").encode("utf-8", "strict"))
    assert (back.text or "", back.get("b")) == (_clean(text), _clean(text))


def test_no_records_make_a_document_without_any(tmp_path):
    assert len(parsed(written(write_gpx, []))) == 0
    assert tags(parsed(written(write_kml, []))[0]) == ["name"]


def test_the_command_writes_both_beside_the_others(tmp_path: Path):
    """And notes each."""
    db = tmp_path / "station.db"
    with closing(open_store(db)) as store:
        add(store, make_read_record(1, text="7ABC123", pictures=()), now_us=NOW_US)
    files = {kind: tmp_path / f"reads.{kind}" for kind in ("csv", "kml", "gpx")}
    options = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    done = CliRunner().invoke(app, ["--db", str(db), "export", *options])
    assert done.exit_code == 0, done.output
    for kind in ("kml", "gpx"):
        assert "7ABC123" in "".join(parsed(files[kind].read_text(encoding="utf-8")).itertext())
        assert files[kind].stat().st_mode & 0o077 == 0
    with closing(open_store(db)) as store:
        noted = [entry.what for entry in store.audit_trail()]
    assert [what for what in noted if "begins" not in what] == ["export csv", "export kml", "export gpx"]

"""Commands of the station that show or write what units sent: each needs a purpose and a case number."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cli import station_show
from cli.show import print_json, print_table
from cli.station_place import (
    CaseOption,
    DbOption,
    JsonOption,
    PurposeOption,
    UnitOption,
    looking_up,
    not_the_store,
)
from cli.station_tables import hits_table, reads_table
from cli.terminal import say
from hw.output import output, text_output
from protocol.seal import load_keyring
from station.query import READ_SCHEMA, Circle, ReadSearch, hit_values
from station.query.export import flat_values
from station.query.plates import wanted as wanted_plates

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO


def reads(
    context: typer.Context,
    *,
    db: DbOption = None,
    unit: UnitOption = None,
    limit: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of reads.")] = 50,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the latest reads; recorded in the audit trail."""
    with looking_up(context, db, purpose, case_number) as query:
        rows = query.records(unit=unit, limit=limit)
    if as_json:
        print_json([{"schema": row.record.envelope.schema_id, **flat_values(row)} for row in rows])
    else:
        print_table(reads_table(rows))


def show(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(help="Id of a read or another record, 32 hexadecimal digits.")],
    *,
    db: DbOption = None,
    unit: UnitOption = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for its pictures, ID-plate.jpg ...")] = None,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one record with all its values, and write its pictures; recorded in the audit trail."""
    with looking_up(context, db, purpose, case_number) as query:
        station_show.show(query, record_id, unit=unit, out=pictures, as_json=as_json)


def show_hits(
    context: typer.Context,
    *,
    db: DbOption = None,
    unit: UnitOption = None,
    limit: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of hits.")] = 50,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the latest hits with list, decision and outcome; recorded in the audit trail."""
    with looking_up(context, db, purpose, case_number) as query:
        found = query.hits(unit=unit, limit=limit)
    if as_json:
        print_json([hit_values(hit) for hit in found])
    else:
        print_table(hits_table(found))


def search(
    context: typer.Context,
    plates: Annotated[
        list[str] | None, typer.Argument(help="Any of these; * is any text, ? one character.")
    ] = None,
    *,
    db: DbOption = None,
    unit: UnitOption = None,
    region: Annotated[str | None, typer.Option(help="Only this region, such as US-CA.")] = None,
    camera: Annotated[str | None, typer.Option(help="Only this camera.")] = None,
    near: Annotated[
        str | None, typer.Option(help="Only within a circle: LATITUDE,LONGITUDE,METRES; up to 100 km.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Only made at or after this time, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only made at or before this time, UTC.")] = None,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Only with at least this confidence.")] = 0.0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of reads.")] = 50,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search reads by plate, place and time, the latest first; recorded in the audit trail."""
    since_us, until_us = _utc_us(since), _utc_us(until)
    if since_us is not None and until_us is not None and until_us < since_us:
        raise typer.BadParameter("the period ends before it begins", param_hint="--until")
    wanted = ReadSearch(
        plates=wanted_plates(plates or ()),
        region=None if region is None else region.upper(),
        unit=unit,
        camera=camera,
        min_confidence_e4=round(min_confidence * 10_000),
        since_us=since_us,
        until_us=until_us,
        area=None if near is None else _circle(near),
    )
    with looking_up(context, db, purpose, case_number) as query:
        page = query.search(wanted, limit=limit)
    rows = page.records
    if page.complete_to_us is not None:
        complete = datetime.fromtimestamp(page.complete_to_us / 1e6, UTC).isoformat(timespec="seconds")
        say(
            f"not all reads around the place were looked at: complete since {complete}; before, search with --until"
        )
    if as_json:
        print_json([{"schema": row.record.envelope.schema_id, **flat_values(row)} for row in rows])
    else:
        print_table(reads_table(rows))


def export(
    context: typer.Context,
    *,
    db: DbOption = None,
    csv: Annotated[Path | None, typer.Option(help="Write CSV here; - for standard output.")] = None,
    geojson: Annotated[Path | None, typer.Option(help="Write GeoJSON here; - for standard output.")] = None,
    kml: Annotated[Path | None, typer.Option(help="Write KML here; - for standard output.")] = None,
    gpx: Annotated[
        Path | None, typer.Option(help="Write those with a position as GPX here; - for standard output.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Write the pictures of these records to this folder, UNIT/ID-plate.jpg ...")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Write the signed series here, for `patrol-lpr verify`; needs --keys.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder with the units' public keys.")] = None,
    employees: Annotated[
        bool, typer.Option("--employees", help="With the contents of records about employees in the series.")
    ] = False,
    unit: UnitOption = None,
    schema: Annotated[str, typer.Option(help="Type of record, for CSV, GeoJSON, KML and GPX.")] = READ_SCHEMA,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export records; recorded in the audit trail before the file appears."""
    if all(one is None for one in (csv, geojson, kml, gpx, evidence, pictures)):
        raise typer.BadParameter(
            "give --csv FILE, --geojson FILE, --kml FILE, --gpx FILE, --pictures FOLDER or --evidence FILE"
        )
    if evidence is not None and keys is None:
        raise typer.BadParameter(
            "the series contains the units' public keys: give --keys FOLDER", param_hint="--keys"
        )
    if as_json and any(str(place) == "-" for place in (csv, geojson, kml, gpx)):
        raise typer.BadParameter("standard output is the export's: give a file", param_hint="--json")
    counts: dict[str, int] = {}
    with looking_up(context, db, purpose, case_number) as query:
        for name, place, write in (
            ("csv", csv, query.export_csv), ("geojson", geojson, query.export_geojson),
            ("kml", kml, query.export_kml), ("gpx", gpx, query.export_gpx),
        ):  # fmt: skip
            if place is not None:
                counts[name] = _write(context, db, place, partial(write, schema=schema, unit=unit))
        if pictures is not None:
            counts["pictures"] = station_show.export_pictures(query, pictures, schema=schema, unit=unit)
        if evidence is not None and keys is not None:
            ring = load_keyring(keys)
            with output(not_the_store(context, db, evidence), private=True) as out:
                counts["evidence"] = query.export_evidence(out, ring, unit=unit, employees=employees)
    if as_json:
        print_json(counts)


def _write(context: typer.Context, db: str | None, target: Path, write: Callable[[IO[str]], int]) -> int:
    """Write to a file, or row by row to standard output; return how many."""
    if str(target) == "-":
        return write(sys.stdout)
    with text_output(not_the_store(context, db, target), private=True) as out:
        return write(out)


def _utc_us(time_utc: datetime | None) -> int | None:
    return None if time_utc is None else round(time_utc.replace(tzinfo=UTC).timestamp() * 1e6)


def _circle(text: str) -> Circle:
    try:
        lat_deg, lon_deg, radius_m = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not LATITUDE,LONGITUDE,METRES such as 45.0,-100.0,500", param_hint="--near"
        ) from None
    return Circle(lat_deg, lon_deg, radius_m)

"""``patrol-lpr deployment hours | coverage | where | incidents``: what became of the plan."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cli.deployment_shared import (
    DEFAULT_DB,
    CaseOption,
    CsvOption,
    DaysOption,
    DbOption,
    FromOption,
    GeoOption,
    HtmlOption,
    JsonOption,
    WhyOption,
    opened,
    period_of,
    query_of,
    write_to,
)
from cli.show import TextTable, print_json, print_table
from station.deployment.hours import HoursBy
from station.deployment.times import shown
from station.query import deployment_export as export


def hours(
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    first: FromOption = None,
    days: DaysOption = 7,
    by: Annotated[HoursBy, typer.Option(help="What hours are summed by.")] = HoursBy.PERSON,
    badge: Annotated[str | None, typer.Option(help="Only this person.")] = None,
    csv: CsvOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Compare planned with actual hours, by activity."""
    with opened(db) as store:
        query = query_of(store, purpose, case)
        since_us, until_us, name = period_of(query.settings(), first, days)
        rows = query.hours(since_us, until_us, by, badge=badge)
    write_to(csv, lambda file: export.hours_csv(rows, file))
    write_to(html, lambda file: file.write(export.hours_html(rows, name, by.value)))
    if as_json:
        print_json([row.values() for row in rows])
    elif csv is None and html is None:
        table = TextTable(
            by.value, "planned h", "actual h", "overtime h", "shifts", "missed", "activities", title=name
        )
        for row in rows:
            told = row.values()
            table.add_row(
                row.name,
                f"{told['planned_h']:.2f}",
                f"{told['actual_h']:.2f}",
                f"{told['overtime_h']:.2f}",
                f"{row.worked} of {row.planned}" + (f", {row.unplanned} without a plan" if row.unplanned else ""),
                str(row.missed),
                str(told["activities"]),
            )
        print_table(table)


def coverage(
    *,
    first: FromOption = None,
    days: DaysOption = 7,
    by: Annotated[str, typer.Option(help="zone, unit, day or hour.")] = "zone",
    csv: CsvOption = None,
    geojson: GeoOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Show kilometres, minutes and reads, as the units measured them; no track is needed."""
    if by not in {"zone", "unit", "day", "hour"}:
        raise typer.BadParameter("use zone, unit, day or hour", param_hint="--by")
    with opened(db) as store:
        query = query_of(store)
        since_us, until_us, name = period_of(query.settings(), first, days)
        rows = query.coverage(since_us, until_us, by)
        resources = query.places().resources
    write_to(csv, lambda file: export.coverage_csv(rows, file))
    write_to(geojson, lambda file: file.write(export.coverage_geojson(rows, resources)))
    write_to(html, lambda file: file.write(export.coverage_html(rows, name, by)))
    if as_json:
        print_json([export.coverage_values(row) for row in rows])
    elif csv is None and html is None and geojson is None:
        table = TextTable(by, "km", "minutes", "reads", title=name)
        for row in rows:
            label = {"*": "everything", "": "outside all zones"}.get(row.name, row.name)
            table.add_row(
                label, f"{row.distance_m / 1000:.1f}", f"{row.located_ms / 60_000:.0f}", f"{row.reads:,}"
            )
        print_table(table)


def where(
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    first: FromOption = None,
    days: Annotated[int, typer.Option("--days", min=1, max=7, help="Number of days.")] = 1,
    as_json: JsonOption = False,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Show where a unit was: assigned, measured by zone, and tracked as far as a policy kept it."""
    with opened(db) as store:
        query = query_of(store, purpose, case)
        settings = query.settings()
        since_us, until_us, name = period_of(settings, first, days)
        stays = query.where(unit, since_us, until_us)
    if as_json:
        print_json(stays)
        return
    table = TextTable("from", "to", "what", "where", "badge", title=f"{unit}, {name}")
    for stay in stays:
        place = ", ".join(f"{zone or 'outside'} {minutes:.0f} min" for zone, minutes in stay.minutes)
        if stay.lat_deg is not None and stay.lon_deg is not None:
            place = f"{stay.lat_deg:.5f} {stay.lon_deg:.5f}"
        until = "" if stay.kind == "position" else shown(stay.until_us, settings.zone)
        names = place or ", ".join(stay.zones) or "-"
        table.add_row(shown(stay.from_us, settings.zone), until, stay.kind, names, stay.badge)
    print_table(table)


def incidents(
    *,
    first: FromOption = None,
    days: DaysOption = 7,
    category: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    zone: Annotated[str | None, typer.Option(help="Only those in this zone.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only this outcome; empty: without an answer.")] = None,
    cell_m: Annotated[
        float, typer.Option(min=10, max=100_000, help="Size of the cells of the heat map, in metres.")
    ] = 1000,
    csv: CsvOption = None,
    geojson: GeoOption = None,
    heat_map: Annotated[Path | None, typer.Option(help="Write the heat map as GeoJSON to a file.")] = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    purpose: Annotated[str, typer.Option("--purpose", help="Why, for the audit trail.")] = "",
    case: CaseOption = None,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Count incidents by category, zone, outcome, contribution and day."""
    with opened(db) as store:
        query = query_of(store, purpose, case)
        settings = query.settings()
        since_us, until_us, name = period_of(settings, first, days)
        report = query.incidents(since_us, until_us, category=category, zone=zone, outcome=outcome, cell_m=cell_m)
    write_to(csv, lambda file: export.incidents_csv(report, settings, file))
    write_to(geojson, lambda file: file.write(export.incidents_geojson(report, settings)))
    write_to(heat_map, lambda file: file.write(export.heat_map_geojson(report)))
    write_to(html, lambda file: file.write(export.incidents_html(report, settings, name)))
    if as_json:
        rows = [export.incident_values(row, settings) for row in report.rows]
        print_json(
            {
                "period": name,
                "counts": report.counts,
                "days": report.days,
                "cells": report.cells,
                "incidents": rows,
            }
        )
    elif not any((csv, geojson, heat_map, html)):
        counts = report.counts
        table = TextTable("by", "", "incidents", title=f"{counts.total} incidents, {name}")
        for label, found in (
            ("category", counts.by_category),
            ("zone", counts.by_zone),
            ("outcome", counts.by_outcome),
            ("contribution", counts.by_contribution),
            ("day", report.days),
        ):
            for key, count in found.items():
                table.add_row(label, key, str(count))
        print_table(table)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (hours, coverage, where, incidents):
        app.command()(command)

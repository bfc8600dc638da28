"""Hours, coverage and incidents as CSV, GeoJSON and printable HTML; asked for before, so already in the audit trail."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from station.deployment.times import shown
from station.deployment.zones import zones_as_geojson
from station.query.export import write_table
from station.query.printed import PrintedTable, printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.deployment.hours import HoursRow
    from station.deployment.incidents import IncidentRow
    from station.deployment.model import Resources, Settings
    from station.query.deployment import IncidentReport
    from station.store.deployment.port import CoverageSum

_HOURS = (
    "name",
    "planned_h",
    "actual_h",
    "overtime_h",
    "planned",
    "worked",
    "missed",
    "unplanned",
    "unmeasured",
    "activities",
)
_COVERAGE = ("name", "km", "minutes", "reads", "minutes_without_position", "messages", "jumps")
_INCIDENTS = (
    "incident", "unit", "shift", "time", "category", "zones", "outcome", "contribution", "stage", "case_number",
    "place", "lat_deg", "lon_deg", "reads", "hits",
)  # fmt: skip
_S_PER_H = 3600


def hours_csv(rows: Sequence[HoursRow], out: IO[str]) -> None:
    """One row per name."""
    write_table(out, _HOURS, (_cells(row.values(), _HOURS) for row in rows))


def hours_html(rows: Sequence[HoursRow], period: str, by: str) -> str:
    """Hours and, below, activities."""
    table = PrintedTable(
        f"Hours by {by}",
        ("", "planned h", "actual h", "overtime h", "planned shifts", "worked", "missed", "unplanned"),
        tuple(
            (
                row.name or "-",
                _hours(row.planned_s),
                _hours(row.actual_s),
                _hours(row.overtime_s),
                str(row.planned),
                str(row.worked),
                str(row.missed),
                str(row.unplanned),
            )
            for row in rows
        ),
        frozenset(range(1, 8)),
    )
    activities = PrintedTable(
        "Activities",
        ("", "activity", "planned h", "actual h"),
        tuple(
            (row.name or "-", name, _hours(plan), _hours(actual))
            for row in rows
            for name, (plan, actual) in sorted(row.activities.items())
        ),
        frozenset({2, 3}),
    )
    about = (period, "Hours are real time, measured by the units; a planned shift is missed if nobody came.")
    return printed("Hours as planned and worked", about, (table, activities))


def coverage_values(row: CoverageSum) -> dict[str, Any]:
    """Flat values for JSON and CSV."""
    return {
        "name": row.name,
        "km": round(row.distance_m / 1000, 3),
        "minutes": round(row.located_ms / 60_000, 2),
        "reads": row.reads,
        "minutes_without_position": round(row.unlocated_ms / 60_000, 2),
        "messages": row.periods,
        "jumps": row.jumps,
    }


def coverage_csv(rows: Sequence[CoverageSum], out: IO[str]) -> None:
    """One row per name; ``*`` is everything."""
    write_table(out, _COVERAGE, (_cells(coverage_values(row), _COVERAGE) for row in rows))


def coverage_geojson(rows: Sequence[CoverageSum], resources: Resources) -> str:
    """The zones with their sums."""
    sums = {row.name: coverage_values(row) for row in rows}
    made = zones_as_geojson(resources.zones)
    for feature in made["features"]:
        feature["properties"] |= {
            name: value
            for name, value in sums.get(feature["id"], {"km": 0, "minutes": 0, "reads": 0}).items()
            if name in {"km", "minutes", "reads"}
        }
    return json.dumps(made, ensure_ascii=False)


def coverage_html(rows: Sequence[CoverageSum], period: str, by: str) -> str:
    """Sums of a time."""
    table = PrintedTable(
        f"Coverage by {by}",
        ("", "km", "minutes", "reads"),
        tuple(
            (_name(row.name), f"{row.distance_m / 1000:,.1f}", f"{row.located_ms / 60_000:,.0f}", f"{row.reads:,}")
            for row in rows
        ),
        frozenset({1, 2, 3}),
    )
    total = next((row for row in rows if row.name == "*"), None)
    about = [period, "Zones that overlap each count; the total counts each place once."]
    if total is not None:
        about.append(
            f"Without a position: {total.unlocated_ms / 60_000:,.0f} minutes, in no zone and without kilometres."
        )
    return printed("Coverage", about, (table,))


def incident_values(row: IncidentRow, settings: Settings) -> dict[str, Any]:
    """Flat values for JSON and CSV."""
    return {
        "incident": row.incident_id.hex(),
        "unit": row.unit,
        "shift": row.shift_id.hex(),
        "time": shown(row.when_us, settings.zone),
        "category": row.category,
        "zones": " ".join(row.zones),
        "outcome": row.outcome,
        "contribution": row.contribution,
        "stage": row.stage,
        "case_number": row.case_number,
        "place": row.where,
        "lat_deg": row.lat_deg,
        "lon_deg": row.lon_deg,
        "reads": " ".join(one.hex() for one in row.reads),
        "hits": " ".join(one.hex() for one in row.hits),
    }


def incidents_csv(report: IncidentReport, settings: Settings, out: IO[str]) -> None:
    """One row per incident."""
    write_table(out, _INCIDENTS, (_cells(incident_values(row, settings), _INCIDENTS) for row in report.rows))


def incidents_geojson(report: IncidentReport, settings: Settings) -> str:
    """Points; an incident without a position has a null geometry."""
    features = []
    for row in report.rows:
        values = incident_values(row, settings)
        lat, lon = values.pop("lat_deg"), values.pop("lon_deg")
        geometry = None if lat is None else {"type": "Point", "coordinates": [lon, lat]}
        features.append({"type": "Feature", "id": values["incident"], "geometry": geometry, "properties": values})
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)


def heat_map_geojson(report: IncidentReport) -> str:
    """The cells of the grid with their counts."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [
                        [cell.west, cell.south],
                        [cell.east, cell.south],
                        [cell.east, cell.north],
                        [cell.west, cell.north],
                        [cell.west, cell.south],
                    ]
                ],
            },
            "properties": {"count": cell.count},
        }
        for cell in report.cells
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def incidents_html(report: IncidentReport, settings: Settings, period: str) -> str:
    """Counts, then each incident."""
    counts = report.counts

    def table(title: str, found: dict[str, int]) -> PrintedTable:
        rows = tuple((name, str(count), f"{count / counts.total:.0%}") for name, count in found.items())
        return PrintedTable(title, ("", "incidents", "share"), rows, frozenset({1, 2}))

    each = PrintedTable(
        "Incidents",
        ("time", "unit", "category", "zones", "outcome", "contribution", "case"),
        tuple(
            (
                shown(row.when_us, settings.zone),
                row.unit,
                row.category,
                ", ".join(row.zones),
                row.outcome or "(no answer)",
                row.contribution or "(no answer)",
                row.case_number,
            )
            for row in report.rows
        ),
    )
    counted = (
        f"{counts.total} incidents; the reader contributed something useful to {counts.assisted}. Both questions were "
        f"answered in {counts.answered}; none and unknown are answers."
    )
    about = (
        period,
        counted,
    )
    tables = (
        table("By category", counts.by_category),
        table("By zone", counts.by_zone),
        table("By outcome", counts.by_outcome),
        table("By contribution of the reader", counts.by_contribution),
        table("By day", report.days),
        each,
    )
    return printed("Incidents", about, tables)


def _cells(values: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    return [values[name] for name in columns]


def _hours(seconds: int) -> str:
    return f"{seconds / _S_PER_H:,.2f}"


def _name(zone: str) -> str:
    return {"*": "everything", "": "outside all zones"}.get(zone, zone)

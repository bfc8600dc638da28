"""``patrol-lpr shift``: shifts, hours and coverage at the station; employees' data apart from reads, and audited."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import operator
from cli.show import TextTable, print_json, print_table
from cli.station_place import place_named
from station.query import Query
from station.query.export import iso
from station.query.shifts import ShiftRow, ShiftsOf
from station.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

_US_PER_DAY = 86_400_000_000
app = typer.Typer(
    help="Shifts at the station: hours, coverage, incidents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def shift() -> None:
    """Shifts at the station: hours, coverage, incidents."""


@app.command()
def show(
    *,
    purpose: Annotated[str, typer.Option(help="Why: recorded in the audit trail with your name.")],
    case_number: Annotated[str | None, typer.Option("--case", help="Case number, for the audit trail.")] = None,
    db: Annotated[str, typer.Option("--db", help="Database of the station, or postgresql://...")] = "station.db",
    unit: Annotated[str | None, typer.Option("--unit", help="Only shifts on this unit.")] = None,
    badge: Annotated[str | None, typer.Option("--badge", help="Only shifts of this officer.")] = None,
    days: Annotated[float, typer.Option(min=0.01, max=36_600, help="Shifts received in the last days.")] = 31,
    limit: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of shifts, the latest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/shifts.md.")] = False,
) -> None:
    """Show shifts with hours by activity, coverage by zone and incidents."""
    if not purpose.strip():
        raise typer.BadParameter("say why, such as a case number or `payroll`", param_hint="--purpose")
    store = open_store(place_named(db), must_exist=True)
    try:
        query = Query(store, operator(purpose, case_number), lambda: time.time_ns() // 1000)
        since_us = time.time_ns() // 1000 - round(days * _US_PER_DAY)
        rows = ShiftsOf(query).shifts(unit=unit, badge=badge, since_us=since_us, limit=limit)
    finally:
        store.close()
    if as_json:
        print_json([row.values() for row in rows])
        return
    print_table(_table(rows))


def _table(rows: Iterable[ShiftRow]) -> TextTable:
    table = TextTable("badge", "unit", "start", "state", "hours", "overtime", "km", "zones", "incidents")
    for row in rows:
        shift = row.shift
        table.add_row(
            shift.badge,
            row.unit,
            (iso(shift.started_us) or "-")[:16],
            shift.end_reason or "open",
            ", ".join(f"{name} {_hours(actual, plan)}" for name, plan, actual in shift.hours),
            "-"
            if shift.overtime_s is None
            else f"{shift.overtime_s / 3600:.1f} h {shift.overtime_class}".rstrip(),
            f"{row.distance_m / 1000:.1f}",
            ", ".join(
                f"{zone or 'outside'} {ms / 60_000:.0f} min {reads} reads" for zone, (_, ms, reads) in row.zones
            ),
            f"{shift.incidents}, {row.unanswered} without answers" if row.unanswered else str(shift.incidents),
        )
    return table


def _hours(actual_s: int, planned_s: int | None) -> str:
    return f"{actual_s / 3600:.1f}" + ("" if planned_s is None else f" of {planned_s / 3600:.1f}")

"""``patrol-lpr deployment``: people, zones, plan, rosters, hours, coverage and incidents at the station."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from cli import deployment_reports
from cli.deployment_files import read_people, read_plan
from cli.deployment_shared import (
    DEFAULT_DB,
    CaseOption,
    DaysOption,
    DbOption,
    FromOption,
    GeoOption,
    JsonOption,
    WhyOption,
    clock_us,
    opened,
    period_of,
    planning_of,
    query_of,
    say,
    write_to,
)
from cli.show import TextTable, print_json, print_table
from cli.terminal import beside
from hw.output import output
from protocol.seal.keys import VerifyKey
from protocol.written import WrittenFileError, read_bounded
from station.deployment.model import Asset, Checkpoint
from station.deployment.times import shown
from station.deployment.zones import MAX_FILE_BYTES, position_e7, zones_as_geojson
from station.errors import DeploymentError
from station.retention.purges import clock_doubt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from station.deployment.conflicts import Conflict
    from station.deployment.model import PlannedShift, Settings


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


app = _group("Deployment: people, zones, plan, rosters, hours, coverage, incidents.")
zones_app = _group("Zones, checkpoints, vehicles and equipment.")
people_app = _group("People who can be planned.")
plan_app = _group("Planned shifts.")
roster_app = _group("Rosters made of the plan.")
app.add_typer(zones_app, name="zones")
app.add_typer(people_app, name="people")
app.add_typer(plan_app, name="plan")
app.add_typer(roster_app, name="roster")
deployment_reports.add_to(app)


@app.command()
def settings(
    *,
    time_zone: Annotated[str | None, typer.Option(help="Such as America/Chicago.")] = None,
    overtime_classes: Annotated[
        str | None, typer.Option(help="With commas; the first is that of regular hours.")
    ] = None,
    week_hours: Annotated[float | None, typer.Option(min=1, max=168, help="Regular hours a week.")] = None,
    rest_hours: Annotated[float | None, typer.Option(min=0, max=48, help="Rest between two shifts.")] = None,
    max_shift_hours: Annotated[float | None, typer.Option(min=1, max=48, help="Longest shift.")] = None,
    activities: Annotated[str | None, typer.Option(help="With commas.")] = None,
    tasks: Annotated[str | None, typer.Option(help="With commas.")] = None,
    keep_days: Annotated[
        int | None, typer.Option(min=1, max=36_600, help="Days after which plans and hours are deleted.")
    ] = None,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Show the agency's settings, or change some of them."""
    given = {
        "time_zone": time_zone,
        "week_hours": week_hours,
        "rest_hours": rest_hours,
        "max_shift_hours": max_shift_hours,
        "keep_days": keep_days,
        "overtime_classes": _split(overtime_classes),
        "activities": _split(activities),
        "tasks": _split(tasks),
    }
    changed = {name: value for name, value in given.items() if value is not None}
    with opened(db) as store:
        if changed:
            planning_of(store).change_settings(changed)
        print_json(query_of(store).settings())


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(one.strip() for one in text.split(",") if one.strip())


@zones_app.command("import")
def zones_import(
    file: Annotated[Path, typer.Argument(help="GeoJSON: polygons with the properties id and name.")],
    *,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Add or replace zones; those that cross themselves are refused, overlaps are told."""
    try:
        data = read_bounded(file, MAX_FILE_BYTES)
    except WrittenFileError as error:
        raise DeploymentError(f"{file}: {error}; simplify the zones") from error
    with opened(db) as store:
        zones, pairs = planning_of(store).import_zones(data)
    say(f"{len(zones)} zones taken from {file}")
    for one, other in pairs:
        say(f"{one} and {other} overlap: reads and minutes there count in both")


@zones_app.command("add")
def zones_add(
    kind: Annotated[str, typer.Argument(help="checkpoint, vehicle or equipment.")],
    name: Annotated[str, typer.Argument(help="Its id.")],
    *,
    title: Annotated[str, typer.Option(help="Its name.")] = "",
    at: Annotated[
        str | None, typer.Option(help="Position of a checkpoint: latitude,longitude in degrees.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Id of the unit in a vehicle.")] = "",
    out_of_service: Annotated[str, typer.Option(help="Why it cannot be used.")] = "",
    db: DbOption = DEFAULT_DB,
) -> None:
    """Add or replace a checkpoint, a vehicle or equipment."""
    with opened(db) as store:
        if kind == "checkpoint":
            planning_of(store).put_checkpoint(Checkpoint(name, title or name, *_position(at)))
        else:
            planning_of(store).put_asset(Asset(name, kind, title, unit, out_of_service))
    say(f"{kind} {name} is stored")


def _position(text: str | None) -> tuple[int, int]:
    try:
        lat, lon = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise DeploymentError("give the position as --at 44.02,-99.95: latitude first, in degrees") from None
    return position_e7(lat, lon)


@zones_app.command("drop")
def zones_drop(
    kind: Annotated[str, typer.Argument(help="person, zone, checkpoint, vehicle or equipment.")],
    name: Annotated[str, typer.Argument(help="Its id or badge.")],
    *,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Delete one; refused while a shift that has not ended needs it."""
    with opened(db) as store:
        there = planning_of(store).drop(kind, name)
    say(f"{kind} {name} is deleted" if there else f"there is no {kind} {name}")
    raise typer.Exit(0 if there else 1)


@zones_app.command("show")
def zones_show(*, geojson: GeoOption = None, as_json: JsonOption = False, db: DbOption = DEFAULT_DB) -> None:
    """Show zones, checkpoints, vehicles and equipment."""
    with opened(db) as store:
        places = query_of(store).places()
    resources = places.resources
    if geojson is not None:
        write_to(geojson, lambda file: file.write(_json(zones_as_geojson(resources.zones))))
        return
    if as_json:
        print_json({"resources": resources, "overlaps": places.overlaps})
        return
    table = TextTable("kind", "id", "name", "")
    for zone in resources.zones:
        with_ = [one for pair in places.overlaps if zone.id in pair for one in pair if one != zone.id]
        table.add_row("zone", zone.id, zone.name, f"overlaps with {', '.join(with_)}" if with_ else "")
    for place in resources.checkpoints:
        table.add_row("checkpoint", place.id, place.name, f"{place.lat_e7 / 1e7:.5f} {place.lon_e7 / 1e7:.5f}")
    for asset in resources.assets:
        table.add_row(asset.kind, asset.id, asset.name, asset.out_of_service or asset.unit)
    print_table(table)


@people_app.command("import")
def people_import(
    file: Annotated[
        Path, typer.Argument(help="CSV: badge, name, rights, training_until, overtime_class, pin, active.")
    ],
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Add or replace people, all or none."""
    people = read_people(file)
    with opened(db) as store, _taken_from(file):
        planning_of(store, purpose, case).put_people(people)
    say(f"{len(people)} people taken from {file}")


@people_app.command("show")
def people_show(
    *, purpose: WhyOption, case: CaseOption = None, as_json: JsonOption = False, db: DbOption = DEFAULT_DB
) -> None:
    """Show who can be planned, without the hashes of PINs."""
    with opened(db) as store:
        people = query_of(store, purpose, case).people().people
    if as_json:
        print_json(people)
        return
    table = TextTable("badge", "name", "rights", "training until", "overtime class", "PIN", "")
    for one in people:
        until = "-" if one.training_until is None else str(one.training_until)
        left = "" if one.active else "has left"
        table.add_row(one.badge, one.name, ", ".join(one.rights), until, one.overtime_class, one.pin or "no", left)
    print_table(table)


@plan_app.command("import")
def plan_import(
    file: Annotated[
        Path,
        typer.Argument(help="CSV: id, badge, starts, ends, and what docs/deployment-and-incidents.md lists."),
    ],
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Add or change shifts, all or none; print what was warned of."""
    with opened(db) as store:
        shifts = read_plan(file, query_of(store).settings().zone)
        with _taken_from(file):
            found = planning_of(store, purpose, case).replan(shifts)
    say(f"{len(shifts)} shifts planned")
    _tell(found)


@contextmanager
def _taken_from(file: Path) -> Iterator[None]:
    """What is refused with the rest of the file, or of the plan, has an id and no line."""
    try:
        yield
    except DeploymentError as error:
        raise DeploymentError(f"{file}: nothing was taken: {error}") from error


def _tell(found: dict[str, list[Conflict]]) -> None:
    for name, conflicts in found.items():
        for one in conflicts:
            say(f"{one.severity.value}: {name}: {one.text}")


@plan_app.command("cancel")
def plan_cancel(
    shift: Annotated[str, typer.Argument(help="Id of the planned shift.")],
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Cancel a shift; it stays visible."""
    with opened(db) as store:
        planning_of(store, purpose, case).cancel(shift)
    say(f"{shift} is cancelled")


@plan_app.command("show")
def plan_show(
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    first: FromOption = None,
    days: DaysOption = 7,
    badge: Annotated[str | None, typer.Option(help="Only shifts of this person.")] = None,
    as_json: JsonOption = False,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Show planned shifts with what is wrong with them."""
    with opened(db) as store:
        query = query_of(store, purpose, case)
        since_us, until_us, name = period_of(query.settings(), first, days)
        view = query.plan(since_us, until_us, badge=badge)
    if as_json:
        print_json({"period": name, "shifts": view.shifts, "conflicts": view.conflicts})
        return
    table = TextTable("id", "badge", "from", "to", "hours", "class", "where", "vehicle", "conflicts", title=name)
    for shift in view.shifts:
        table.add_row(*_plan_row(shift, view.settings, view.conflicts.get(shift.id, ())))
    print_table(table)


def _plan_row(shift: PlannedShift, settings: Settings, conflicts: tuple[Conflict, ...]) -> list[str]:
    zone = settings.zone
    return [
        shift.id,
        shift.badge,
        shown(shift.starts_us, zone),
        shown(shift.ends_us, zone),
        f"{shift.length_s / 3600:.2f}",
        shift.overtime_class,
        ", then ".join(part.checkpoint or part.zone or "-" for part in shift.assignments),
        ", then ".join(dict.fromkeys(part.vehicle or "-" for part in shift.assignments)),
        "cancelled" if shift.cancelled else "; ".join(f"{one.severity.value}: {one.text}" for one in conflicts),
    ]


@roster_app.command("export")
def roster_export(
    out: Annotated[Path, typer.Argument(help="File for the unsigned roster, for `patrol-lpr roster sign`.")],
    *,
    purpose: WhyOption,
    case: CaseOption = None,
    first: FromOption = None,
    days: DaysOption = 14,
    token_key: Annotated[Path | None, typer.Option(help="Public key of whoever issues sign-on tokens.")] = None,
    db: DbOption = DEFAULT_DB,
) -> None:
    """Write the roster of the planned shifts; it is signed where the key is."""
    raw = None if token_key is None else VerifyKey.load(token_key).raw.hex()
    with opened(db) as store:
        since_us, until_us, name = period_of(query_of(store).settings(), first, days)
        made, version = planning_of(store, purpose, case).roster(since_us, until_us, token_key=raw)
    with output(out, private=True) as file:
        file.write(made.canonical())
    beside(out).print(
        f"{out}: {len(made.officers)} officers, {len(made.shifts)} shifts, {name}; sign it with --version {version}"
    )


@roster_app.command("offer")
def roster_offer(
    file: Annotated[Path, typer.Argument(help="The signed roster.")],
    units: Annotated[list[str], typer.Argument(help="Ids of the units.")],
    *,
    key: Annotated[Path, typer.Option("--key", help="agency.pub that must have signed it.")],
    db: DbOption = DEFAULT_DB,
) -> None:
    """Verify a signed roster, and offer it to units."""
    with opened(db) as store:
        found = planning_of(store).offer_roster(file, VerifyKey.load_all(key), units)
    say(f"version {found.version} offered to {', '.join(units)}")


@app.command()
def purge(
    *,
    db: DbOption = DEFAULT_DB,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Delete although no record came in the last week.")
    ] = False,
) -> None:
    """Delete plans, hours, coverage and incidents that are older than `keep_days` of the settings."""
    with opened(db) as store:
        doubt = clock_doubt(clock_us(), store)
        if doubt and not trust_clock:
            raise DeploymentError(f"nothing was deleted: {doubt}; check the date, then add --trust-clock")
        gone = planning_of(store).purge_plans()
        kept = query_of(store).kept()
    say(f"{gone:,} rows deleted")
    table = TextTable("kept", "rows", "from")
    for row in kept:
        table.add_row(
            row.kind, f"{row.rows:,}", "-" if row.first_us is None else shown(row.first_us, ZoneInfo("UTC"))
        )
    print_table(table)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"

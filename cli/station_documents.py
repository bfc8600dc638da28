"""Commands of the station that make documents for others: evidence packages, reports, alarm quality."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cli.account import operator
from cli.station_place import (
    CaseOption,
    DbOption,
    JsonOption,
    PurposeOption,
    UnitOption,
    not_the_store,
    now_us,
    opened,
)


def evidence(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of a read or hit, 32 hexadecimal digits.")],
    *,
    out: Annotated[Path, typer.Option(help="FILE.html, with FILE.zip beside it; or FILE.zip alone.")],
    keys: Annotated[Path, typer.Option(help="Folder with the units' public keys and receipt.key.")],
    case_number: Annotated[str, typer.Option("--case", help="Case number, for the audit trail.")],
    purpose: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    db: DbOption = None,
    unit: UnitOption = None,
    c2pa_cert: Annotated[
        Path | None,
        typer.Option("--c2pa-cert", help="Certificate chain for C2PA manifests, PEM; docs/evidence.md."),
    ] = None,
    c2pa_key: Annotated[
        Path | None, typer.Option("--c2pa-key", help="Private key of that certificate, PEM.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a read or hit with all that proves it as a page that verifies itself; recorded before the file appears."""
    from cli import station_evidence  # noqa: PLC0415 - the other commands need none of its parts
    from station.query.evidence import EvidenceOf  # noqa: PLC0415 - as above
    from station.query.trail import Trail  # noqa: PLC0415 - as above

    if (c2pa_cert is None) != (c2pa_key is None):
        raise typer.BadParameter("give both --c2pa-cert and --c2pa-key", param_hint="--c2pa-cert")
    c2pa = None if c2pa_cert is None or c2pa_key is None else (c2pa_cert, c2pa_key)
    asker = operator(purpose, case_number)
    with opened(context, db) as store:
        station_evidence.write(
            EvidenceOf(store, asker, now_us, Trail(store, asker, now_us)),
            identity,
            out,
            keys=keys,
            unit=unit,
            c2pa=c2pa,
            checked=lambda path: not_the_store(context, db, path),
            as_json=as_json,
        )


def report(
    context: typer.Context,
    definition: Annotated[
        str,
        typer.Argument(
            help="An example, a definition of your own that was made on the page, or a file: docs/reports.md."
        ),
    ] = "general",
    *,
    period: Annotated[
        str | None, typer.Option(help="2026, 2026-H1, 2026-Q1 or 2026-05, in the definition's time zone.")
    ] = None,
    lists: Annotated[bool, typer.Option("--list", help="Print the definitions instead.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write every number here; - for standard output.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to be printed here.")] = None,
    db: DbOption = None,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count hits, decisions, reads, purges and look-ups of a period; recorded in the audit trail."""
    from cli import station_reports  # noqa: PLC0415 - the other commands need none of its parts
    from station.reports.make import make_report  # noqa: PLC0415 - as above
    from station.reports.own import OwnDefinitions  # noqa: PLC0415 - as above
    from station.reports.periods import period_of  # noqa: PLC0415 - as above

    if period is None and not lists:
        raise typer.BadParameter("say which period, such as 2026-05", param_hint="--period")
    asker = operator(purpose, case_number)

    def checked(path: Path) -> Path:
        return not_the_store(context, db, path)

    with opened(context, db) as store:
        definitions = OwnDefinitions(store, asker, now_us)
        if lists or period is None:
            station_reports.show_definitions(definitions, as_json=as_json)
            return
        defined = definitions.find(definition)
        made = make_report(store, asker, now_us, period_of(period, defined.timezone))
        station_reports.write(defined, made, csv=csv, html=html, checked=checked)
    if as_json or (csv is None and html is None):
        station_reports.show(defined, made, as_json=as_json)


def alarms(
    context: typer.Context,
    *,
    period: Annotated[str, typer.Option(help="2026, 2026-H1, 2026-Q1 or 2026-05, in the time zone.")],
    timezone: Annotated[str, typer.Option(help="Time zone of the period.")] = "UTC",
    package: Annotated[
        list[Path] | None,
        typer.Option("--list", help="Signed list that was not offered by this station; repeatable."),
    ] = None,
    key: Annotated[list[Path] | None, typer.Option(help="hotlist.pub, with --list; repeatable.")] = None,
    cars: Annotated[
        int | None,
        typer.Option(min=1, help="Reads of the period, if the station does not have them all any more."),
    ] = None,
    db: DbOption = None,
    purpose: PurposeOption = None,
    case_number: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare false alarms with those expected at the import, count confused characters; exit code 1 if they differ."""
    from cli import station_reports  # noqa: PLC0415 - the other commands need none of its parts
    from station.reports.periods import period_of  # noqa: PLC0415 - as above
    from station.reports.quality import make_quality  # noqa: PLC0415 - as above

    asked = period_of(period, timezone)
    figures = station_reports.figures(package or [], key or [])
    asker = operator(purpose, case_number)
    with opened(context, db) as store:
        quality = make_quality(store, asker, now_us, asked, more_figures=figures, cars=cars)
    station_reports.show_quality(quality, as_json=as_json)
    if quality.warnings:
        raise typer.Exit(1)

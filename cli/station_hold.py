"""``patrol-lpr station hold``: legal holds, which keep records from every purge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.account import operator
from cli.show import TextTable, print_done, print_json, print_table
from cli.station_place import DbOption, JsonOption, now_us, opened
from station.query.export import iso
from station.retention.holds import HoldDesk, hold_scope

if TYPE_CHECKING:
    from station.retention.holds import StoredHold

app = typer.Typer(help="Legal holds: records that no purge deletes.", no_args_is_help=True, rich_markup_mode=None)
CaseOption = Annotated[str, typer.Option("--case", help="Case number on whose behalf; recorded.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; recorded.")]


@app.command()
def place(
    context: typer.Context,
    *,
    case_number: CaseOption,
    reason: ReasonOption,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Id of a record, 32 hexadecimal digits; repeatable.")
    ] = None,
    plate: Annotated[
        str | None, typer.Option(help="Reads and hits of this plate; * and ? as in a search.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Records of this unit.")] = None,
    of_case: Annotated[
        str | None, typer.Option(help="Incidents with this case number, with their reads and hits.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Made at or after this time, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Made at or before this time, UTC.")] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep records from every purge, also those that come later; recorded in the audit trail."""
    scope = hold_scope(
        ids=ids or (), plate=plate, unit=unit, case=of_case, since_us=_utc_us(since), until_us=_utc_us(until)
    )
    with opened(context, db) as store:
        hold = HoldDesk(store, operator(), now_us).place(scope, case_number=case_number, reason=reason)
    text = f"hold {hold.statement.number} placed: it keeps {hold.records:,} records now"
    print_done(text, hold_values(hold), as_json=as_json)


@app.command()
def release(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="Number of the hold.")],
    *,
    case_number: CaseOption,
    reason: ReasonOption,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release a hold: the next purge deletes what is due; recorded in the audit trail."""
    with opened(context, db) as store:
        desk = HoldDesk(store, operator(), now_us)
        desk.release(number, case_number=case_number, reason=reason)
    print_done(f"hold {number} released", {"number": number, "released": True}, as_json=as_json)


@app.command("list")
def show(context: typer.Context, db: DbOption = None, as_json: JsonOption = False) -> None:
    """List all holds, also released ones; recorded in the audit trail."""
    with opened(context, db) as store:
        holds = HoldDesk(store, operator(), now_us).holds()
    if as_json:
        print_json([hold_values(hold) for hold in holds])
        return
    table = TextTable("number", "what", "records", "case", "by", "placed", "released")
    for hold in holds:
        told, released = hold.statement, hold.release
        table.add_row(
            str(told.number), str(told.scope), f"{hold.records:,}", told.case_number, told.who, _time(told.utc_us),
            Text("in force", "yellow") if released is None else f"{_time(released.utc_us)} by {released.who}",
        )  # fmt: skip
    print_table(table)


def hold_values(hold: StoredHold) -> dict[str, object]:
    """Return what ``hold list --json`` says of one."""
    told, released = hold.statement, hold.release
    return {
        "number": told.number,
        "scope": told.scope.model_dump(mode="json", by_alias=True, exclude_none=True),
        "records": hold.records,
        "case": told.case_number,
        "why": told.reason,
        "who": told.who,
        "placed": iso(told.utc_us),
        "released": None if released is None else iso(released.utc_us),
        "released_by": None if released is None else released.who,
        "released_why": None if released is None else released.reason,
    }


def _time(utc_us: int) -> str:
    return (iso(utc_us) or "")[:19].replace("T", " ")


def _utc_us(time_utc: datetime | None) -> int | None:
    return None if time_utc is None else round(time_utc.replace(tzinfo=UTC).timestamp() * 1e6)

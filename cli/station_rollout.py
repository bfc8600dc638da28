"""``patrol-lpr station groups`` and ``rollout``: signed files to groups of units, in stages."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import operator
from cli.show import TextTable, print_done, print_json, print_table
from cli.station_place import DbOption, JsonOption, now_us, opened
from protocol.seal.keys import VerifyKey
from station.errors import StoreError
from station.query.export import iso
from station.rollout import Rollouts, RolloutState
from station.signed_files import FileType, verify_file

if TYPE_CHECKING:
    from station.store import Store

groups_app = typer.Typer(
    help="Groups of units, to which lists, policies and updates are rolled out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app = typer.Typer(
    help="Roll signed lists, policies and updates out to groups of units: docs/rollout.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


GroupArgument = Annotated[str, typer.Argument(help="Name of the group.")]
KindArgument = Annotated[str, typer.Argument(help="hotlist, hotlist-2 to hotlist-4, policy or update.")]
PercentOption = Annotated[int, typer.Option(min=1, max=100, help="Share of the units.")]


@groups_app.command("set")
def set_group(
    context: typer.Context,
    group: GroupArgument,
    units: Annotated[list[str], typer.Argument(help="All its units.")],
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the units of a group; recorded in the audit trail."""
    with opened(context, db) as store:
        _rollouts(store).set_group(group, units)
    print_done(
        f"group {group}: {len(set(units))} units", {"group": group, "units": sorted(set(units))}, as_json=as_json
    )


@groups_app.command("remove")
def remove_group(
    context: typer.Context, group: GroupArgument, db: DbOption = None, as_json: JsonOption = False
) -> None:
    """Remove a group; what was offered to its units stays offered; recorded in the audit trail."""
    with opened(context, db) as store:
        _rollouts(store).set_group(group, ())
    print_done(f"group {group} removed", {"group": group, "units": []}, as_json=as_json)


@groups_app.command("show")
def show_groups(context: typer.Context, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show all groups with their units."""
    with opened(context, db) as store:
        found = _rollouts(store).groups()
    if as_json:
        print_json([{"group": name, "units": units} for name, units in found.items()])
        return
    table = TextTable("group", "units")
    for name, units in found.items():
        table.add_row(name, ", ".join(units))
    print_table(table)


@app.command()
def start(
    context: typer.Context,
    what: Annotated[FileType, typer.Argument(help="Type of the file.")],
    group: GroupArgument,
    file: Annotated[Path, typer.Argument(help="The signed file.")],
    *,
    key: Annotated[list[Path], typer.Option("--key", help="Public key that must have signed it; repeatable.")],
    percent: PercentOption = 100,
    slot: Annotated[int, typer.Option(min=1, max=4, help="For a hot list: one of a unit's four.")] = 1,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a signed file and offer it to a share of a group; recorded in the audit trail."""
    with opened(context, db) as store:
        members = _rollouts(store).groups().get(group, [])
        authorities = [each for path in key for each in VerifyKey.load_all(path)]
        found = verify_file(what, file, authorities, slot=slot, units=members)
        count = _rollouts(store).start(
            found.kind, group, file, release=found.version, percent=percent, parts=found.parts, told=found.told
        )
    print_done(
        f"{found.kind} version {found.version} offered to {count} of {len(members)} units of {group}",
        {"kind": found.kind, "group": group, "version": found.version, "offered": count, "units": len(members)},
        as_json=as_json,
    )


@app.command()
def advance(
    context: typer.Context,
    kind: KindArgument,
    group: GroupArgument,
    *,
    percent: PercentOption,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer what was started to a larger or smaller share of the group; recorded in the audit trail."""
    with opened(context, db) as store:
        count = _rollouts(store).advance(kind, group, percent)
    values: dict[str, object] = {"kind": kind, "group": group, "offered": count}
    print_done(f"{kind} offered to {count} units of {group}", values, as_json=as_json)


@app.command()
def stop(
    context: typer.Context,
    kind: KindArgument,
    group: GroupArgument,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw the offers; units keep what they have installed; recorded in the audit trail."""
    with opened(context, db) as store:
        was = _rollouts(store).stop(kind, group)
    text = f"{kind} withdrawn from {group}" if was else f"nothing of kind {kind} is rolled out to {group}"
    print_done(text, {"kind": kind, "group": group, "withdrawn": was}, as_json=as_json)


@app.command()
def show(
    context: typer.Context,
    group: Annotated[str | None, typer.Argument(help="Only this group, with its units.")] = None,
    *,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is rolled out, and which units have it."""
    with opened(context, db) as store:
        rollouts = _rollouts(store)
        states = [one for one in rollouts.states() if group in {None, one.rollout.group}]
        if group is not None and not states and group not in rollouts.groups():
            raise StoreError(f"there is no group {group!r}: see `patrol-lpr station groups show`")
    if as_json:
        print_json([_values(state) for state in states])
        return
    table = TextTable("kind", "group", "version", "share", "offered", "have it", "started", "by")
    for state in states:
        one, total = state.rollout, len(state.units)
        counts = (f"{one.percent} %", f"{state.offered} of {total}", f"{state.has} of {total}")
        table.add_row(one.kind, one.group, str(one.release), *counts, iso(one.started_us) or "", one.who)
    print_table(table)
    if group is not None:
        units = TextTable("unit", "kind", "offered", "has")
        for state in states:
            for unit in state.units:
                has = "?" if unit.has is None else str(unit.has)
                units.add_row(unit.unit, state.rollout.kind, str(unit.offered or "-"), has)
        print_table(units)


def _values(state: RolloutState) -> dict[str, Any]:
    one = state.rollout
    return {
        "kind": one.kind,
        "group": one.group,
        "version": one.release,
        "sha256": one.sha256.hex(),
        "percent": one.percent,
        "offered": state.offered,
        "have": state.has,
        "started": iso(one.started_us),
        "changed": iso(one.changed_us),
        "by": one.who,
        "units": [{"unit": unit.unit, "offered": unit.offered or None, "has": unit.has} for unit in state.units],
    }


def _rollouts(store: Store) -> Rollouts:
    return Rollouts(store, operator(), now_us)

"""``patrol-lpr station backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import operator_name
from cli.show import print_json
from cli.station_place import DbOption, JsonOption, now_us, opened, place_of
from cli.terminal import PlainConsole
from station.query.export import iso
from station.retention.purges import clock_doubt
from station.store import AuditRow, open_store

if TYPE_CHECKING:
    from station.backup import Backup

_DAY_US = 86_400_000_000


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of the backups; each becomes a folder in it.")],
    *,
    db: DbOption = None,
    keep_days: Annotated[
        float | None, typer.Option(min=0, max=36_600, help="Delete backups older than this, but never the newest.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Folder with the keys: their fingerprints are noted, no key is copied.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the station, noted in the backup.")] = "station",
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Delete old ones although no record came in the last week.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the store while the station runs, check the copy, delete old ones; recorded in the audit trail."""
    from protocol.seal import load_keyring  # noqa: PLC0415 - keeps --help fast
    from station.backup import make_backup, read_backup  # noqa: PLC0415 - as above

    ring = None if keys is None else load_keyring(keys)
    began_us = now_us()
    with opened(context, db) as store:
        doubt = "" if keep_days is None or trust_clock else clock_doubt(began_us, store)
        with store.transaction():
            store.audit(AuditRow(began_us, operator_name(), "backup", f"to={folder}", 0))
    made = make_backup(place_of(context, db), folder, began_us, station=name, ring=ring)
    gone = [] if keep_days is None or doubt else _expired(folder, began_us, keep_days)
    if doubt:
        typer.echo(f"no older backup was deleted: {doubt}; check the date, then add --trust-clock", err=True)
    told = read_backup(made)
    if as_json:
        deleted = [str(path) for path in gone]
        print_json({"backup": str(made), **_values(told), "deleted": deleted, "clock_doubt": doubt})
        return
    PlainConsole().print(
        f"{made}: {told.records:,} records, {told.rows.get('pictures', 0):,} pictures, checked"
        f"{f'; {len(gone)} older deleted' if gone else ''}",
    )  # fmt: skip


def _expired(folder: Path, now_us: int, keep_days: float) -> list[Path]:
    """Delete old backups; name those that cannot become old."""
    from station.backup import expire, made_after  # noqa: PLC0415 - keeps --help fast

    for ahead in made_after(folder, now_us):
        typer.echo(
            f"{ahead}: made while the clock was wrong, so that it never expires; delete it by hand", err=True
        )
    return expire(folder, now_us - round(keep_days * _DAY_US), now_us)


def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="One backup.")],
    *,
    db: DbOption = None,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Only check the backup.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a backup and restore it to a file that does not exist, or an empty database; recorded in its trail."""
    from station.backup import restore as restore_backup  # noqa: PLC0415 - keeps --help fast
    from station.backup import verify  # noqa: PLC0415 - as above

    place = place_of(context, db)
    told = verify(folder) if verify_only else restore_backup(folder, place)
    if not verify_only:
        store = open_store(place, must_exist=True)
        try:
            with store.transaction():
                made = iso(told.made_us)
                store.audit(
                    AuditRow(now_us(), operator_name(), "restore", f"from={folder} made={made}", told.records)
                )
        finally:
            store.close()
    if as_json:
        print_json({"backup": str(folder), "restored": not verify_only, **_values(told)})
        return
    console = PlainConsole()
    console.print(f"{folder}: made {iso(told.made_us)}, {told.records:,} records, valid")
    if not verify_only:
        console.print(
            "restored. What came after this backup is not in it, and the units have deleted what was receipted: "
            "`patrol-lpr station audit` shows those numbers as missing. Check the rest with `patrol-lpr station check`"
        )


def _values(told: Backup) -> dict[str, Any]:
    return {
        "made": iso(told.made_us),
        "station": told.station,
        "kind": told.kind,
        "records": told.records,
        "rows": told.rows,
        "keys": told.keys,
    }

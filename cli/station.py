"""``patrol-lpr station``: receive, offer, check and delete."""

from __future__ import annotations

import sys
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cli import (
    station_backup,
    station_config,
    station_documents,
    station_hold,
    station_log,
    station_look_ups,
    station_metrics,
    station_outputs,
    station_rollout,
)
from cli.account import operator, operator_name
from cli.show import print_done, print_json, print_table
from cli.station_check import print_check
from cli.station_place import (
    DEFAULT_DB,
    DbOption,
    JsonOption,
    asking,
    commands_on,
    not_the_store,
    now_us,
    opened,
    place_named,
    place_of,
)
from cli.station_tables import (
    audit_table,
    conflict_lines,
    counters_table,
    purge_table,
    ranges_table,
    sequence_values,
    unit_values,
    units_table,
)
from cli.station_web import accounts_app, web, web_settings
from cli.terminal import PlainConsole
from hw.config import MQTT_PORT
from protocol.seal import Opener, VerifyKey, load_keyring
from protocol.update.envelope import verify_update
from protocol.written import MAX_SECRET_BYTES, WrittenFileError, read_written
from station.audit_log.checkpoints import Checkpointer
from station.errors import StoreError
from station.ingest import IngestLimits, Quota
from station.query.versions import Versions
from station.retention.purges import Purger
from station.retention.schedule import load_packs
from station.store import AuditRow, is_address, move_store

_MEBI = 2**20
_MAX_PORT = 65_535


class Protocol(StrEnum):
    """MQTT versions."""

    FIVE = "5"
    THREE = "3.1.1"


app = typer.Typer(
    help="Station: receive, show, export and delete reads.", add_completion=False, rich_markup_mode=None
)
app.add_typer(station_outputs.app, name="outputs")
app.add_typer(station_config.app, name="config")
app.add_typer(station_hold.app, name="hold")
app.add_typer(station_rollout.groups_app, name="groups")
app.add_typer(station_rollout.app, name="rollout")
app.command()(station_look_ups.reads)
app.command()(station_look_ups.show)
app.command("hits")(station_look_ups.show_hits)
app.command()(station_look_ups.search)
app.command()(station_look_ups.export)
app.command("metrics")(station_metrics.serve)
app.command("backup")(station_backup.backup)
app.command("restore")(station_backup.restore)
app.command()(station_documents.evidence)
app.command()(station_documents.report)
app.command()(station_documents.alarms)


app.command()(web)
app.add_typer(accounts_app, name="account")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    *,
    db: DbOption = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(help="HOST[:PORT] of a broker, once for each; if omitted, an embedded one."),
    ] = None,
    host: Annotated[str, typer.Option(help="Loopback address of the embedded broker.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the embedded broker; 0 selects a free one.")
    ] = MQTT_PORT,
    protocol: Annotated[Protocol, typer.Option(help="MQTT version, with --broker.")] = Protocol.FIVE,
    name: Annotated[str, typer.Option(help="Name of this station, included in every receipt.")] = "station",
    units: Annotated[str | None, typer.Option(help="Comma-separated units to accept; if omitted, all.")] = None,
    username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File whose first line is the password.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Trusted authorities, PEM; enables TLS.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate of the station, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of the station, PEM.")] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Folder with station*.key, receipt.key, log.key and unit-ID.pub; if omitted, records are unencrypted."
        ),
    ] = None,
    max_records: Annotated[
        int,
        typer.Option(
            min=1, max=2**31 - 1, help="Records that a unit may send in a day; what is above waits in the unit."
        ),
    ] = Quota().records,
    max_mib: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="MiB of records and pictures that a unit may send in a day.")
    ] = Quota().size_bytes // _MEBI,
    allow_open: Annotated[bool, typer.Option(help="With --keys: also accept unencrypted records.")] = False,
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="Signed policy by whose periods records are deleted on time; repeatable."),
    ] = None,
    policy_key: Annotated[Path | None, typer.Option(help="policy.pub that must have signed the policies.")] = None,
    delete_expired: Annotated[
        bool,
        typer.Option(help="Delete records at their expiry, plans after keep_days; not with --no-delete-expired."),
    ] = True,
    metrics: Annotated[
        str | None, typer.Option(help="Serve counters for Prometheus on this loopback ADDRESS:PORT.")
    ] = None,
    web: Annotated[
        str | None, typer.Option(help="HOST:PORT of the page; with the embedded broker 127.0.0.1:8480 if omitted.")
    ] = None,
    no_web: Annotated[bool, typer.Option("--no-web", help="Serve no page.")] = False,
    web_cert: Annotated[
        Path | None, typer.Option(help="Certificate of the page, PEM; needed beyond loopback.")
    ] = None,
    web_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    web_name: Annotated[list[str] | None, typer.Option(help="A name by which browsers reach the page.")] = None,
    web_map: Annotated[Path | None, typer.Option(help="The agency's own map, a PMTiles file.")] = None,
) -> None:
    """Receive reads until Ctrl-C; with a command, show, export or delete stored reads."""
    context.obj = db
    if context.invoked_subcommand is not None:
        return
    from cli.station_serve import receive  # noqa: PLC0415 - as above
    from station.broker import EmbeddedBroker  # noqa: PLC0415 - the other commands need no network
    from station.service import BrokerAddress  # noqa: PLC0415 - as above

    allowed = None if units is None else frozenset(part.strip() for part in units.split(",") if part.strip())
    path = place_named(db or DEFAULT_DB)
    has_web = not no_web and (web is not None or not broker)
    page = web_settings(web, web_cert, web_key, web_name, name, map_tiles=web_map) if has_web else None
    limits = IngestLimits(quota=Quota(max_records, max_mib * _MEBI))
    ring = None if keys is None else load_keyring(keys)
    opener = None if ring is None else Opener(ring)
    if policy and policy_key is None:
        raise typer.BadParameter("policies are signed: give --policy-key policy.pub", param_hint="--policy")
    packs = () if policy_key is None else load_packs(policy or (), [VerifyKey.load(policy_key)])
    if opener is not None and not opener.signs:
        typer.echo(
            f"{keys}: no receipt.key: units that require signed receipts will ignore this station", err=True
        )
    serve_all = partial(
        receive,
        path,
        name=name,
        units=allowed,
        opener=opener,
        sealed_only=keys is not None and not allow_open,
        ring=ring,
        packs=packs,
        deletes=delete_expired,
        metrics=metrics,
        limits=limits,
        web=page,
        web_is_default=web is None and not broker,
    )
    if not broker:
        embedded = EmbeddedBroker(host, port)
        try:
            raise typer.Exit(serve_all([BrokerAddress(host, embedded.start(), five=False)]))
        finally:
            embedded.close()
    addresses = [
        BrokerAddress(
            broker_host,
            broker_port,
            five=protocol is Protocol.FIVE,
            username=username,
            password=None if password_file is None else _password(password_file),
            ca=ca,
            cert=cert,
            key=key,
        )
        for broker_host, broker_port in map(_address, broker)
    ]
    raise typer.Exit(serve_all(addresses))


@app.command("units")
def show_units(
    context: typer.Context,
    db: DbOption = None,
    counters: Annotated[str | None, typer.Option(help="Show all counters of this unit.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show units: last seen, missing and evicted records, releases, lists and policies, counters."""
    with opened(context, db) as store:
        query = Versions(store, operator(), now_us)
        rows = query.units() if counters is None else []
        files = query.files(row.unit for row, _ in rows) if rows else {}
        health = None if counters is None else query.health(counters)
    if counters is None and as_json:
        print_json([unit_values(row, gaps, files[row.unit]) for row, gaps in rows])
    elif counters is None:
        print_table(units_table(rows, files))
    elif health is None:
        raise typer.BadParameter(f"unit {counters!r} has sent no health message yet", param_hint="--counters")
    elif as_json:
        print_json({"unit": counters, "counters": health.counters, "gauges": health.gauges})
    else:
        print_table(counters_table(sorted({**health.counters, **health.gauges}.items()), title=counters))


@app.command()
def offer(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    file: Annotated[Path, typer.Argument(help="The update, from `patrol-lpr update make`.")],
    *,
    key: Annotated[Path, typer.Option(help="release.pub that must have signed the update.")],
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer an update to a unit, replacing any earlier offer; recorded in the audit trail."""
    try:
        with file.open("rb") as update:
            manifest = verify_update(update, VerifyKey.load(key))
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error
    if not any(fnmatchcase(unit, pattern) for pattern in manifest.units):
        raise typer.BadParameter(f"the update is for {', '.join(manifest.units)}, not for {unit}")
    with opened(context, db) as store:
        commands_on(store).offer(unit, manifest, file)
    values: dict[str, object] = {"unit": unit, "release": manifest.release}
    print_done(f"release {manifest.release} offered to {unit}", values, as_json=as_json)


@app.command()
def withdraw(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw the offer to a unit; an update that is already staged stays; recorded in the audit trail."""
    with opened(context, db) as store:
        was = commands_on(store).withdraw(unit)
    text = f"offer to {unit} withdrawn" if was else f"there is no offer to {unit}"
    print_done(text, {"unit": unit, "withdrawn": was}, as_json=as_json)


@app.command()
def purge(  # noqa: PLR0917 - typer passes options by name
    context: typer.Context,
    days: Annotated[float, typer.Option(min=0, max=36_600, help="Delete records older than this.")],
    db: DbOption = None,
    retention: Annotated[str | None, typer.Option(help="Only this retention class; if omitted, all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Delete although no record came in the last week.")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option(help="The station's keys: log.key signs a checkpoint after the purge.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which old records would be deleted, ask, and delete them with their pictures; recorded in the trail."""
    console = PlainConsole()
    with opened(context, db) as store:
        commands = commands_on(store)
        preview = commands.preview_purge(days, retention=retention)
        if preview.classes and not as_json:
            print_table(purge_table(preview.classes), console)
        if preview.clock_doubt and not trust_clock:
            raise StoreError(f"nothing was deleted: {preview.clock_doubt}; check the date, then add --trust-clock")
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete {preview.records:,} records?")):
            due: dict[str, object] = {"due": preview.records, "records": 0, "pictures": 0}
            print_done("nothing was deleted: --yes deletes", due, as_json=as_json)
            return
        ring = station_log.ring_of(keys)
        gone = commands.purge(days, retention=retention)
        if ring.log is not None:
            Checkpointer(store, ring.log, now_us).make()
    done: dict[str, object] = {"due": preview.records, "records": gone.records, "pictures": gone.pictures}
    print_done(f"{gone.records:,} records and {gone.pictures:,} pictures deleted", done, as_json=as_json)


@app.command()
def migrate(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", help="An empty database: postgresql://USER@HOST/DATABASE.")],
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the station's file into PostgreSQL, with all records and proofs; recorded in the new audit trail."""
    source = place_of(context, db)
    if isinstance(source, str):
        raise typer.BadParameter("only a station's file can be copied", param_hint="--db")
    if not is_address(to):
        raise typer.BadParameter(f"{to!r} is not postgresql://USER@HOST/DATABASE", param_hint="--to")
    entry = AuditRow(now_us(), operator_name(), "migrate", f"file={source.name}", 0)
    records, proofs, pictures = move_store(source, to, entry)
    print_done(
        f"{records:,} records with {proofs:,} proofs and {pictures:,} pictures copied; "
        f"start the stations with --db postgresql://..., and keep {source} as a backup only",
        {"records": records, "proofs": proofs, "pictures": pictures},
        as_json=as_json,
    )


@app.command()
def check(
    context: typer.Context,
    *,
    keys: Annotated[Path, typer.Option(help="Folder with the units' public keys.")],
    new: Annotated[
        list[str] | None, typer.Option(help="A unit with a key that has not sent anything yet; may be repeated.")
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare all that is stored, searched and shown with what the units signed; recorded in the audit trail."""
    with asking(context, db) as query:
        report = query.check(load_keyring(keys), new=frozenset(new or ()))
    if as_json:
        print_json(
            {
                "verified": report.is_right,
                "units": report.units,
                "faults": report.faults,
                "silent": report.silent,
                "log": report.log,
            }
        )
    else:
        print_check(report)
    if not report.is_right:
        raise typer.Exit(1)


@app.command()
def audit(
    context: typer.Context,
    *,
    db: DbOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the audit log here, for `patrol-lpr verify`; needs --keys.")
    ] = None,
    entry: Annotated[
        list[int] | None, typer.Option(help="With --export: only this entry, with its proof; repeatable.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="The station's keys; log.key signs a checkpoint.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show per unit and life what was received, lost, missing and removed, and who asked; or export the audit log."""
    if export is not None:
        if keys is None:
            raise typer.BadParameter("the file contains public keys: give --keys FOLDER", param_hint="--keys")
        with asking(context, db) as query:
            station_log.export_log(query, not_the_store(context, db, export), keys, entry or [])
        return
    with asking(context, db) as query:
        rows = query.audit_trail()
        ranges = query.sequences()
    if as_json:
        print_json({"sequences": [sequence_values(row) for row in ranges], "audit": rows})
    else:
        print_table(ranges_table(ranges))
        print_table(audit_table(rows))
        for line in conflict_lines(ranges):
            PlainConsole().print(line, style="red")
    if any(row.missing or row.removed or row.conflicts for row in ranges):
        raise typer.Exit(1)


@app.command("log")
def show_log(context: typer.Context, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show the state of the audit log: size, latest signed checkpoint, units that witnessed it."""
    with asking(context, db) as query:
        state = query.log_state()
    station_log.show_state(state, as_json=as_json)
    if state.refused_by:
        raise typer.Exit(1)


@app.command()
def purges(
    context: typer.Context,
    *,
    db: DbOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the certificate of --number here, with its proof; needs --keys.")
    ] = None,
    number: Annotated[int | None, typer.Option(help="Number of the purge, with --export.")] = None,
    keys: Annotated[Path | None, typer.Option(help="The station's keys; log.key signs a checkpoint.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the certificates of purges, or export one with the proof that the audit log has it."""
    if export is not None:
        if number is None or keys is None:
            raise typer.BadParameter("give --number N and --keys FOLDER", param_hint="--export")
        with asking(context, db) as query:
            station_log.export_certificate(query, not_the_store(context, db, export), keys, number)
        return
    with opened(context, db) as store:
        found = Purger(store, operator(None, None), now_us).stored()
    station_log.show_purges(found, as_json=as_json)


def _address(text: str) -> tuple[str, int]:
    """Parse ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(MQTT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port[:6]) <= _MAX_PORT:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT", param_hint="--broker")
    return host, int(port)


def _password(path: Path) -> str:
    try:
        return read_written(path, MAX_SECRET_BYTES).splitlines()[0]
    except (OSError, WrittenFileError, IndexError) as error:
        raise typer.BadParameter(f"{path} cannot be used: {error}", param_hint="--password-file") from error

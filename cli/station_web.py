"""The station's web application and its accounts, on the command line."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import operator
from cli.show import TextTable, print_done, print_json, print_table
from cli.station_place import DbOption, JsonOption, now_us, place_of
from cli.terminal import PlainConsole
from protocol.notify import Notifier
from protocol.seal.keys import load_unit_keys
from protocol.written import MAX_SECRET_BYTES, WrittenFileError, read_written
from station.accounts.rights import Role
from station.asker import EVERYTHING, Asker, Scope
from station.errors import WebError
from station.metrics.server import start_metrics
from station.query.export import iso
from station.store import open_store
from station.web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from protocol.seal import KeyRing
    from station.accounts.accounts import Accounts
    from station.store import AccountRow, Store
    from station.web.desk import OidcPort
    from station.web.serve import WebServer

DEFAULT_PORT = 8480
_NEEDS_EXTRA = (
    "the page and its accounts need the extra `station`: in the checkout, pip install -e '.[station]'; or --no-web"
)
_MAX_PORT = 65_535
_FIRST = (
    ("admin", "First administrator", Role.ADMINISTRATOR),
    ("supervisor", "First supervisor", Role.SUPERVISOR),
)
"""Nobody both looks and decides who may: so there are two."""

accounts_app = typer.Typer(
    help="Accounts of the station's pages.", add_completion=False, rich_markup_mode=None, no_args_is_help=True
)
NameArgument = Annotated[str, typer.Argument(help="Name of the account.")]
AddressOption = Annotated[str, typer.Option("--address", help="Address of the page, for the printed link.")]
_ADDRESS = f"http://127.0.0.1:{DEFAULT_PORT}"


def web_settings(
    web: str | None,
    cert: Path | None,
    key: Path | None,
    names: list[str] | None,
    station: str,
    *,
    map_tiles: Path | None = None,
) -> WebSettings:
    """Return the settings of ``HOST:PORT``.  Raises WebError."""
    if map_tiles is not None and not _is_tiles(map_tiles):
        raise WebError(f"{map_tiles} is no PMTiles file: give one of version 3 with --web-map, or leave it out")
    host, port = "127.0.0.1", DEFAULT_PORT
    if web is not None:
        before, colon, after = web.rpartition(":")
        if not colon or not before or not after.isdecimal() or int(after) > _MAX_PORT:
            raise WebError(f"{web!r} is not HOST:PORT, such as 0.0.0.0:8443 or [::1]:{DEFAULT_PORT}")
        host, port = before.removeprefix("[").removesuffix("]"), int(after)
    return WebSettings(host, port, tuple(names or ()), cert, key, station, map_tiles)


def _is_tiles(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"PMTiles\x03"
    except OSError:
        return False


def start_web(
    db: Path | str, settings: WebSettings, ring: KeyRing | None, *, is_default: bool, console: Console
) -> tuple[WebServer, Store]:
    """Serve the pages in a thread, with a connection to the database of their own; say where.  Raises WebError."""
    server, store = make_server(db, settings, ring, is_default=is_default)
    server.start()
    say_where(server, store, console)
    return server, store


def make_server(
    db: Path | str,
    settings: WebSettings,
    ring: KeyRing | None,
    oidc: OidcPort | None = None,
    *,
    is_default: bool,
    notifier: Notifier | None = None,
) -> tuple[WebServer, Store]:
    """Return a server that listens.  At the default address another port is taken if that one is in use."""
    try:
        from station.web.serve import WebServer  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise WebError(_NEEDS_EXTRA) from error
    store = open_store(db)
    try:
        try:
            return WebServer(store, settings, now_us, ring=ring, oidc=oidc, notifier=notifier), store
        except WebError:
            if not is_default:
                raise
            return WebServer(store, replace(settings, port=0), now_us, ring=ring, oidc=oidc), store
    except BaseException:
        store.close()
        raise


def say_where(server: WebServer, store: Store, console: Console) -> None:
    """Print the address; if nobody can log in yet, the links of the first accounts, on a terminal alone."""
    console.print(f"page at {server.address}")
    rows = store.accounts.all()
    if any(row.password is not None for row in rows):
        return
    if not console.is_terminal:
        # A pipe is a log.
        console.print("nobody can log in yet: patrol-lpr station account add NAME --role administrator")
        return
    known = {row.name for row in rows}
    by = Asker("station")
    for name, full_name, role in _FIRST:
        if name in known:
            link = server.accounts.reset(by, name)
        elif rows:
            continue
        else:
            link = server.accounts.add(by, name, full_name=full_name, role=role, scope=EVERYTHING)
        console.print(
            f"set up the {role} account {name!r} within a day: {server.address}/set-up/{link}",
        )  # fmt: skip


def web(
    context: typer.Context,
    *,
    db: DbOption = None,
    web: Annotated[str, typer.Option("--web", help="HOST:PORT to listen at.")] = f"127.0.0.1:{DEFAULT_PORT}",
    web_cert: Annotated[Path | None, typer.Option(help="Certificate, PEM; needed beyond loopback.")] = None,
    web_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    web_name: Annotated[list[str] | None, typer.Option(help="A name by which browsers reach it.")] = None,
    web_map: Annotated[Path | None, typer.Option(help="The agency's own map, a PMTiles file.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder with unit-ID.pub, to verify signatures.")] = None,
    oidc_issuer: Annotated[str | None, typer.Option(help="Issuer of the agency's log-in service.")] = None,
    oidc_client: Annotated[str, typer.Option(help="Id of this station at it.")] = "",
    oidc_secret_file: Annotated[Path | None, typer.Option(help="File whose first line is its secret.")] = None,
    oidc_address: Annotated[str, typer.Option(help="Address of these pages, as registered there.")] = "",
    name: Annotated[str, typer.Option(help="Name of this station, shown on every page.")] = "station",
    metrics: Annotated[str | None, typer.Option(help="ADDRESS:PORT for its own counters, on loopback.")] = None,
) -> None:
    """Serve the pages alone, beside workers that receive; until Ctrl-C."""
    settings = web_settings(web, web_cert, web_key, web_name, name, map_tiles=web_map)
    ring = None if keys is None else load_unit_keys(keys)
    oidc = _oidc(oidc_issuer, oidc_client, oidc_secret_file, oidc_address)
    server, store = make_server(place_of(context, db), settings, ring, oidc, is_default=False, notifier=Notifier())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    exporter = None
    try:
        exporter = None if metrics is None else start_metrics(metrics, server.requests.samples)
        say_where(server, store, PlainConsole())
        server.run()
    finally:
        if exporter is not None:
            exporter.close()
        server.close()
        store.close()


def _oidc(issuer: str | None, client: str, secret_file: Path | None, address: str) -> OidcPort | None:
    """Return the agency's log-in service; None without an issuer.  Raises WebError."""
    if issuer is None:
        return None
    if not client or secret_file is None or not address.startswith("https://"):
        raise WebError("--oidc-issuer needs --oidc-client, --oidc-secret-file and --oidc-address https://...")
    if not issuer.startswith("https://"):
        # Whoever is on the way could say who somebody is: the service's keys come from there, too.
        raise WebError(f"--oidc-issuer {issuer} must be https://...")
    try:
        from station.accounts.oidc import OidcClient, OidcSettings  # noqa: PLC0415 - an extra

        secret = read_written(secret_file, MAX_SECRET_BYTES).splitlines()[0]
    except ImportError as error:
        raise WebError("log-in by OIDC needs the extra `oidc`: pip install -e '.[station,oidc]'") from error
    except (OSError, IndexError, WrittenFileError) as error:
        raise WebError(f"{secret_file} cannot be used: {error}") from error
    return OidcClient(OidcSettings(issuer, client, secret, address), now_us)


@accounts_app.command()
def add(
    context: typer.Context,
    name: NameArgument,
    *,
    role: Annotated[Role, typer.Option(help="What the person is at this station.")],
    full_name: Annotated[str, typer.Option(help="Name of the person.")],
    agency: Annotated[list[str] | None, typer.Option(help="Only units of this agency; repeatable.")] = None,
    unit: Annotated[list[str] | None, typer.Option(help="Only this unit; repeatable.")] = None,
    zone: Annotated[
        list[str] | None, typer.Option(help="Only what was made in this zone, by its id; repeatable.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Who they are at the agency's log-in service (OIDC).")
    ] = None,
    db: DbOption = None,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Make an account; print the link with which its person sets a password and a second factor."""
    scope = Scope(*(frozenset(names) if names else None for names in (agency, unit, zone)))
    with _accounts(context, db) as accounts:
        link = accounts.add(operator(), name, full_name=full_name, role=role.value, scope=scope, subject=subject)
    _print_link(address, link, name, as_json=as_json)


@accounts_app.command("list")
def list_accounts(context: typer.Context, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show all accounts."""
    with _accounts(context, db, must_exist=True) as accounts:
        rows = accounts.all()
    if as_json:
        print_json([_values(row) for row in rows])
        return
    table = TextTable("name", "person", "role", "agencies", "units", "zones", "state", "second factor", "made")
    for row in rows:
        values = _values(row)
        limits = (_names(names) for names in (row.scope.agencies, row.scope.units, row.scope.zones))
        table.add_row(
            row.name, row.full_name, row.role, *limits, str(values["state"]),
            "yes" if values["second_factor"] else "no", (iso(row.created_us) or "")[:10],
        )  # fmt: skip
    print_table(table)


@accounts_app.command()
def disable(context: typer.Context, name: NameArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Disable an account; its sessions and tokens end."""
    with _accounts(context, db, must_exist=True) as accounts:
        accounts.disable(operator(), name)
    print_done(f"{name} disabled", {"name": name, "disabled": True}, as_json=as_json)


@accounts_app.command()
def enable(context: typer.Context, name: NameArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Enable an account again."""
    with _accounts(context, db, must_exist=True) as accounts:
        accounts.disable(operator(), name, disabled=False)
    print_done(f"{name} enabled", {"name": name, "disabled": False}, as_json=as_json)


@accounts_app.command()
def reset(
    context: typer.Context,
    name: NameArgument,
    db: DbOption = None,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Take password and second factor of an account away; print a new link."""
    with _accounts(context, db, must_exist=True) as accounts:
        link = accounts.reset(operator(), name)
    _print_link(address, link, name, as_json=as_json)


@contextmanager
def _accounts(context: typer.Context, db: str | None, *, must_exist: bool = False) -> Iterator[Accounts]:
    """The accounts of a station's database, for one command; only the first account may make it."""
    try:
        from station.accounts.accounts import Accounts  # noqa: PLC0415 - an extra
        from station.accounts.passwords import Passwords, argon2id  # noqa: PLC0415 - as above
    except ImportError as error:
        raise WebError(_NEEDS_EXTRA) from error
    store = open_store(place_of(context, db), must_exist=must_exist)
    try:
        yield Accounts(store, now_us, Passwords(argon2id()), second_factor=True)
    finally:
        store.close()


def _print_link(address: str, link: str, name: str, *, as_json: bool) -> None:
    whole = f"{address.rstrip('/')}/set-up/{link}"
    if as_json:
        print_json({"name": name, "link": whole})
    else:
        sys.stdout.write(f"{whole}\n")
    PlainConsole(stderr=True).print("the link works once, for a day: give it to the person alone")


def _values(row: AccountRow) -> dict[str, object]:
    state = "disabled" if row.disabled else "ready" if row.password is not None else "to be set up"
    return {
        "name": row.name,
        "full_name": row.full_name,
        "role": row.role,
        "agencies": None if row.scope.agencies is None else sorted(row.scope.agencies),
        "units": None if row.scope.units is None else sorted(row.scope.units),
        "zones": None if row.scope.zones is None else sorted(row.scope.zones),
        "state": state,
        "second_factor": row.password is not None and row.totp is not None,
        "subject": row.subject,
        "made": iso(row.created_us),
    }


def _names(names: frozenset[str] | None) -> str:
    return "all" if names is None else ", ".join(sorted(names))

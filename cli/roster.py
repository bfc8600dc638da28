"""``patrol-lpr roster``: make, sign, inspect and offer rosters; hash PINs; make sign-on tokens."""

from __future__ import annotations

import datetime as dt
import getpass
import secrets
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import operator
from cli.roster_source import roster_from
from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole, beside
from hw.output import output
from hw.paths import CONFIG_DIR, CONFIG_FILE
from protocol.errors import RosterError
from protocol.roster.envelope import KIND, MAX_FILE_BYTES, roster_header, sign_roster, verify_roster
from protocol.roster.roster import MAX_ROSTER_BYTES, parse_roster
from protocol.roster.token import Token, sign_token
from protocol.seal.keys import SigningKey, VerifyKey
from protocol.signed_file import refuse_unless_newer

if TYPE_CHECKING:
    from protocol.roster.envelope import SignedRoster

app = typer.Typer(
    help="Rosters: who may sign on, zones, planned shifts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_DAY_S = 86_400
_AGENCY_KEY = CONFIG_DIR / "agency.pub"
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PublicOption = Annotated[Path, typer.Option("--key", help="agency.pub that must have signed it.")]
SignedArgument = Annotated[Path, typer.Argument(help="The signed roster.")]


@app.command()
def pin() -> None:
    """Hash a PIN for a roster; it is asked for twice, or read from standard input."""
    from agent.shift.pins import Argon2Pins  # noqa: PLC0415 - the other commands need no argon2

    if sys.stdin.isatty():
        given = getpass.getpass("PIN: ")
        if getpass.getpass("again: ") != given:
            raise typer.BadParameter("the two are different: try again")
    else:
        given = sys.stdin.readline().rstrip("\n")
    try:
        made = Argon2Pins().hash(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    sys.stdout.write(f"{made}\n")


@app.command()
def make(
    source: Annotated[Path, typer.Argument(help="The roster as TOML: docs/shifts.md.")],
    out: Annotated[Path, typer.Argument(help="File for the unsigned roster, JSON.")],
    zones: Annotated[Path | None, typer.Option(help="GeoJSON with further zones.")] = None,
) -> None:
    """Check a roster and write it, for `patrol-lpr roster sign` where the key is."""
    roster = roster_from(source, zones)
    with output(out, private=True) as file:
        file.write(roster.canonical())
    beside(out).print(
        f"{out}: {len(roster.officers)} officers, {len(roster.zones)} zones, {len(roster.shifts)} planned shifts; "
        "not signed yet",
    )  # fmt: skip


@app.command()
def sign(
    roster: Annotated[Path, typer.Argument(help="The roster, from `patrol-lpr roster make`.")],
    out: Annotated[Path, typer.Argument(help="File for the signed roster.")],
    *,
    key: Annotated[Path, typer.Option(help="agency.key, from `patrol-lpr keys agency`.")],
    version: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of the roster; must increase.")],
    id: Annotated[str, typer.Option(help="Name of this series of rosters.")] = KIND,  # noqa: A002 - the option's name
    owner: Annotated[str, typer.Option(help="Agency that is responsible for it.")] = "",
    unit: Annotated[
        list[str] | None,
        typer.Option("--unit", help="Id or pattern of units; repeatable; if omitted, the whole fleet."),
    ] = None,
    days: Annotated[
        float, typer.Option(min=0.01, max=36_600, help="Days after which nobody signs on with it.")
    ] = 30,
) -> None:
    """Sign a roster."""
    checked = parse_roster(_read(roster, MAX_ROSTER_BYTES))
    now_s = int(time.time())
    header = roster_header(
        checked,
        id=id,
        version=version,
        as_of_s=now_s,
        owner=owner,
        units=tuple(unit or ("*",)),
        expires_s=now_s + round(days * _DAY_S),
    )
    signed = sign_roster(checked, header, SigningKey.load(key))
    with output(out, private=True) as file:
        file.write(signed)
    beside(out).print(f"{out}: version {version}, {len(signed):,} bytes")


@app.command()
def inspect(file: SignedArgument, key: PublicOption = _AGENCY_KEY, *, as_json: JsonOption = False) -> None:
    """Verify a signed roster and print it, without the hashes of PINs."""
    found = _verified(file, key)
    header, roster = found.header, found.roster
    if as_json:
        contents = roster.model_dump(mode="json", exclude={"officers": {"__all__": {"pin"}}})
        print_json({"header": header.model_dump(mode="json"), **contents})
        return
    until = "-" if header.expires_s is None else _utc(header.expires_s)
    PlainConsole().print(
        f"version {header.version} of {header.id} {header.owner}, for {', '.join(header.units)}, "
        f"from {_utc(header.as_of_s)} to {until}; {len(roster.zones)} zones, {len(roster.shifts)} planned shifts",
    )  # fmt: skip
    table = TextTable("badge", "name", "rights", "PIN", "training until")
    for officer in roster.officers:
        expires_s = officer.training_expires_s
        table.add_row(
            officer.badge,
            officer.name,
            ", ".join(officer.rights),
            "yes" if officer.pin else "no",
            "-" if expires_s is None else _utc(expires_s),
        )
    print_table(table)


@app.command()
def token(
    badge: Annotated[str, typer.Argument(help="Badge of the officer.")],
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    *,
    key: Annotated[Path, typer.Option(help="Private key whose public half is `token_key` of the roster.")],
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="Minutes during which it can be used.")] = 10,
) -> None:
    """Print a sign-on token, to be used once on one unit instead of a PIN."""
    now_s = int(time.time())
    made = Token(
        badge=badge,
        unit=unit,
        not_before_s=now_s,
        expires_s=now_s + round(minutes * 60),
        nonce=secrets.token_hex(16),
    )
    sys.stdout.write(sign_token(made, SigningKey.load(key)) + "\n")


@app.command()
def offer(
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    file: SignedArgument,
    *,
    key: PublicOption = _AGENCY_KEY,
    db: Annotated[str, typer.Option("--db", help="Database of the station, or postgresql://...")] = "station.db",
) -> None:
    """At the station: offer a roster to a unit; recorded in the audit trail."""
    from cli.station_place import place_named  # noqa: PLC0415
    from station.commands import Commands  # noqa: PLC0415 - the other commands need no station
    from station.store import open_store  # noqa: PLC0415

    found = _verified(file, key)
    refuse_unless_newer(found.header, unit=unit, in_force=0, now_s=time.time())
    store = open_store(place_named(db), must_exist=True)
    try:
        commands = Commands(store, operator(), lambda: time.time_ns() // 1000)
        commands.offer_file(unit, KIND, file, release=found.version)
    finally:
        store.close()
    PlainConsole().print(f"version {found.version} of the roster offered to {unit}")


@app.command()
def install(
    file: SignedArgument,
    config: Annotated[Path, typer.Option("--config", help="Configuration file of the unit.")] = CONFIG_FILE,
) -> None:
    """On the unit: install a roster from a file; used from the next start of the agent."""
    from agent.runtime.config import load_config  # noqa: PLC0415 - as above
    from agent.runtime.roster_file import RosterFile  # noqa: PLC0415

    unit = load_config(config)
    place = RosterFile(unit.state_dir, unit.shift.roster_key, unit.unit)
    found = _verified(file, unit.shift.roster_key)
    before = place.load()
    refuse_unless_newer(
        found.header, unit=unit.unit, in_force=0 if before is None else before.version, now_s=time.time()
    )
    place.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with output(place.path, private=True) as out:
        out.write(_read(file, MAX_FILE_BYTES))
    PlainConsole().print(f"{place.path}: version {found.version}; restart the agent")


def _verified(path: Path, key: Path) -> SignedRoster:
    return verify_roster(BytesIO(_read(path, MAX_FILE_BYTES)), VerifyKey.load_all(key))


def _read(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        found = file.read(max_bytes + 1)
    if len(found) > max_bytes:
        raise RosterError(f"{path} has more than {max_bytes:,} bytes: this is not a roster")
    return found


def _utc(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")

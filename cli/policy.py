"""``patrol-lpr policy``: sign, inspect, check and install policies; say why a record is kept and until when."""

from __future__ import annotations

import datetime as dt
import time
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from cli import policy_explain
from cli.account import operator
from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole, beside, plain
from hw.output import output
from hw.paths import CONFIG_DIR, CONFIG_FILE
from protocol.errors import PolicyError
from protocol.policy.envelope import KIND, SignedPack, open_pack, sign_pack
from protocol.policy.pack import MAX_PACK_BYTES, PolicyPack, pack_of_toml
from protocol.seal.keys import SigningKey, VerifyKey
from protocol.signed_file import MAGIC, refuse_unless_newer
from protocol.written import WrittenFileError, read_bounded, text_of

app = typer.Typer(
    help="Signed policies: what units keep, for how long, where and when.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_DAY_S = 86_400
SourceArgument = Annotated[Path, typer.Argument(help="The policy as TOML; see docs/policies.")]
KeyOption = Annotated[Path, typer.Option("--key", help="policy.pub that must have signed it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")]
ConfigOption = Annotated[Path, typer.Option("--config", help="Configuration of the unit.")]
_PUBLIC = CONFIG_DIR / "policy.pub"


@app.command()
def sign(
    source: SourceArgument,
    out: Annotated[Path, typer.Argument(help="The signed policy to write, *.lprpol.")],
    *,
    key: Annotated[Path, typer.Option(help="policy.key, from `patrol-lpr keys policy`.")],
    owner: Annotated[str, typer.Option(help="Agency that is responsible for the policy.")],
    unit: Annotated[
        list[str] | None, typer.Option("--unit", help="Id or pattern of units; repeatable; if omitted, all.")
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=36_600, help="Days after which the strict default holds instead; if omitted, never."
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="Description, one line.")] = "",
) -> None:
    """Check a policy and sign it."""
    pack, now_s = _read_source(source), int(time.time())
    data = sign_pack(
        pack,
        SigningKey.load(key),
        as_of_s=now_s,
        owner=owner,
        units=tuple(unit or ("*",)),
        expires_s=None if days is None else now_s + round(days * _DAY_S),
        note=note,
    )
    with output(out) as file:
        file.write(data)
    beside(out).print(f"{out}: policy {pack.name}, {len(data):,} bytes")
    _warn_unverified(pack)


@app.command()
def check(source: SourceArgument) -> None:
    """Check a policy and list all mistakes and contradictions."""
    pack = _read_source(source)
    _say(f"{source}: policy {pack.name} is valid")
    _warn_unverified(pack)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A signed policy, *.lprpol.")],
    key: KeyOption = _PUBLIC,
    *,
    as_json: JsonOption = False,
) -> None:
    """Verify a signed policy and print what it says."""
    signed = _open_signed(file, key)
    pack, header = signed.pack, signed.header
    if as_json:
        print_json(
            {"header": header.model_dump(mode="json"), "policy": pack.model_dump(mode="json", by_alias=True)}
        )
        return
    until = "until it is replaced" if header.expires_s is None else f"until {_utc(header.expires_s)}"
    _say(f"policy {pack.name} of {header.owner}, signed {_utc(header.as_of_s)}, {until}")
    _say(f"for units {', '.join(header.units)} of agencies {', '.join(pack.agencies)}")
    shown = TextTable("figure", "value", "source", "seen in its text")
    for row in _figures(pack):
        shown.add_row(*row)
    print_table(shown)


@app.command()
def offer(
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    file: Annotated[Path, typer.Argument(help="A signed policy, *.lprpol.")],
    key: KeyOption = _PUBLIC,
    db: Annotated[str, typer.Option("--db", help="Database of the station, or postgresql://...")] = "station.db",
) -> None:
    """At the station: offer a policy to a unit; recorded in the audit trail."""
    from cli.station_place import place_named  # noqa: PLC0415
    from station.commands import Commands  # noqa: PLC0415 - the other commands need no station
    from station.store import open_store  # noqa: PLC0415 - as above

    signed = _open_signed(file, key)
    refuse_unless_newer(signed.header, unit=unit, in_force=0, now_s=time.time())
    store = open_store(place_named(db), must_exist=True)
    try:
        commands = Commands(store, operator(), lambda: time.time_ns() // 1000)
        commands.offer_file(unit, KIND, file, release=signed.header.version)
    finally:
        store.close()
    _say(f"policy {signed.pack.name} offered to {unit}")


@app.command()
def install(
    file: Annotated[Path, typer.Argument(help="A signed policy, *.lprpol.")], config: ConfigOption = CONFIG_FILE
) -> None:
    """On the unit, as root: put a signed policy in force; the running agent takes it over within seconds."""
    from agent.runtime.config import load_config  # noqa: PLC0415 - keeps the other commands quick
    from agent.runtime.stages import build_policy_store  # noqa: PLC0415 - as above

    signed = build_policy_store(load_config(config)).install(file, time.time())
    _say(f"policy {signed.pack.name} is in force")


@app.command()
def explain(
    read_id: Annotated[str, typer.Argument(help="Id of a record: 32 hexadecimal digits.")],
    config: ConfigOption = CONFIG_FILE,
    *,
    db: Annotated[
        str | None, typer.Option(help="Database of a station, or postgresql://..., instead of the unit's outbox.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a record is kept, until when, and under which policy."""
    try:
        record_id = bytes.fromhex(read_id)
    except ValueError:
        record_id = b""
    if len(record_id) != policy_explain.ID_BYTES:
        raise typer.BadParameter("must have 32 hexadecimal digits", param_hint="READ_ID")
    found = policy_explain.at_station(db, record_id) if db else policy_explain.on_unit(config, record_id)
    if as_json:
        print_json(found)
    else:
        for line in found.lines():
            _say(line)
    raise typer.Exit(0 if found.found else 1)


def _read_source(path: Path) -> PolicyPack:
    try:
        data = read_bounded(path, MAX_PACK_BYTES)
        if data.startswith(MAGIC):
            raise PolicyError(f"{path}: this is a signed policy; `patrol-lpr policy inspect` shows it")
        return pack_of_toml(text_of(data), str(path))
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
    except WrittenFileError as error:
        raise PolicyError(f"{path}: {error}") from error


def _open_signed(path: Path, key: Path) -> SignedPack:
    keys = VerifyKey.load_all(key)
    try:
        return open_pack(BytesIO(read_bounded(path, 2 * MAX_PACK_BYTES)), keys)
    except WrittenFileError as error:
        raise PolicyError(f"{path}: not a signed policy: {error}") from error
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error


def _figures(pack: PolicyPack) -> list[tuple[str, str, str, str]]:
    sources = {source.figure: source for source in pack.sources}
    told = pack.model_dump(mode="json", by_alias=True, exclude_none=True)
    rows = []
    for name, value in _flat(told):
        if name in {"format", "id", "version", "agencies", "sources"}:
            continue
        source = next((sources[part] for part in _prefixes(name) if part in sources), None)
        verified = "" if source is None else "yes" if source.verified else "NO"
        rows.append((name, str(value), "" if source is None else source.text, verified))
    return rows


def _flat(told: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in told.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found.append(
                (f"{prefix}{name}", ", ".join(str(item.get("name", item.get("figure"))) for item in value))
            )
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _warn_unverified(pack: PolicyPack) -> None:
    unverified = [source.figure for source in pack.sources if not source.verified]
    if unverified:
        _say(
            f"from summaries of the law or policy: {', '.join(unverified)}; compare them with its text before use"
        )


def _say(text: str) -> None:
    PlainConsole().print(plain(text))


def _utc(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")

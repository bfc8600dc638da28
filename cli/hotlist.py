"""``patrol-lpr hotlist``: import, sign, inspect, compare and try lists; on a unit: install them and set PINs."""

from __future__ import annotations

import csv
import datetime as dt
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import operator
from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole, beside
from hw.output import output, text_output
from hw.paths import CONFIG_FILE
from protocol.plate_formats import FORMATS
from protocol.seal.container import SealedWriter
from protocol.seal.keys import SigningKey, StationKey, VerifyKey, fingerprint
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.check import previous_list
from station.lists.draft import ListFile
from station.lists.importer import Importer
from station.lists.inspect import Contents, contents_of, difference_of
from station.lists.plan import load_plan
from station.lists.report import Report
from station.lists.signing import Signing, sign_again, sign_delta, sign_full
from station.lists.space import build_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from station.asker import Asker
    from station.lists.report import RuleLine
    from station.query.list_search import ListSearch

app = typer.Typer(
    help="Hot lists: import, sign, inspect, compare, try; on a unit: install, status, PINs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_US = 1_000_000
_SHOWN = 5
_BLOCK_BYTES = 2**18
_HELD = 3
"""Exit code of an import whose list a person has to look at."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/hotlists.md.")]
ConfigOption = Annotated[Path, typer.Option("--config", help="Configuration file of the unit.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override section.key=value; repeatable.")]
AuthorityOption = Annotated[
    list[Path] | None, typer.Option("--key", help="hotlist.pub of a list authority; repeatable.")
]


@app.command()
def keys(folder: Annotated[Path, typer.Argument(help="Folder for the new files.")]) -> None:
    """Create the list authority's key pair: hotlist.key signs lists, hotlist.pub goes to every unit."""
    from cli.keys import make_pair  # noqa: PLC0415 - used here alone

    key = SigningKey.generate()
    make_pair(folder, "hotlist.key", "hotlist.pub", key)
    PlainConsole().print(
        f"{folder / 'hotlist.pub'}: copy it to /etc/patrol-lpr of every unit; keep hotlist.key where lists are signed\n"
        f"fingerprint {fingerprint(key.public.raw)}",
    )  # fmt: skip


@app.command("import")
def import_list(
    source: Annotated[Path, typer.Argument(help="The owner's file: CSV or fixed width.")],
    plan: Annotated[Path, typer.Argument(help="TOML with the list's settings and columns: docs/hotlists.md.")],
    out: Annotated[Path, typer.Argument(help="The draft, to be signed.")],
    *,
    as_of: Annotated[
        str | None, typer.Option(help="Time of the data, ISO 8601; default: the file's modification time.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(help="Draft or package before this one: a large change holds the list.")
    ] = None,
    key: AuthorityOption = None,
    bad_rows: Annotated[
        Path | None, typer.Option(help="Write line and reason of every bad row here, CSV.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a list: report bad rows and expected false alarms, write a draft.  Exit code 3: held for a person."""
    told = load_plan(plan)
    report, before = Report(), None if previous is None else previous_list(previous, _authorities(key))
    budget = Budget(build_space(FORMATS, told.population), load_behaviour())
    with ExitStack() as stack:
        file = stack.enter_context(source.open("rb"))
        if bad_rows is not None:
            report.on_bad = _csv_writer(stack.enter_context(text_output(bad_rows)))
        when = _as_of(as_of, source)
        with output(out, private=True) as draft:
            Importer(told, budget, report).run(file, draft, as_of_utc_us=when, previous=before)
    if as_json:
        report.on_bad = None
        print_json(report)
    else:
        _print_report(report, out)
    raise typer.Exit(_HELD if report.held else 0)


@app.command()
def sign(
    draft: Annotated[Path, typer.Argument(help="What `hotlist import` wrote.")],
    out: Annotated[Path, typer.Argument(help="The package, *.lprhot.")],
    *,
    key: Annotated[Path, typer.Option(help="hotlist.key of the list authority.")],
    version: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="Number of the package; must rise with every one of a list.")
    ],
    base: Annotated[Path | None, typer.Option(help="Full package: write only what changed since it.")] = None,
    accept_change: Annotated[str, typer.Option(help="Name of the person who accepts what the import held.")] = "",
    note: Annotated[str, typer.Option(help="Description, one line.")] = "",
) -> None:
    """Sign a draft as a full package, or with --base as a delta."""
    signing, terms = SigningKey.load(key), Signing(version, accept_change, note)
    with ExitStack() as stack:
        opened = stack.enter_context(ListFile(draft))
        older = None if base is None else stack.enter_context(ListFile(base, [signing.public]))
        with output(out, private=True) as file:
            if older is None:
                manifest = sign_full(file, opened, signing, terms)
            else:
                manifest = sign_delta(file, opened, older, signing, terms)
    changed = f", {manifest.removed_rows:,} out and {manifest.carried_rows:,} in" if base is not None else ""
    beside(out).print(
        f"{out}: list {manifest.settings.list_id}, version {manifest.version}, {manifest.kind.value}, "
        f"{manifest.entries:,} entries{changed}, {out.stat().st_size:,} bytes",
    )  # fmt: skip


@app.command("sign-again")
def sign_earlier(
    package: Annotated[Path, typer.Argument(help="An earlier full package, *.lprhot.")],
    out: Annotated[Path, typer.Argument(help="The new package, *.lprhot.")],
    *,
    key: Annotated[Path, typer.Option(help="hotlist.key of the list authority.")],
    version: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="Number of the new package; above every one of the list.")
    ],
    accept_change: Annotated[str, typer.Option(help="Name of the person who decides to go back.")],
    note: Annotated[str, typer.Option(help="Description, one line.")] = "",
) -> None:
    """Go back to an earlier list: sign its contents again, with a higher version and the same time of the data."""
    signing = SigningKey.load(key)
    with ListFile(package, [signing.public]) as opened, output(out, private=True) as file:
        manifest = sign_again(file, opened, signing, Signing(version, accept_change, note))
    beside(out).print(
        f"{out}: list {manifest.settings.list_id}, version {manifest.version}, data of {_utc(manifest.as_of_utc_us)}",
    )  # fmt: skip


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A draft or a package.")],
    *,
    key: AuthorityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a draft or package completely and say what it holds; no plates are printed."""
    contents = contents_of(file, _authorities(key))
    if as_json:
        print_json(contents)
    else:
        _print_contents(contents)


@app.command()
def diff(
    older: Annotated[Path, typer.Argument(help="Draft or full package.")],
    newer: Annotated[Path, typer.Argument(help="Draft or full package.")],
    *,
    key: AuthorityOption = None,
    show: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Also print up to this many entries of each kind.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Say how many entries of two lists are new, gone or changed."""
    authorities = _authorities(key)
    with ListFile(older, authorities) as first, ListFile(newer, authorities) as second:
        found = difference_of(first, second, show)
    if as_json:
        print_json(found)
        return
    console = PlainConsole()
    console.print(f"{found.added:,} new, {found.removed:,} gone, {found.changed:,} changed, {found.kept:,} equal")
    for kind, entries in found.examples.items():
        for entry in entries:
            text = " ".join(part for part in (entry.text, entry.region, entry.reason, entry.entry_id) if part)
            console.print(f"{kind}: {text}")


def _authorities(paths: list[Path] | None) -> list[VerifyKey]:
    return [key for path in paths or () for key in VerifyKey.load_all(path)]


def _as_of(text: str | None, source: Path) -> int:
    if text is None:
        return source.stat().st_mtime_ns // 1000
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected ISO 8601, such as 2026-11-28T06:00:00Z", param_hint="--as-of") from None
    when = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
    found = round(when.timestamp() * _US)
    if found > (time.time() + 86_400) * _US:
        raise typer.BadParameter("is in the future", param_hint="--as-of")
    return found


def _csv_writer(file: object) -> Callable[[int, str], None]:
    writer = csv.writer(file)  # type: ignore[arg-type]
    writer.writerow(["line", "reason"])

    def write(line: int, reason: str) -> None:
        writer.writerow([line, f"'{reason}" if reason.startswith(_FORMULA_STARTS) else reason])

    return write


def _print_report(report: Report, out: Path) -> None:
    console = PlainConsole()
    columns = ", ".join(f"{name}={column}" for name, column in report.columns.items())
    console.print(f"{report.encoding}, delimiter {report.delimiter!r}, columns: {columns}")
    console.print(
        f"{report.rows:,} rows: {report.entries:,} entries (of these {report.patterns:,} with wildcards), "
        f"{report.bad:,} bad, {report.duplicates:,} duplicates, {report.blank:,} blank lines"
    )
    for reason, count in report.reasons.most_common():
        console.print(f"  {count:,} x {reason}")
    for count, what in (
        (report.repeated, "further entries of a plate and state"),
        (report.contradictions, "contradictions: one plate and state, two vehicles"),
        (report.missing_region, "entries without a state"),
        (report.formulas, "rows with a text that a spreadsheet would run; kept as text"),
    ):
        if count:
            console.print(f"{count:,} {what}")
    if report.unknown_regions:
        console.print(f"unknown states, kept as they are: {', '.join(report.unknown_regions)}")
    for what, lines in report.examples.items():
        for line in lines[:_SHOWN]:
            console.print(f"{what}: {line}")
    print_table(_rules_table(report.rules), console)
    for reason in report.held:
        console.print(f"held: {reason}")
    console.print(f"{out}: {'held; ' if report.held else ''}sign it with `patrol-lpr hotlist sign`")


def _rules_table(lines: tuple[RuleLine, ...]) -> TextTable:
    table = TextTable("rule", "states", "min probability", "false alarms per 1,000 cars", "")
    for line in lines:
        table.add_row(
            line.rule,
            line.regions.replace("_", " ") if line.enabled else "off",
            f"{line.min_probability:g}",
            f"{line.alarms_per_1000:.3g}",
            line.tightened,
        )
    return table


def _print_contents(contents: Contents) -> None:
    console = PlainConsole()
    settings = contents.settings
    signed = f"signed by {contents.signed_by}" if contents.signed_by else "draft, not signed"
    console.print(f"list {settings.list_id}: {settings.name}, of {settings.owner}; {signed}")
    console.print(
        f"version {contents.version or '-'}, {contents.kind}, {contents.entries:,} entries, of these "
        f"{contents.patterns:,} with wildcards"
    )
    console.print(f"data of {_utc(contents.as_of_utc_us)}, expires {_utc(contents.expires_utc_us)}")
    console.print(f"for {', '.join(settings.agencies)}; priority {settings.priority.value}")
    if contents.accepted_by:
        console.print(f"accepted by {contents.accepted_by}")
    for reason in contents.held:
        console.print(f"held: {reason}")
    print_table(_rules_table(contents.rules), console)


def _utc(us: int | None) -> str:
    return "never" if us is None else dt.datetime.fromtimestamp(us / _US, dt.UTC).strftime("%Y-%m-%d %H:%M")


@app.command("dry-run")
def dry_run(
    file: Annotated[Path, typer.Argument(help="A draft or a full package.")],
    drives: Annotated[list[Path] | None, typer.Argument(help="Drive folders.")] = None,
    *,
    db: Annotated[
        str | None, typer.Option(help="Database of a station, or postgresql://...: its retained reads; audited.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="With --db: only reads of this unit.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="With --db: the latest reads, at most.")
    ] = 100_000,
    purpose: Annotated[str, typer.Option(help="With --db: why, for the audit trail.")] = "",
    case_number: Annotated[str, typer.Option("--case", help="With --db: case number, for the audit trail.")] = "",
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="With --db: signed policy that allows it, for the reads kept by it; repeatable."),
    ] = None,
    policy_key: Annotated[
        Path | None, typer.Option(help="With --db: policy.pub that must have signed the policies.")
    ] = None,
    key: AuthorityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a list would have raised over drives, or over the reads that a station keeps, where policy allows."""
    from cli.hotlist_try import DryRun, open_for_trial, try_drives, try_reads  # noqa: PLC0415 - loads the station
    from station.retention.schedule import load_packs  # noqa: PLC0415 - as above

    if bool(drives) == (db is not None):
        raise typer.BadParameter("give drives, or --db")
    if db is not None and (not policy or policy_key is None):
        raise typer.BadParameter(
            "looking for listed plates in retained reads needs signed policies that allow it: give --policy and "
            "--policy-key"
        )
    with ListFile(file, _authorities(key)) as opened:
        matcher, found = open_for_trial(opened), DryRun()
        found.expected_per_1000 = opened.info.rules.alarms_per_million / 1000
        if db is None or policy_key is None:
            try_drives(matcher, drives or [], found)
        else:
            version = opened.manifest.version if opened.manifest is not None else "draft"
            told = f"{opened.info.settings.list_id}/{version}"
            packs = load_packs(policy or (), [VerifyKey.load(policy_key)])
            with _asking(db, operator(purpose, case_number)) as query:
                retained = query.reads_for_list(told, packs, unit=unit, limit=limit)
            found.left_out = retained.left_out
            try_reads(matcher, retained.records, found)
    if as_json:
        told_json = {"reads": found.reads, "left_out": found.left_out, "raised": found.raised}
        print_json({**told_json, "expected_per_1000": found.expected_per_1000})
        return
    table = TextTable(
        "time", "plate", "state", "listed", "listed state", "rule", "probability", "states", "reason"
    )
    for hit in found.raised:
        row = (hit.utc or "no time", hit.text, hit.region, hit.listed_text, hit.listed_region, hit.rule)
        table.add_row(*row, f"{hit.probability:.2f}", hit.region_match, hit.reason)
    console = PlainConsole()
    print_table(table, console)
    counts = "; ".join(f"{count} {what}" for what, count in sorted(found.by_rule.items()))
    console.print(
        f"{found.reads:,} reads, {len(found.raised):,} would have raised a hit{': ' if counts else ''}{counts}"
    )
    if found.left_out:
        console.print(f"{found.left_out:,} reads left out: their policy was not given, or does not allow it")
    console.print(f"expected of innocent cars: {found.expected_per_1000:.3g} per 1,000")


@app.command()
def offer(
    unit: Annotated[str, typer.Argument(help="Id of the unit.")],
    file: Annotated[Path, typer.Argument(help="The package, *.lprhot.")],
    *,
    key: AuthorityOption = None,
    db: Annotated[str, typer.Option(help="Database of the station, or postgresql://...")] = "station.db",
    slot: Annotated[int, typer.Option(min=1, max=4, help="A unit has four: use one for each list.")] = 1,
    to: Annotated[Path | None, typer.Option(help="hotlist-ID.pub of the unit: seal the package to it.")] = None,
) -> None:
    """At the station: verify a package and offer it to a unit; recorded in the audit trail."""
    from cli.station_place import place_named  # noqa: PLC0415
    from station.commands import Commands  # noqa: PLC0415
    from station.reports.quality import figures_of, figures_text  # noqa: PLC0415
    from station.store import open_store  # noqa: PLC0415

    contents = contents_of(file, _authorities(key))
    if not contents.signed_by:
        raise typer.BadParameter(f"{file} is a draft: sign it first")
    with ExitStack() as stack:
        store = open_store(place_named(db), must_exist=True)
        stack.callback(store.close)
        sealed = file if to is None else _sealed(file, StationKey.load_public(to), stack)
        kind = "hotlist" if slot == 1 else f"hotlist-{slot}"
        commands = Commands(store, operator(), lambda: time.time_ns() // 1000)
        commands.offer_file(
            unit,
            kind,
            sealed,
            release=contents.version,
            parts=(contents.settings.list_id,),
            told=figures_text(figures_of(contents)),
        )
    PlainConsole().print(f"list {contents.settings.list_id}, version {contents.version}, offered to {unit}")


@app.command()
def install(
    file: Annotated[Path, typer.Argument(help="The package, *.lprhot.")],
    config: ConfigOption = CONFIG_FILE,
    overrides: SetOption = None,
) -> None:
    """On the unit: verify a package and put it in force."""
    from cli import hotlist_unit  # noqa: PLC0415 - loads the agent

    info = hotlist_unit.install(config, overrides or [], file)
    PlainConsole().print(f"list {info.list_id}, version {info.version}, {info.entries:,} entries: in force")


@app.command()
def status(
    config: ConfigOption = CONFIG_FILE, overrides: SetOption = None, *, as_json: JsonOption = False
) -> None:
    """On the unit: show the lists in force with version and age."""
    from cli import hotlist_unit  # noqa: PLC0415 - loads the agent

    found = hotlist_unit.status(config, overrides or [])
    if as_json:
        print_json(found)
        return
    console = PlainConsole()
    if found.locked:
        console.print("the lists are locked: an officer's PIN opens them")
    table = TextTable("list", "owner", "version", "entries", "data of", "expires", "priority")
    for info in found.lists:
        row = (info.list_id, info.owner, str(info.version), f"{info.entries:,}", _utc(info.as_of_utc_us))
        table.add_row(*row, _utc(info.expires_utc_us), info.priority.value)
    print_table(table, console)
    for fault in found.faults:
        console.print(fault)


@app.command()
def remove(
    list_id: Annotated[str, typer.Argument(help="Id of the list.")],
    config: ConfigOption = CONFIG_FILE,
    overrides: SetOption = None,
) -> None:
    """On the unit: take a list out of force; an older version of it stays refused."""
    from cli import hotlist_unit  # noqa: PLC0415 - loads the agent

    hotlist_unit.remove(config, overrides or [], list_id)
    PlainConsole().print(f"list {list_id} is out of force")


@app.command()
def pin(
    officer: Annotated[str, typer.Argument(help="Badge number of the officer.")],
    *,
    by: Annotated[str | None, typer.Option(help="Officer who can open the lists and enters the PIN.")] = None,
    config: ConfigOption = CONFIG_FILE,
    overrides: SetOption = None,
) -> None:
    """On the unit, with hotlist.open = "pin": let an officer open the lists."""
    from cli import hotlist_unit  # noqa: PLC0415 - loads the agent

    PlainConsole().print(hotlist_unit.set_pin(config, overrides or [], officer, by))


@app.command("unit-key")
def unit_key(
    out: Annotated[Path, typer.Argument(help="hotlist-ID.pub, for the station.")],
    config: ConfigOption = CONFIG_FILE,
    overrides: SetOption = None,
) -> None:
    """On the unit: write the public key to which a station can seal packages for this unit."""
    from cli import hotlist_unit  # noqa: PLC0415 - loads the agent

    key = hotlist_unit.public_key(config, overrides or [])
    with output(out) as file:
        file.write(key.pem())
    beside(out).print(f"{out}: fingerprint {fingerprint(key.raw)}")


def _sealed(file: Path, key: StationKey, stack: ExitStack) -> Path:
    """Seal a package to a unit; the file is deleted with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=file.resolve().parent)))
    target = folder / file.name
    with file.open("rb") as plain, target.open("wb") as out:
        writer = SealedWriter(out, [key], file.stat().st_size)
        while block := plain.read(_BLOCK_BYTES):
            writer.write(block)
        writer.close()
    return target


@contextmanager
def _asking(db: str, asker: Asker) -> Iterator[ListSearch]:
    from cli.station_place import place_named  # noqa: PLC0415
    from station.query.list_search import ListSearch  # noqa: PLC0415
    from station.store import open_store  # noqa: PLC0415

    store = open_store(place_named(db), must_exist=True)
    try:
        yield ListSearch(store, asker, lambda: time.time_ns() // 1000)
    finally:
        store.close()

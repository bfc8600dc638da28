"""``patrol-lpr report recompute``: compute a report again from exported files alone, and compare."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer
from rich.text import Text

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole, plain
from protocol.seal.keys import UNIT_PUBLIC, VerifyKey
from station.reports.lines import ReportError, read_lines
from station.reports.recompute import recompute

_MAX_SHOWN = 50
app = typer.Typer(
    help="Reports: compute one again from exported files.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
)  # fmt: skip


@app.callback()
def report() -> None:
    """Keep the command's name in front."""


@app.command("recompute")
def recompute_command(
    report: Annotated[Path, typer.Argument(help="CSV of the report, from `patrol-lpr station report --csv`.")],
    *,
    series: Annotated[
        list[Path], typer.Option(help="Signed series, from `patrol-lpr station export --evidence`; repeatable.")
    ],
    log: Annotated[Path, typer.Option(help="Audit log, from `patrol-lpr station audit --export`.")],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="Trusted unit-ID.pub or log.pub; repeatable; if omitted, those in the files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/reports.md.")] = False,
) -> None:
    """Compute every number again without the station; exit code 1 if one differs or a file was altered."""
    try:
        with ExitStack() as stack:
            lines = read_lines(stack.enter_context(report.open(encoding="utf-8", newline="")))
            opened = [stack.enter_context(path.open("rb")) for path in series]
            units, own = _trusted(key or [])
            found = recompute(
                lines, opened, stack.enter_context(log.open("rb")), trusted=units or None, log_keys=own
            )
    except OSError as error:
        raise ReportError(f"{error.filename}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ReportError(f"{report}: not UTF-8: this is no report") from error
    if as_json:
        print_json({"agrees": found.is_right, **{name: getattr(found, name) for name in found.__slots__}})
        raise typer.Exit(0 if found.is_right else 1)
    console = PlainConsole()
    for what in found.altered:
        console.print(Text(plain(f"altered: {what}"), "red"))
    if found.differences:
        table = TextTable("table", "of", "measure", "report", "computed", title="Numbers that differ")
        for one in found.differences[:_MAX_SHOWN]:
            of = " / ".join(name for name in one.line.keys if name)
            table.add_row(one.line.table, of, one.line.measure, f"{one.line.value:,}", f"{one.computed:,}")
        print_table(table, console)
    console.print(
        f"{found.lines:,} numbers compared with {found.records:,} signed records and {found.entries:,} entries of the "
        "audit log",
    )
    if not found.log_signed:
        console.print("The audit log is not signed: nothing proves that it has all entries (docs/audit.md).")
    console.print(
        Text("the report agrees", "green") if found.is_right else Text("the report does NOT agree", "red")
    )
    raise typer.Exit(0 if found.is_right else 1)


def _trusted(paths: list[Path]) -> tuple[dict[str, list[VerifyKey]], list[VerifyKey]]:
    """Keys of units by their id, and keys of the log."""
    units: dict[str, list[VerifyKey]] = defaultdict(list)
    own: list[VerifyKey] = []
    for path in paths:
        name = UNIT_PUBLIC.fullmatch(path.name)
        if name is None:
            own.append(VerifyKey.load(path))
        else:
            units[name[1]].append(VerifyKey.load(path))
    return units, own

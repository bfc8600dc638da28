"""``patrol-lpr station report`` and ``alarms``: counts of a period, and how good the alarms were."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from rich.text import Text

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole
from hw.output import text_output
from protocol.seal.keys import VerifyKey
from station.lists.inspect import contents_of
from station.reports.definition import shipped_definitions
from station.reports.lines import write_lines
from station.reports.present import present
from station.reports.printed import printed_report
from station.reports.quality import figures_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from station.reports.definition import Definition
    from station.reports.make import Report
    from station.reports.own import OwnDefinitions
    from station.reports.quality import AlarmQuality, ListFigures

_VERDICTS = {"more": "red", "fewer": "yellow"}


def show_definitions(own: OwnDefinitions, *, as_json: bool) -> None:
    """Print the examples and the agency's own definitions, also those that this version cannot use."""
    rows = [
        {"id": one.id, "title": one.title, "period": one.period, "from": "example", "problem": ""}
        for one in shipped_definitions().values()
    ]
    for one in own.all():
        title, period = ("?", "?") if one.definition is None else (one.definition.title, one.definition.period)
        rows.append(
            {"id": one.row.id, "title": title, "period": period, "from": one.row.who, "problem": one.problem}
        )
    if as_json:
        print_json(rows)
        return
    table = TextTable("id", "title", "period", "from", "problem")
    for row in rows:
        table.add_row(*row.values())
    print_table(table, PlainConsole())


def show(definition: Definition, report: Report, *, as_json: bool) -> None:
    """Print the tables."""
    if as_json:
        print_json({"definition": definition.id, "lines": report.lines})
        return
    console = PlainConsole()
    shown = present(report, definition)
    console.print(Text(f"{definition.title}, {shown.period}"))
    for table in shown.tables:
        made = TextTable(*table.columns, title=table.title)
        for row in table.rows:
            made.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
        print_table(made, console)


def write(
    definition: Definition, report: Report, *, csv: Path | None, html: Path | None, checked: Callable[[Path], Path]
) -> None:
    """Write the files that are wanted."""
    if csv is not None:
        with _text(csv, checked) as out:
            write_lines(report.lines, out)
    if html is not None:
        with _text(html, checked) as out:
            out.write(printed_report(present(report, definition)))


def figures(lists: list[Path], keys: list[Path]) -> list[ListFigures]:
    """Return the figures of signed packages."""
    trusted = [key for path in keys for key in VerifyKey.load_all(path)]
    return [figures_of(contents_of(path, trusted)) for path in lists]


def show_quality(quality: AlarmQuality, *, as_json: bool) -> None:
    """Print lines and confusions."""
    if as_json:
        print_json({"cars": quality.cars, "lines": quality.lines, "confusions": quality.confusions})
        return
    console = PlainConsole()
    table = TextTable(
        "list", "rule", "hits", "confirmed", "false", "open", "expected", "95 %", "finding",
        title=f"Alarm quality from {quality.cars:,} reads",
    )  # fmt: skip
    for line in quality.lines:
        table.add_row(
            line.list_id, line.rule, f"{line.hits:,}", f"{line.confirmed:,}", f"{line.false:,}", f"{line.open:,}",
            "?" if line.expected is None else f"{line.expected:.1f}", f"{line.low:.1f}-{line.high:.1f}",
            Text(line.verdict, _VERDICTS.get(line.verdict, "")),
        )  # fmt: skip
    print_table(table, console)
    table = TextTable("read", "listed", "confirmed", "rejected", title="Characters that were confused")
    for one in quality.confusions:
        table.add_row(one.read, one.listed, f"{one.confirmed:,}", f"{one.rejected:,}")
    print_table(table, console)


@contextmanager
def _text(path: Path, checked: Callable[[Path], Path]) -> Iterator[IO[str]]:
    if str(path) == "-":
        yield sys.stdout
        return
    with text_output(checked(path), private=True) as out:
        yield out

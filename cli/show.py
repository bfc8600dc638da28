"""Printing of tables and JSON: nothing that a person needs is shortened, and pipes get the whole text."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.console import ConsoleDimensions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.terminal import PlainConsole, plain

if TYPE_CHECKING:
    from rich.console import Console

_WIDEST = 100_000
_WHOLE = frozenset({"plate", "unit", "file", "bundle", "time", "seq", "fingerprint", "serial", "drive"})
"""Columns whose values are copied, compared or searched for: never broken over lines."""


NOT_READ = {
    "damaged": "are partly damaged and were not read",
    "frozen": "repeat the same picture (frozen camera) and were not read",
}
"""What is said of frames by the counter that counts them."""


class TextTable(Table):
    """A table whose strings are shown as they are: no markup, no control characters.  Styled cells are ``Text``."""

    def __init__(self, *columns: str, title: str = "", caption: str = "", **options: Any) -> None:
        """``columns`` are the headings; ``options`` as for :class:`rich.table.Table`."""
        texts = {"title": title, "caption": caption}
        super().__init__(*columns, **{name: _literal(text) for name, text in texts.items() if text}, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row; as :meth:`rich.table.Table.add_row`."""
        super().add_row(*(_literal(cell) for cell in cells), **options)


def _literal(cell: Any) -> Any:
    return Text(plain(cell)) if isinstance(cell, str) else cell


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table: wrapped on a terminal that is wide enough for its words, else in full; never cut."""
    console = console or PlainConsole()
    wide = console.options.update(max_width=_WIDEST)
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = column.no_wrap or str(column.header) in _WHOLE
        if column.no_wrap:
            # rich takes the longest word for the least width of a column, also of one that is not wrapped, and cuts it.
            parts = (column.header, *column.cells)
            column.min_width = max(Measurement.get(console, wide, part).maximum for part in parts)
    room = Measurement.get(console, wide, table)
    before = console.size
    # `width` of Console.print only narrows, and that of a console is not used on a dumb terminal.
    fits = console.is_terminal and room.minimum <= before.width
    console.size = before if fits else ConsoleDimensions(max(room.maximum, 1), before.height)
    try:
        console.print(table, soft_wrap=False)
    finally:
        console.size = before


def print_json(value: object) -> None:
    """Print one JSON document; bytes as hex, dataclasses with the names of their fields."""
    is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    sys.stdout.write(json.dumps(json_value(value), ensure_ascii=not is_unicode, indent=2) + "\n")


def print_done(
    text: str, values: dict[str, object], *, as_json: bool, console: PlainConsole | None = None
) -> None:
    """Say what a command did: in a line, to standard output or a console, or as one JSON document."""
    if as_json:
        print_json(values)
    else:
        (console or PlainConsole()).print(text)


def json_value(value: Any) -> Any:
    """Return a value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)

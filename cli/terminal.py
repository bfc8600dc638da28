"""Untrusted texts on a terminal: shown in full, never interpreted as markup or escape codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.records import UNKNOWN_REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIKELY = 0.5
_UNLIMITED = 10_000
"""Width of tables that are piped: nothing is wrapped."""


def plain(text: str) -> str:
    """Return the text with control characters and bytes that are not UTF-8 as hexadecimal escapes."""
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python holds a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if char.isprintable():
        return char
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - what two digits hold


def say(text: str) -> None:
    """Write a message to standard error."""
    sys.stderr.write("patrol-lpr: " + "\n".join(map(plain, text.split("\n"))) + "\n")


def console() -> Console:
    """Return a console without markup: as wide as the terminal, unlimited when piped."""
    return _console(markup=False)


def marked_console() -> Console:
    """Return the same with markup; untrusted texts must be passed to it as :class:`Text`."""
    return _console(markup=True)


def _console(*, markup: bool) -> Console:
    out = Console(markup=markup, highlight=False, emoji=False)
    return out if out.is_terminal else Console(markup=markup, highlight=False, emoji=False, width=_UNLIMITED)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole: str, title: str = "") -> Table:
    """Return a table that wraps cells and never shortens them; the column ``whole`` is never wrapped."""
    shown = Table(title=Text(plain(title)) if title else None, title_justify="left")
    for index, name in enumerate(columns):
        cells = [len(plain(row[index])) for row in rows]
        width = max([len(name), *cells]) if name == whole else None
        shown.add_column(name, overflow="fold", min_width=width, no_wrap=name == whole)
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    return shown


def shown_region(region: str, confidence: float) -> str:
    """A region for tables: with a question mark if it is more likely another one."""
    doubtful = region != UNKNOWN_REGION and confidence < _LIKELY
    return f"{region}?" if doubtful else region

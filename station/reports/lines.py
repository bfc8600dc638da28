"""The lines of a report, and their CSV: one number a line, with what it counts."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from station.errors import StationError

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = ("table", "key_1", "key_2", "key_3", "measure", "value")
MAX_LINES = 1_000_000
_KEYS = 3
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class ReportError(StationError):
    """A report cannot be made, or a file is none."""


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One number."""

    table: str
    keys: tuple[str, str, str]
    measure: str
    value: int

    @property
    def place(self) -> tuple[str, tuple[str, str, str], str]:
        """What it counts."""
        return self.table, self.keys, self.measure


def line(table: str, measure: str, value: int, *keys: str) -> Line:
    """Return a line; missing keys are empty."""
    first, second, third = (*keys, "", "", "")[:_KEYS]
    return Line(table, (first, second, third), measure, value)


def write_lines(lines: Iterable[Line], out: IO[str]) -> None:
    """Write CSV; open ``out`` with ``newline=""``.  Texts that a spreadsheet would run get an apostrophe."""
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for one in lines:
        writer.writerow([one.table, *map(cell, one.keys), one.measure, one.value])


def read_lines(file: IO[str]) -> list[Line]:
    """Read CSV that :func:`write_lines` wrote, texts as written; raises ReportError for anything else."""
    rows = csv.reader(file)
    found = []
    try:
        if tuple(next(rows, ())) != HEADER:
            raise ReportError("not the CSV of a report: the first line has other columns")
        for row in rows:
            table, *keys, measure, value = row
            first, second, third = keys
            found.append(Line(table, (first, second, third), measure, int(value)))
            if len(found) > MAX_LINES:
                raise ReportError(f"not the CSV of a report: more than {MAX_LINES:,} lines")
    except (ValueError, csv.Error) as error:
        raise ReportError(f"not the CSV of a report: line {rows.line_num}: {error}") from error
    return found


def cell(text: str) -> str:
    """Return a text as the CSV has it."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text

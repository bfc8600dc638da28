"""Reads the rows of a list's file in chunks of columns, a few hundred kilobytes at a time.

Lines without quotes, and lines in which every field is quoted and none has a quote in it, are divided by the delimiter
all at once, which costs a fifth of parsing them; all others go through :mod:`csv`.
"""

from __future__ import annotations

import csv
from codecs import getincrementaldecoder
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from protocol.errors import HotlistError
from protocol.hotlist.entry import MAX_ENTRY_BYTES
from station.lists.form import csv_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from station.lists.form import Form

CHUNK_BYTES = 2**18
MAX_LINE_BYTES = 2**20
_MAX_OPEN_QUOTES = 1000
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\r\n") + b"\x7f"
_ESCAPED = "surrogateescape"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows as columns of UTF-8 bytes."""

    columns: list[list[bytes]]
    lines: Sequence[int]
    """Line number of each row."""


class RowReader:
    """Reads rows; bad ones go to ``on_bad``."""

    def __init__(
        self,
        file: IO[bytes],
        form: Form,
        on_bad: Callable[[int, str], None],
        spans: Sequence[tuple[int, int]] = (),
    ) -> None:
        """``spans`` are the columns of a fixed-width file: first and last character, from 1."""
        self._form = form
        self._on_bad = on_bad
        self._spans = spans
        self._blocks = _utf8_blocks(file, form)
        self._lines: deque[bytes] = deque()
        self._taken: list[bytes] = []
        """Lines of the row that is being parsed."""
        self._number = 0
        self._open_quotes = 0
        self.blank = 0

    def chunks(self) -> Iterator[Chunk]:
        """Yield all rows but the header.  Raises HotlistError for a line without an end."""
        if self._form.header:
            next(iter(self._slow(1)), None)
        while self._fill():
            count = len(self._lines)
            if self._spans:
                yield self._fixed()
                continue
            fast = self._fast()
            if fast is not None:
                yield fast
                continue
            yield from self._slow(count)

    def _fill(self) -> bool:
        if self._lines:
            return True
        for lines in self._blocks:
            self._lines = deque(lines)
            return True
        return False

    def _next_line(self) -> Iterator[str]:
        while self._fill():
            self._number += 1
            line = self._lines.popleft()
            self._taken.append(line)
            yield line.decode("utf-8", _ESCAPED) + "\n"

    def _fast(self) -> Chunk | None:
        """Divide the lines at once, if each has the expected number of fields and no quote is in the way."""
        lines, form = list(self._lines), self._form
        text = b"\n".join(lines)
        quote, delimiter = form.quote.encode(), form.delimiter.encode()
        if len(text.translate(None, _CONTROLS)) != len(text) or not _is_utf8(text):
            return None
        quotes = text.count(quote) if quote else 0
        between = delimiter
        if quotes:
            between = quote + delimiter + quote
            if quotes != 2 * form.columns * len(lines) or not all(
                line[:1] == quote == line[-1:] and len(line) > 1 for line in lines
            ):
                return None
        if {line.count(between) for line in lines} != {form.columns - 1}:
            return None
        if quotes:
            lines = [line[1:-1] for line in lines]
        fields = between.join(lines).split(between)
        columns = [fields[n :: form.columns] for n in range(form.columns)]
        numbers = range(self._number + 1, self._number + len(lines) + 1)
        self._number += len(lines)
        self._lines.clear()
        return Chunk(columns, numbers)

    def _slow(self, count: int) -> Iterator[Chunk]:
        """Parse at least the next ``count`` lines, up to the end of a row."""
        form = self._form
        reader = csv_reader(self._next_line(), form.delimiter, form.quote)
        until, rows, numbers = self._number + count, [], []
        while self._number < until:
            first = self._number + 1
            self._taken.clear()
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                reader = self._give_back(first, f"cannot be parsed: {error}")
                continue
            is_long = len(self._taken) > 1 and sum(map(len, self._taken)) > MAX_ENTRY_BYTES
            if row == [] or (len(row) == 1 and not row[0].strip() and form.columns > 1):
                self.blank += 1
            elif is_long or (len(row) != form.columns and len(self._taken) > 1):
                reader = self._give_back(first, "a quote is not closed")
            elif len(row) != form.columns:
                self._on_bad(first, f"{len(row)} columns instead of {form.columns}")
            elif (found := _cleaned(row)) is None:
                self._on_bad(first, f"not valid {form.encoding}: is it another encoding?")
            else:
                rows.append(found)
                numbers.append(first)
        if rows:
            yield Chunk([list(column) for column in zip(*rows, strict=True)], numbers)

    def _give_back(self, first: int, reason: str) -> Iterator[list[str]]:
        """Report a line whose open quote took the lines after it, and parse those again."""
        self._on_bad(first, reason)
        self._open_quotes += len(self._taken) > 1
        if self._open_quotes > _MAX_OPEN_QUOTES:
            raise HotlistError(
                f"line {first}: the {_MAX_OPEN_QUOTES}th quote that is not closed: are fields quoted at all? Set "
                "file.quote, or to an empty text if nothing is quoted"
            )
        self._lines.extendleft(reversed(self._taken[1:]))
        self._number = first
        return csv_reader(self._next_line(), self._form.delimiter, self._form.quote)

    def _fixed(self) -> Chunk:
        lines = list(self._lines)
        self._lines.clear()
        columns: list[list[bytes]] = [[] for _ in self._spans]
        numbers = []
        for line in lines:
            self._number += 1
            if not line.strip():
                self.blank += 1
                continue
            found = _cleaned([line.decode("utf-8", _ESCAPED)])
            if found is None:
                self._on_bad(self._number, f"not valid {self._form.encoding}: is it another encoding?")
                continue
            numbers.append(self._number)
            text = found[0].decode()
            for column, (first, last) in zip(columns, self._spans, strict=True):
                column.append(text[first - 1 : last].strip().encode())
        return Chunk(columns, numbers)


def _utf8_blocks(file: IO[bytes], form: Form) -> Iterator[list[bytes]]:
    """Yield lines without their ends as UTF-8, as many as a chunk has."""
    decoder = None if form.encoding == "utf-8" else getincrementaldecoder(form.encoding)("replace")
    file.seek(form.skip_bytes)
    rest, is_last = b"", False
    while not is_last:
        data = file.read(CHUNK_BYTES)
        is_last = not data
        if decoder is not None:
            data = decoder.decode(data, is_last).encode("utf-8", "replace")
        if form.newline == b"\r":
            data = data.replace(b"\r", b"\n")
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise HotlistError(f"a line is longer than {MAX_LINE_BYTES} bytes: is this a text file?")
        if is_last and rest:
            lines.append(rest)
        if lines:
            yield [line[:-1] if line[-1:] == b"\r" else line for line in lines]


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _cleaned(row: Sequence[str]) -> list[bytes] | None:
    """Encode the fields, with spaces for controls and line ends; None for what was not decodable."""
    try:
        return [
            (
                value if value.isprintable() else "".join(c if c >= " " and c != "\x7f" else " " for c in value)
            ).encode()
            for value in row
        ]
    except UnicodeEncodeError:
        return None

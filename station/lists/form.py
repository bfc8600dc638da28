"""Finds out the form of a list's file: encoding, line ends, delimiter, quoting, header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import HotlistError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from station.lists.plan import FileTable

SAMPLE_BYTES = 2**20
DELIMITERS = ",;\t|:"
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_SAMPLE_ROWS = 200
_WIDE_SHARE = 0.3
_MAX_TAIL = 3

HEADERS: dict[str, tuple[str, ...]] = {
    "plate": ("LIC", "PLATE", "PLATE NUMBER", "LICENSE PLATE", "LICENSE", "LICENSE NUMBER", "LICENCE PLATE", "TAG",
              "REGISTRATION", "REG", "PLATE NO", "LIC NO"),
    "region": ("LIS", "STATE", "PLATE STATE", "LICENSE STATE", "REGION", "PROVINCE", "ST", "ISSUING STATE"),
    "entry_id": ("NIC", "NIC NUMBER", "ENTRY ID", "ID", "RECORD ID", "RECORD NUMBER"),
    "reason": ("MKE", "REASON", "ALERT", "ALERT TYPE", "OFFENSE", "OFFENCE", "CATEGORY", "TYPE", "FILE"),
    "make": ("VMA", "MAKE", "VEHICLE MAKE"),
    "model": ("VMO", "MODEL", "VEHICLE MODEL"),
    "colour": ("VCO", "COLOR", "COLOUR", "VEHICLE COLOR"),
    "year": ("VYR", "YEAR", "VEHICLE YEAR", "MODEL YEAR"),
    "note": ("MIS", "NOTE", "NOTES", "COMMENT", "COMMENTS", "REMARKS", "DESCRIPTION"),
    "callback": ("ORI", "CALLBACK", "CONTACT", "AGENCY", "ENTERING AGENCY", "PHONE"),
    "expires": ("EXPIRES", "EXPIRY", "EXPIRATION", "EXPIRATION DATE", "EXPIRE DATE", "EXP DATE", "END DATE"),
}  # fmt: skip
"""Headers that are understood without a mapping, in upper case, ``_`` and ``-`` as spaces: common names and the
field codes of NCIC.  The order of columns in an extract of NCIC is not public, so there is no layout here."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a file."""

    encoding: str
    skip_bytes: int
    """Byte order mark."""
    newline: bytes
    """``\\n``, or ``\\r`` alone."""
    delimiter: str
    quote: str
    """Empty: nothing is quoted."""
    header: tuple[str, ...]
    """Names of the columns; empty without a header."""
    columns: int


def find_form(sample: bytes, told: FileTable, named: Sequence[str]) -> Form:
    """Return the form of a file that begins with ``sample``.

    ``told`` overrides what is found; ``named`` are column names of the mapping.  Raises HotlistError if the file is
    empty, or if no delimiter makes columns of it.
    """
    encoding, skip = _encoding(sample, told.encoding)
    text = sample[skip:].decode(encoding, "replace")
    if encoding.startswith("utf-16") and len(sample) % 2:
        text = text[:-1]
    if not text.strip():
        raise HotlistError("the file is empty")
    newline = b"\n" if "\n" in text or "\r" not in text else b"\r"
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(sample) >= SAMPLE_BYTES:
        lines = lines[:-1]
    lines = [line for line in lines[:_SAMPLE_ROWS] if line.strip()]
    if told.format == "fixed":
        return Form(encoding, skip, newline, "", "", (), 1)
    quote = _quote(lines) if told.quote is None else told.quote
    delimiter = told.delimiter or _delimiter(lines, quote)
    rows = _parse(lines, delimiter, quote)
    columns = Counter(map(len, rows)).most_common(1)[0][0]
    header = told.header if told.header is not None else _is_header(rows[0], named)
    return Form(encoding, skip, newline, delimiter, quote, tuple(rows[0]) if header else (), columns)


def simplify(name: str) -> str:
    """Return a header as it is compared."""
    return " ".join(name.replace("_", " ").replace("-", " ").split()).upper()


def known_columns(header: Sequence[str]) -> dict[str, int]:
    """Return the fields whose columns are recognised by their headers; numbers from 0."""
    places = {simplify(name): n for n, name in reversed(list(enumerate(header)))}
    return {
        field: next(places[name] for name in names if name in places)
        for field, names in HEADERS.items()
        if any(name in places for name in names)
    }


def csv_reader(lines: Iterable[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    """Return a parser of lines; an empty ``quote`` means that nothing is quoted."""
    if quote:
        return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=False)
    return csv.reader(lines, delimiter=delimiter, quotechar=None, quoting=csv.QUOTE_NONE, strict=False)


def _encoding(sample: bytes, told: str | None) -> tuple[str, int]:
    for mark, encoding in _BOMS:
        if sample.startswith(mark) and (told is None or told.startswith(encoding[:5])):
            return encoding, len(mark)
    if told is not None:
        return {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}.get(told, told), 0
    if sample:
        even, odd = sample[0::2].count(0) / len(sample) * 2, sample[1::2].count(0) / len(sample) * 2
        if odd > _WIDE_SHARE > even:
            return "utf-16-le", 0
        if even > _WIDE_SHARE > odd:
            return "utf-16-be", 0
    for tail in range(_MAX_TAIL + 1):  # a character may be cut at the end of the sample
        try:
            sample[: len(sample) - tail].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return "utf-8", 0
    return "cp1252", 0


def _quote(lines: Sequence[str]) -> str:
    double = sum(line.count('"') for line in lines)
    single = sum(line.startswith("'") and line.rstrip().endswith("'") for line in lines)
    return "'" if not double and single > len(lines) / 2 else '"'


def _delimiter(lines: Sequence[str], quote: str) -> str:
    """The delimiter that makes the same number of columns, the most, of the most lines."""
    best, found = (0.0, 0), ""
    for delimiter in DELIMITERS:
        counts = Counter(len(row) for row in _parse(lines, delimiter, quote))
        columns, rows = max(counts.items(), key=lambda item: (item[1], item[0]))
        score = (round(rows / len(lines), 1), columns)
        if columns > 1 and score > best:
            best, found = score, delimiter
    # A file of plates alone has one column; any delimiter does.
    return found or ","


def _parse(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    text = io.StringIO("\n".join(lines).replace("\0", " "), newline="")
    reader = csv_reader(text, delimiter, quote)
    rows: list[list[str]] = []
    with suppress(csv.Error):  # the rows before it are enough; the import reports the line
        rows.extend(reader)
    return rows or [[""]]


def _is_header(row: Sequence[str], named: Sequence[str]) -> bool:
    names = {simplify(name) for name in row}
    known = {name for names in HEADERS.values() for name in names}
    return bool(names & ({simplify(name) for name in named} or known)) or len(names & known) > 1

"""The audit log as a file for whoever computes a report again: one JSON object a line.

Lines are the exact bytes of the log's entries in their order, then those of the purges' certificates, whose hashes the
entries have.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from station.reports.lines import ReportError

if TYPE_CHECKING:
    from station.store.port import StoredHolds, StoredLog

MAX_LINE_CHARS = 2 * 2**20
_CERTIFICATE = '"kind":"'


def write_audit(log: StoredLog, holds: StoredHolds, out: IO[str]) -> None:
    """Write the file."""
    for _, entry in log.entries():
        out.write(entry.decode("ascii") + "\n")
    for row in holds.purges():
        out.write(row.certificate.decode("ascii") + "\n")


def read_audit(file: IO[str]) -> tuple[list[bytes], list[bytes]]:
    """Return entries and certificates; raises ReportError for anything but lines of ASCII."""
    entries: list[bytes] = []
    certificates: list[bytes] = []
    try:
        while text := file.readline(MAX_LINE_CHARS):
            line = text.rstrip("\n")
            if len(line) >= MAX_LINE_CHARS - 1:
                raise ReportError("not the file of an audit log: a line is too long")
            # Entries have no kind; the text of one has its quotes escaped.
            (certificates if _CERTIFICATE in line else entries).append(line.encode("ascii"))
    except UnicodeError as error:
        raise ReportError("not the file of an audit log: not ASCII") from error
    return entries, certificates

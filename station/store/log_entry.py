"""An entry of the audit log, from a row of the trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.merkle.entry import LogEntry

if TYPE_CHECKING:
    from station.store.rows import AuditRow


def entry_of(row: AuditRow) -> LogEntry:
    """Return the entry of a row of the trail."""
    return LogEntry(
        utc_us=row.utc_us,
        who=row.who,
        what=row.what,
        filter=row.filter,
        count=row.count,
        purpose=row.purpose,
        case_number=row.case_number,
        document=row.document.hex(),
    )

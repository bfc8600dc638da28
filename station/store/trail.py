"""Searches the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from station.store.tables import AUDIT

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from station.store.rows import AuditSearch


def trail_page(search: AuditSearch, before: int | None) -> Select[Any]:
    """Return the statement for entries with their numbers, in order, those beyond a number."""
    found: list[ColumnElement[bool]] = []
    equal = ((AUDIT.c.who, search.who), (AUDIT.c.case_number, search.case_number))
    found += [column == value for column, value in equal if value]
    if search.what:
        found.append(AUDIT.c.what.startswith(search.what, autoescape=True))
    if search.filter is not None:
        found.append(AUDIT.c.filter == search.filter)
    if search.since_us is not None:
        found.append(AUDIT.c.utc_us >= search.since_us)
    if search.until_us is not None:
        found.append(AUDIT.c.utc_us <= search.until_us)
    if search.names is not None:
        found.append(AUDIT.c.who.in_(sorted(search.names)))
    if before is not None:
        found.append(AUDIT.c.number > before if search.ascending else AUDIT.c.number < before)
    columns = (
        AUDIT.c.number, AUDIT.c.utc_us, AUDIT.c.who, AUDIT.c.what, AUDIT.c.filter, AUDIT.c.count,
        AUDIT.c.purpose, AUDIT.c.case_number,
    )  # fmt: skip
    return select(*columns).where(*found).order_by(AUDIT.c.number if search.ascending else AUDIT.c.number.desc())

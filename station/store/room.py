"""Room on the disk of a station's SQLite file: enough stays free for a purge, and a purge needs no more than that.

Deleted contents are overwritten (``secure_delete``), and every page that changes goes through SQLite's log first: in
one transaction a purge would need as much room as it frees.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, select, union_all

from station.errors import StoreError
from station.store.tables import HERE, PICTURES, RECORD_PICTURES, RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Select, Subquery, Table

    from station.store.database import Database
    from station.store.rows import PurgePlan

_KEPT_BYTES = 64 * 2**20
_KEPT_SHARE = 20
"""Of a small disk a twentieth is kept free."""
_LOG_FACTOR = 4
"""Pages that a purge writes to the log for each byte that it deletes, at most."""
_ROW_BYTES = 1_000
"""Rows of a record in all tables, without its payload."""
_MIN_STEP_BYTES = 256 * 1024


class DiskRoom:
    """The disk of one file."""

    def __init__(self, path: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> None:
        self._path = path
        self._statvfs = statvfs

    def check(self) -> None:
        """Raise StoreError if new messages would leave no room for a purge, or the disk cannot be asked."""
        try:
            disk = self._statvfs(self._path.parent)
        except OSError as error:
            raise StoreError(f"{self._path.parent}: {error.strerror}; check the disk") from error
        free = disk.f_bavail * disk.f_frsize
        if free < min(_KEPT_BYTES, disk.f_blocks * disk.f_frsize // _KEPT_SHARE):
            raise StoreError(
                f"{self._path}: {free / 2**20:,.0f} MiB are left on its disk, which a purge needs: delete records with "
                "`patrol-lpr station purge`, or enlarge the disk"
            )

    def steps(
        self, db: Database, plan: PurgePlan, due: ColumnElement[bool], expiring: Sequence[Table]
    ) -> list[PurgePlan]:
        """Split a plan into parts that fit into the free space, the oldest first; the last is the plan itself.

        ``expiring`` are the search tables of records that expire by themselves.
        """
        disk = self._statvfs(self._path.parent)
        budget = disk.f_bavail * disk.f_frsize // _LOG_FACTOR
        if self._path.stat().st_size < budget:
            return [plan]
        budget = max(budget, _MIN_STEP_BYTES)
        parts = []
        for (at,) in db.all(_cuts(due, budget)) if plan.rules else ():
            cut = at + 1
            earlier = tuple(replace(rule, before_us=cut) for rule in plan.rules if cut < rule.before_us)
            parts.append(replace(plan, expired_us=None, rules=earlier))
        for table in expiring if plan.expired_us is not None else ():
            cuts = db.all(_expiry_cuts(table, plan.expired_us or 0, budget))
            parts += [replace(plan, expired_us=at, rules=()) for (at,) in cuts]
        return [*(part for part in parts if part.rules or part.expired_us is not None), plan]


_NAMED = and_(RECORD_PICTURES.c.unit == PICTURES.c.unit, RECORD_PICTURES.c.sha == PICTURES.c.sha)
_PICTURES: Any = (
    select(func.coalesce(func.sum(PICTURES.c.total), 0))
    .select_from(RECORD_PICTURES.join(PICTURES, _NAMED))
    .where(RECORD_PICTURES.c.unit == RECORDS.c.unit, RECORD_PICTURES.c.record_id == RECORDS.c.record_id)
    .correlate(RECORDS)
    .scalar_subquery()
)
_SIZE = (func.length(RECORDS.c.payload) + _ROW_BYTES + _PICTURES).label("size")


def _cuts(due: ColumnElement[bool], budget: int) -> Select[Any]:
    """Times by which records and loose pictures of about ``budget`` bytes each have been received, in order."""
    loose = ~exists().select_from(RECORD_PICTURES).where(_NAMED).correlate(PICTURES)
    return _in_parts(
        union_all(
            select(RECORDS.c.received_us.label("at"), _SIZE).where(due),
            select(PICTURES.c.updated_us, PICTURES.c.total).where(loose),
        ).subquery(),
        budget,
    )


def _expiry_cuts(table: Table, expired_us: int, budget: int) -> Select[Any]:
    """Times by which records of about ``budget`` bytes each expire, in order."""
    same = and_(RECORDS.c.unit == table.c.unit, RECORDS.c.record_id == table.c.record_id, HERE)
    expired = table.c.expires_us.between(1, expired_us)
    statement = select(table.c.expires_us.label("at"), _SIZE).select_from(table.join(RECORDS, same)).where(expired)
    return _in_parts(statement.subquery(), budget)


def _in_parts(sizes: Subquery, budget: int) -> Select[Any]:
    running = select(
        sizes.c["at"], func.sum(sizes.c.size).over(order_by=sizes.c["at"], rows=(None, 0)).label("total")
    ).subquery()
    part = running.c.total / budget
    return select(func.max(running.c["at"])).group_by(func.floor(part)).order_by(func.max(running.c["at"]))

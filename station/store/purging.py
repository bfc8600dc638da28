"""The records that one purge deletes, in a temporary table: their own tables are emptied one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    LargeBinary,
    MetaData,
    Table,
    Text,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
)

from station.store.rows import Purgeable, PurgedRange
from station.store.tables import HELD, INT64, RECORDS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from station.store.database import Database

_NAME = "purging"
PURGING = Table(
    _NAME,
    MetaData(),
    Column("unit", Text),
    Column("record_id", LargeBinary),
    Column("seq", INT64),
    Column("life", LargeBinary),
    Column("received_us", INT64),
    Column("made_us", INT64),
    Column("retention", Text),
    Column("schema", Text),
)
_MADE = func.coalesce(RECORDS.c.utc_us, RECORDS.c.received_us)
_CHOSEN = (
    RECORDS.c.unit, RECORDS.c.record_id, RECORDS.c.seq, RECORDS.c.life, RECORDS.c.received_us, _MADE,
    func.coalesce(RECORDS.c.retention, ""), RECORDS.c.schema,
)  # fmt: skip
_CLASSES = (
    select(PURGING.c.retention, func.count(), func.min(PURGING.c.received_us), func.max(PURGING.c.received_us))
    .group_by(PURGING.c.retention)
    .order_by(PURGING.c.retention)
)


class Purging:
    """Inside one transaction."""

    def __init__(
        self, db: Database, columns: str = "TEXT, BLOB, INTEGER, BLOB, INTEGER, INTEGER, TEXT, TEXT"
    ) -> None:
        """``columns`` are the types of the columns of ``PURGING``."""
        self._db = db
        types = zip(PURGING.c.keys(), columns.split(", "), strict=True)
        self._db.driver_sql(
            f"CREATE TEMPORARY TABLE {_NAME} ({', '.join(f'{name} {kind}' for name, kind in types)})"
        )

    @property
    def chosen(self) -> ColumnElement[bool]:
        """A condition on ``RECORDS``."""
        keys = select(PURGING.c.unit, PURGING.c.record_id)
        return tuple_(RECORDS.c.unit, RECORDS.c.record_id).in_(keys)

    def choose(self, condition: ColumnElement[bool]) -> None:
        """Take the records of a condition."""
        statement = insert(PURGING).from_select(PURGING.c.keys(), select(*_CHOSEN).where(condition))
        self._db.run(statement)

    def spare_held(self) -> None:
        """Leave out what a hold keeps."""
        is_held = exists().where(HELD.c.unit == PURGING.c.unit, HELD.c.record_id == PURGING.c.record_id)
        self._db.run(delete(PURGING).where(is_held))

    def classes(self) -> tuple[Purgeable, ...]:
        """By retention class."""
        return tuple(Purgeable(*row) for row in self._db.run(_CLASSES))

    def ranges(self) -> tuple[PurgedRange, ...]:
        """Sequence numbers of each life, those that follow each other joined."""
        numbers = select(PURGING.c.unit, PURGING.c.life, PURGING.c.seq).distinct().subquery()
        series = (numbers.c.unit, numbers.c.life)
        before = func.lag(numbers.c.seq).over(partition_by=series, order_by=numbers.c.seq)
        marked = select(
            *series, numbers.c.seq, case((numbers.c.seq == before + 1, 0), else_=1).label("starts")
        ).subquery()
        group: Any = func.sum(marked.c.starts).over(
            partition_by=(marked.c.unit, marked.c.life), order_by=marked.c.seq
        )
        grouped = select(marked.c.unit, marked.c.life, marked.c.seq, group.label("part")).subquery()
        first, last = func.min(grouped.c.seq), func.max(grouped.c.seq)
        statement = (
            select(grouped.c.unit, first, last, grouped.c.life)
            .group_by(grouped.c.unit, grouped.c.life, grouped.c.part)
            .order_by(grouped.c.unit, grouped.c.life, first)
        )
        return tuple(
            PurgedRange(unit, low, high, bytes(life)) for unit, low, high, life in self._db.run(statement)
        )

    def end(self) -> None:
        """Drop the table."""
        self._db.driver_sql(f"DROP TABLE {_NAME}")

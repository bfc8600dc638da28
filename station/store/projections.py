"""Tables that index the contents of records, created from the registry.

They are only an index: displayed values come from the signed bytes.  If a type's columns change, or a new type becomes
known, its table is created again and filled from the stored records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    select,
    tuple_,
)

from station.store.tables import INT64, METADATA, PROJECTIONS, RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

    from protocol.wire.registry import Projection, RecordBody, RecordType, Registry, Value
    from station.store.database import Database

_KINDS: dict[type, Any] = {int: INT64, str: Text, bytes: LargeBinary, bool: Boolean}


PLACE = ("lat_e7", "lon_e7")
"""A table with both is searched by place."""


@dataclass(frozen=True, slots=True)
class Projected:
    """How records of one type are indexed in this database."""

    known: RecordType
    table: Table | None
    generation: int
    complete: bool
    """False while there are records of an earlier generation."""

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the table besides the record's key; none if there is no table."""
        return () if self.known.projection is None else tuple(c.name for c in self.known.projection.columns)

    def values(self, body: RecordBody) -> tuple[Value, ...]:
        """Return a record's values, in the order of ``names``."""
        columns = () if self.known.projection is None else self.known.projection.columns
        return tuple(column.value(body) for column in columns)


class Projections:
    """The registry's types and their tables."""

    def __init__(self, db: Database, registry: Registry) -> None:
        """Create missing tables, and recreate changed ones.  Inside a transaction.

        Raises ValueError if two types share a table, or a type uses one of the station's own.
        """
        self.registry = registry
        taken = set(METADATA.tables)
        self._by_schema: dict[str, Projected] = {}
        for known in registry:
            table = None if known.projection is None else _table(known.projection)
            if table is not None and table.name in taken:
                raise ValueError(f"{known.schema}: the table {table.name} is taken")
            taken |= set() if table is None else {table.name}
            self._by_schema[known.schema] = Projected(known, table, *self._generation(db, known, table))

    def __iter__(self) -> Iterator[Projected]:
        return iter(self._by_schema.values())

    def get(self, schema: str) -> Projected | None:
        """Return how a type is indexed; None for an unknown type."""
        return self._by_schema.get(schema)

    def tables_with(self, column: str) -> list[Table]:
        """Return the search tables that have a column of this name."""
        found = (projected.table for projected in self)
        return [table for table in found if table is not None and column in table.c]

    def create_table(self, db: Database, projection: Projection, table: Table) -> None:  # noqa: ARG002 - see PostgreSQL's
        """Create the search table of a type.  Inside a transaction."""
        db.create(table)

    def complete_table(self, db: Database, table: Table | None) -> None:
        """Create the index by place, which files of stations before 0.4 lack.  Inside a transaction."""
        if table is not None and {*PLACE} <= set(table.columns.keys()):
            db.create_index(_place_index(table))

    def _generation(self, db: Database, known: RecordType, table: Table | None) -> tuple[int, bool]:
        """Return the generation of a type's projection, new if its columns have changed, and whether it is complete."""
        wanted = _fingerprint(known.projection)
        row = db.run(_FOUND, {"of": known.schema}).first()
        if row is not None and row.fingerprint == wanted:
            self.complete_table(db, table)
            return int(row.generation), bool(row.complete)
        generation = 1 if row is None else int(row.generation) + 1
        # A type that was unknown has only opaque records, which are found without a scan of all records.
        complete = row is None
        if row is not None and row.fingerprint:
            db.drop(_bare_table(row.fingerprint))
        if table is not None and known.projection is not None:
            self.create_table(db, known.projection, table)
        kept = {"fingerprint": wanted, "generation": generation, "complete": int(complete)}
        db.run(
            db.insert(PROJECTIONS)
            .values(schema=known.schema, **kept)
            .on_conflict_do_update(index_elements=["schema"], set_=kept)
        )
        return generation, complete

    def delete(self, db: Database, gone: ColumnElement[bool]) -> None:
        """Drop the rows of records for which ``gone``, a condition on ``RECORDS``, is true.  Inside a transaction.

        A newer station may have left tables of types unknown to this one: their rows are deleted, too.
        """
        keys = select(RECORDS.c.unit, RECORDS.c.record_id).where(gone)
        for (fingerprint,) in db.run(select(PROJECTIONS.c.fingerprint)).all():
            if fingerprint:
                table = _bare_table(fingerprint)
                db.run(delete(table).where(tuple_(table.c.unit, table.c.record_id).in_(keys)))


def _key_columns() -> tuple[Column[Any], Column[Any]]:
    return Column("unit", Text, primary_key=True), Column("record_id", LargeBinary, primary_key=True)


def _bare_table(fingerprint: str) -> Table:
    return Table(fingerprint.partition("(")[0], MetaData(), *_key_columns())


def _table(projection: Projection) -> Table:
    table = Table(
        projection.table,
        MetaData(),
        *_key_columns(),
        *(Column(column.name, _KINDS[column.kind]) for column in projection.columns),
        sqlite_with_rowid=False,
    )
    for column in projection.columns:
        if column.indexed:
            Index(f"{projection.table}_{column.name}", table.c[column.name])
    if {*PLACE} <= set(table.columns.keys()):
        _place_index(table)
    return table


def _place_index(table: Table) -> Index:
    """Return the index by place; of one table, always the same."""
    name = f"{table.name}_place"
    found = next((index for index in table.indexes if index.name == name), None)
    return found or Index(name, *(table.c[column] for column in PLACE))


def _fingerprint(projection: Projection | None) -> str:
    if projection is None:
        return ""
    columns = (f"{c.name}:{c.kind.__name__}{'*' if c.indexed else ''}" for c in projection.columns)
    return f"{projection.table}({','.join(columns)})"


_FOUND = select(PROJECTIONS.c.fingerprint, PROJECTIONS.c.generation, PROJECTIONS.c.complete).where(
    PROJECTIONS.c.schema == bindparam("of")
)

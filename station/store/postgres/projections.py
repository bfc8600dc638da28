"""Search tables on PostgreSQL: partitioned like ``records``, with the time by which records are searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.store.postgres.days import days, partition
from station.store.projections import PLACE, Projections

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from protocol.wire.registry import Projection
    from station.store.database import Database
    from station.store.postgres.database import PostgresDatabase

KEY = ("unit", "record_id", "received_us", "made_us")
KEY_TYPES = ("text", "bytea", "int8", "int8")
TYPES = {str: "text", int: "int8", bytes: "bytea", bool: "bool"}
"""Names of PostgreSQL's types."""


class PostgresProjections(Projections):
    """See :class:`station.store.projections.Projections`.

    ``made_us`` is the record's own time, or the time of receipt while it has none.  There is no primary key: the gate
    of the records has let each in once.
    """

    def create_table(self, db: Database, projection: Projection, table: Table) -> None:  # noqa: ARG002 - as the base
        """Create the partitioned table with its indexes."""
        for statement in statements(projection):
            db.driver_sql(statement)

    def complete_table(self, db: Database, table: Table | None) -> None:
        """Nothing: every table has its indexes."""

    def delete(self, db: Database, gone: ColumnElement[bool]) -> None:
        """Not used: a purge deletes from them itself, by day or by key."""
        raise NotImplementedError


def search_tables(db: PostgresDatabase) -> dict[str, str]:
    """Names of the search tables, also those of types that only a newer station knows, with their types.

    Inside a transaction.
    """
    found = db.fetch("SELECT fingerprint, schema FROM projections WHERE fingerprint <> '' ORDER BY 1")
    return {fingerprint.partition("(")[0]: schema for fingerprint, schema in found}


def statements(projection: Projection) -> list[str]:
    """Statements that create a search table."""
    name = projection.table
    columns = "".join(f', "{c.name}" {TYPES[c.kind]}{_collation(c.kind)}' for c in projection.columns)
    made = [
        (
            f'CREATE TABLE IF NOT EXISTS "{name}" (unit text COLLATE "C" NOT NULL, record_id bytea NOT NULL, '
            f"received_us bigint NOT NULL, made_us bigint NOT NULL{columns}) PARTITION BY RANGE (received_us)"
        ),
        f'CREATE INDEX IF NOT EXISTS "{name}_made" ON "{name}" (made_us)',
        f'CREATE INDEX IF NOT EXISTS "{name}_unit" ON "{name}" (unit, made_us)',
    ]
    for column in projection.columns:
        if not column.indexed:
            continue
        made.append(f'CREATE INDEX IF NOT EXISTS "{name}_{column.name}" ON "{name}" ("{column.name}")')
        if column.kind is str:
            made.append(
                f'CREATE INDEX IF NOT EXISTS "{name}_{column.name}_parts" ON "{name}" '
                f'USING gin ("{column.name}" gin_trgm_ops)'
            )
    if {*PLACE} <= {column.name for column in projection.columns}:
        made.append(f'CREATE INDEX IF NOT EXISTS "{name}_place" ON "{name}" USING gist (point(lon_e7, lat_e7))')
    return made


def _collation(kind: type) -> str:
    """Byte order: an index then serves prefixes, and comparisons are fast."""
    return ' COLLATE "C"' if kind is str else ""


def tables_of_day(db: PostgresDatabase, day: int) -> dict[str, str]:
    """The search tables that have a partition for a day, with their types.  Inside a transaction."""
    return {name: schema for name, schema in search_tables(db).items() if day in days(db, name)}


def keep_only(db: PostgresDatabase, day: int, kept: str) -> dict[str, str]:
    """Copy what a day keeps of each search table, by the ids in the table ``kept``; return the copies' names."""
    copies = {}
    for name, schema in tables_of_day(db, day).items():
        old = partition(name, day)
        copy = f"{old}_kept"
        db.fetch(f'CREATE TABLE "{copy}" (LIKE "{name}" INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE)')
        db.fetch(
            f'INSERT INTO "{copy}" SELECT t.* FROM "{old}" t WHERE EXISTS (SELECT FROM "{kept}" k'  # noqa: S608 - tables of our own
            " WHERE k.unit = t.unit AND k.record_id = t.record_id AND k.schema = %s)",
            (schema,),
        )
        copies[name] = copy
    return copies

"""One connection to the station's database, and the differences between databases."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from station.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine, Executable, Index, Table

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""SQLAlchemy has ``ON CONFLICT`` only per dialect."""


class BulkStatement:
    """An insert of many rows, compiled once and passed to the driver directly.

    SQLAlchemy's processing of each row costs as much time as the database's.
    """

    def __init__(self, connection: Connection, statement: Any, names: tuple[str, ...]) -> None:
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(names))
        self._connection = connection
        self._sql = str(compiled)
        self._names = names
        self._is_positional = bool(compiled.positional)
        if self._is_positional and tuple(compiled.positiontup) != names:
            raise ValueError(f"columns {names} are not in the order of {compiled.positiontup}")

    def run(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert rows, inside a transaction; return how many were new."""
        if not rows:
            return 0
        values: Any = list(rows)
        if not self._is_positional:
            values = [dict(zip(self._names, row, strict=True)) for row in rows]
        return int(self._connection.exec_driver_sql(self._sql, values).rowcount)


class Database:
    """Runs statements.  Thread-safe: a transaction belongs to the thread that began it.

    The connection is in the driver's autocommit mode, and transactions are begun and ended here, so that a query never
    holds a lock after its result.
    """

    def __init__(self, engine: Engine, name: str, *, begin: str = "BEGIN") -> None:
        """``name`` is used in messages; ``begin`` is the statement that starts a write transaction."""
        self._engine = engine
        self._connection: Connection = engine.connect()
        self._name = name
        self._begin = begin
        self._lock = threading.RLock()
        self.insert: Any = _INSERTS[engine.dialect.name]
        """``insert`` of this dialect, with ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite."""
        return self._engine.dialect.name == "sqlite"

    @property
    def connection(self) -> Connection:
        """The SQLAlchemy connection, for migrations."""
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; raises StoreError if the database fails."""
        with self._lock:
            try:
                self.driver_sql(self._begin)
                try:
                    yield
                except BaseException:
                    self._roll_back()
                    raise
                self.driver_sql("COMMIT")
            except DBAPIError as error:
                self._roll_back()
                # Without the statement's parameters: they may be plates.
                raise StoreError(f"{self._name}: {error.orig}; check the disk") from error

    def _roll_back(self) -> None:
        """Roll back, if the database has not done so itself."""
        if getattr(self._connection.connection.dbapi_connection, "in_transaction", True):
            self.driver_sql("ROLLBACK")

    def driver_sql(self, statement: str) -> Any:
        """Run a statement specific to this database."""
        return self._connection.exec_driver_sql(statement)

    def truncate_log(self) -> None:
        """Empty SQLite's log, outside the transactions of other threads, which it would fail in.  Raises StoreError."""
        with self._lock:
            try:
                self.driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            except DBAPIError as error:
                raise StoreError(f"{self._name}: {error.orig}; check the disk") from error

    def run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """Run one statement inside a transaction, once for each of ``values``."""
        if isinstance(values, (list, tuple)) and not values:
            return None
        return self._connection.execute(statement, values)

    def bulk(self, statement: Any, names: Sequence[str]) -> BulkStatement:
        """Prepare an insert of many rows at a time; ``names`` are the columns of a row, in order."""
        return BulkStatement(self._connection, statement, tuple(names))

    def all(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return all rows.  Raises StoreError."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).all()
            except DBAPIError as error:
                raise StoreError(
                    f"{self._name}: {error.orig}; check the disk, or restore the file from the backup"
                ) from error

    def first(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first row; None if there is none.  Raises StoreError."""
        rows = self.all(statement, values)
        return rows[0] if rows else None

    def one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """A condition: the column has one of the values that are bound as a list under a name."""
        return column.in_(bindparam(name, expanding=True))

    def lock(self, kind: str, key: bytes, *, shared: bool = False) -> None:
        """Wait until no other transaction holds this lock, until this one ends; SQLite has one writer at a time."""

    def create(self, table: Table) -> None:
        """Create a table with its indexes unless it exists."""
        table.create(self._connection, checkfirst=True)

    def create_index(self, index: Index) -> None:
        """Create an index unless it exists."""
        index.create(self._connection, checkfirst=True)

    def drop(self, table: Table) -> None:
        """Drop a table if it exists."""
        table.drop(self._connection, checkfirst=True)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        self._engine.dispose()

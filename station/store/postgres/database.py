"""Connections to PostgreSQL through psycopg, pooled; a transaction has one of its own."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import any_, bindparam, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from station.errors import StoreError
from station.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine, Executable, Table

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "patrol-lpr",
    "client_encoding": "UTF8",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that vanished is noticed within half a minute."""
_SETTINGS = (
    "SET lock_timeout = '30s'",
    # Planning over a hundred partitions takes longer than most statements; see `custom_plans`.
    "SET plan_cache_mode = force_generic_plan",
    # Solid-state disks; and starting helpers takes longer than a search.
    "SET random_page_cost = 1.1",
    "SET max_parallel_workers_per_gather = 0",
    # A general plan over sixty days looks expensive: compiling it took 4.2 s, and running it 2 ms.
    "SET jit = off",
)
_CONNECTIONS = 8


class PostgresDatabase(Database):
    """See :class:`station.store.database.Database`.  Thread-safe: each transaction has a connection of its own."""

    def __init__(self, dsn: str) -> None:
        """``dsn`` is anything that libpq accepts, such as a list of hosts.  Nothing is connected yet.

        Raises StoreError if it cannot be parsed.
        """
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.Error as error:
            # Without the text itself: it may contain a password.
            raise StoreError(
                "the database address cannot be parsed: use postgresql://USER@HOST/DATABASE, or a list of libpq's "
                "keywords"
            ) from error
        self._name = f"postgresql://{given.get('host') or 'local'}/{given.get('dbname') or ''}"
        options: dict[str, Any] = {**_DEFAULTS, **given}
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: _connect(options),
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=30,
            hide_parameters=True,
        )
        self._local = threading.local()
        self.insert: Any = postgresql.insert

    @property
    def name(self) -> str:
        """Host and database, for messages."""
        return self._name

    @property
    def is_sqlite(self) -> bool:
        """False."""
        return False

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine."""
        return self._engine

    @property
    def connection(self) -> Connection:
        """The connection of this thread's transaction.  Raises StoreError outside one."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None:
            raise StoreError(f"{self._name}: this needs a transaction")
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, READ COMMITTED; raises StoreError if the database fails."""
        with self._failures():
            connection = self._engine.connect()
            self._local.connection = connection
            try:
                with connection.begin():
                    yield
            except psycopg.OperationalError:
                # Raised by COPY, past SQLAlchemy: the connection is not to be used again.
                connection.invalidate()
                raise
            finally:
                self._local.connection = None
                connection.close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, psycopg.Error, PoolTimeoutError) as error:
            # Without the statement's parameters, and without the server's detail: both may contain plates.
            raise StoreError(f"{self._name}: {_reason(error)}; check the database server") from None

    @contextmanager
    def _any_connection(self) -> Iterator[Connection]:
        """The transaction's connection, or one for a single statement."""
        own: Connection | None = getattr(self._local, "connection", None)
        if own is not None:
            yield own
            return
        with self._failures(), self._engine.connect() as connection:
            yield connection

    def driver_sql(self, statement: str, values: Any = None) -> Any:
        """Run a statement specific to PostgreSQL."""
        own: Connection | None = getattr(self._local, "connection", None)
        if own is not None:
            return own.exec_driver_sql(statement, values)
        with self._failures(), self._engine.begin() as connection:
            result = connection.exec_driver_sql(statement, values)
            return result.freeze()() if result.returns_rows else result

    def run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """Run one statement inside a transaction, once for each of ``values``."""
        if isinstance(values, (list, tuple)) and not values:
            return None
        return self.connection.execute(statement, values)

    def all(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return all rows.  Raises StoreError."""
        with self._any_connection() as connection:
            return connection.execute(statement, values).all()

    def copy(self, table: str, names: Sequence[str], types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows by COPY, inside a transaction."""
        driver: Any = self.connection.connection.driver_connection
        columns = ", ".join(f'"{name}"' for name in names)
        with (
            driver.cursor() as cursor,
            cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN (FORMAT BINARY)') as copy,
        ):
            copy.set_types(list(types))
            for row in rows:
                copy.write_row(row)

    def fetch(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with psycopg's own placeholders, inside a transaction; return its rows."""
        driver: Any = self.connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute(statement, values)
            return [] if cursor.description is None else list(cursor.fetchall())

    def one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """By one array: a statement for each length of the list would not stay prepared."""
        return column == any_(bindparam(name, type_=postgresql.ARRAY(column.type)))

    def lock(self, kind: str, key: bytes, *, shared: bool = False) -> None:
        """Take an advisory lock until the transaction ends."""
        name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        self.fetch(f"SELECT {name}(hashtextextended(%s || encode(%b, 'hex'), 0))", (kind, key))

    def try_lock(self, kind: str) -> bool:
        """Take an advisory lock until the transaction ends; False if another one has it."""
        return bool(self.fetch("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (kind,))[0][0])

    def create(self, table: Table) -> None:
        """Create a table with its indexes unless it exists."""
        table.create(self.connection, checkfirst=True)

    def drop(self, table: Table) -> None:
        """Drop a table if it exists."""
        table.drop(self.connection, checkfirst=True)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _connect(options: dict[str, Any]) -> psycopg.Connection[Any]:
    connection = psycopg.connect(prepare_threshold=2, **options)
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None) or error
    diagnostics = getattr(original, "diag", None)
    primary = None if diagnostics is None else diagnostics.message_primary
    return str(primary or original).strip().replace("\n", " ") or type(original).__name__

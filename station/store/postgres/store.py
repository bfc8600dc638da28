"""The store on PostgreSQL."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from protocol.wire.released import released_registry
from station.asker import EVERYTHING
from station.errors import StoreError
from station.store.migrations import LATEST, upgrade
from station.store.pictures import Pictures
from station.store.postgres import ranges
from station.store.postgres.database import PostgresDatabase
from station.store.postgres.files import DatabaseFiles
from station.store.postgres.find import PostgresFinder
from station.store.postgres.map_finder import PostgresMapFinder
from station.store.postgres.projections import PostgresProjections
from station.store.postgres.records import PostgresRecords
from station.store.postgres.reporting import PostgresReporting
from station.store.sql_store import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.registry import Registry
    from station.asker import Scope
    from station.store.contents import NewRecord
    from station.store.rows import ChunkResult, UnitRow

_JOIN_EVERY = 256
"""Number of transactions with records after which ranges are joined."""
_FOREIGN = {"spatial_ref_sys"}
"""Tables of extensions."""
_NEW_UNITS = """
INSERT INTO units (unit, seen_us) SELECT k.unit, %s FROM unnest(%b::text[]) AS k(unit)
WHERE NOT EXISTS (SELECT FROM units u WHERE u.unit = k.unit) ORDER BY 1 ON CONFLICT DO NOTHING
"""
_SEEN = """
UPDATE units SET seen_us = %s WHERE unit IN (
    SELECT unit FROM units WHERE unit = ANY(%s) AND (seen_us IS NULL OR seen_us <> %s)
    ORDER BY unit FOR UPDATE SKIP LOCKED
)
"""


def open_postgres_store(
    dsn: str,
    *,
    must_exist: bool = False,
    registry: Registry | None = None,
    open_picture: Callable[[bytes], bytes | None] = lambda _: None,
) -> PostgresStore:
    """See :func:`station.store.open_store`."""
    db = PostgresDatabase(dsn)
    try:
        migrate(db, must_exist=must_exist)
        return PostgresStore(db, registry or released_registry(), open_picture)
    except BaseException:
        db.close()
        raise


def migrate(db: PostgresDatabase, *, must_exist: bool) -> None:
    """Create or migrate the tables, in one transaction.

    Raises StoreError for a database without a station's tables, if they must exist, of another application or newer.
    """
    try:
        with db.transaction():
            db.lock("migrate", b"")
            version = _version(db, must_exist=must_exist)
            if version < LATEST:
                upgrade(db.connection)
    except SQLAlchemyError as error:
        raise StoreError(f"{db.name}: cannot be migrated: {error}") from error


def _version(db: PostgresDatabase, *, must_exist: bool) -> int:
    tables = set(inspect(db.connection).get_table_names()) - _FOREIGN
    if not tables and must_exist:
        raise StoreError(f"{db.name} has no station's tables: start the station on it first")
    if not tables:
        ((encoding,),) = db.fetch("SHOW server_encoding")
        if encoding != "UTF8":
            raise StoreError(f"{db.name} has the encoding {encoding}: create the database with ENCODING 'UTF8'")
        return 0
    if not {"alembic_version", "records", "evidence"} <= tables:
        raise StoreError(f"{db.name} belongs to another application: create a database for the station")
    ((revision,),) = db.fetch("SELECT version_num FROM alembic_version")
    if not revision.isdecimal() or int(revision) > LATEST:
        raise StoreError(
            f"{db.name} has version {revision}, this station supports up to {LATEST}: install the newer station"
        )
    return int(revision)


class PostgresPictures(Pictures):
    """See :class:`station.store.pictures.Pictures`."""

    def __init__(self, db: PostgresDatabase, open_picture: Callable[[bytes], bytes | None]) -> None:
        super().__init__(db, open_picture)
        self._pg = db

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Two workers may have chunks of one picture: one waits for the other's commit."""
        self._pg.lock("picture", hashlib.sha256(chunk.unit.encode() + b"\0" + chunk.sha256).digest())
        return super().add_chunk(chunk, now_us)


class PostgresStore(SqlStore):
    """See :class:`station.store.port.Store`.  Any number of processes may use the database at the same time."""

    def __init__(
        self, db: PostgresDatabase, registry: Registry, open_picture: Callable[[bytes], bytes | None]
    ) -> None:
        self._pg = db
        self._n_adds = 0

        def make_records() -> PostgresRecords:
            # Two stations that open a new database at once would create its tables twice.
            db.lock("projections", b"")
            self._pg_records = PostgresRecords(db, PostgresProjections(db, registry))
            return self._pg_records

        super().__init__(
            db,
            DatabaseFiles(db),
            registry,
            open_picture,
            make_records=make_records,
            pictures=PostgresPictures(db, open_picture),
            finder=lambda records: PostgresFinder(db, records),
            reporting=PostgresReporting(db, tuple(known.schema for known in registry)),
            map_finder=lambda finder: PostgresMapFinder(db, finder),
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; ranges of numbers are joined in another one after it, now and then."""
        try:
            with self._pg.transaction():
                yield
        except BaseException:
            self._agencies.forget()
            raise
        if self._n_adds >= _JOIN_EVERY:
            self._n_adds = 0
            with self._pg.transaction():
                ranges.join(self._pg)

    def _add(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        self._n_adds += 1
        return self._pg_records.add(new, now_us)

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """A unit that another worker notes at the moment is skipped: nobody waits for it."""
        names = sorted(set(units))
        if names:
            self._pg.fetch(_NEW_UNITS, (now_us, names))
            self._pg.fetch(_SEEN, (now_us, names, now_us))

    def units(
        self,
        scope: Scope = EVERYTHING,
        *,
        after: str = "",
        limit: int | None = None,
        count_reads: bool = True,
    ) -> list[UnitRow]:
        """On one connection: there are several statements for each unit."""
        with self._pg.transaction():
            return super().units(scope, after=after, limit=limit, count_reads=count_reads)

    def forget_freed(self) -> None:
        """Dropped partitions are removed with their files; freed rows are overwritten in time (see docs/station.md)."""

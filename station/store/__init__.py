"""The station's store, behind a port: SQLite by default, or PostgreSQL; both pass the contract tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from protocol.wire.released import released_registry
from station.errors import StoreError
from station.store.contents import NewRecord
from station.store.port import Store, Stream
from station.store.rows import (
    AuditRow,
    AuditSearch,
    ChunkResult,
    DeadLetter,
    EvidenceRow,
    Gap,
    HealthRow,
    OfferedFile,
    OutputState,
    Purgeable,
    PurgeResult,
    RecordRow,
    Rollout,
    SeriesRow,
    StoreFault,
    StreamPlace,
    StreamRow,
    UnitRow,
    Usage,
)
from station.store.rows_accounts import AccountRow, ExportRow, SearchRow, SessionRow, TokenRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.wire.registry import Registry

__all__ = [
    "AccountRow",
    "AuditRow",
    "AuditSearch",
    "ChunkResult",
    "DeadLetter",
    "EvidenceRow",
    "ExportRow",
    "Gap",
    "HealthRow",
    "NewRecord",
    "OfferedFile",
    "OutputState",
    "PurgeResult",
    "Purgeable",
    "RecordRow",
    "Rollout",
    "SearchRow",
    "SeriesRow",
    "SessionRow",
    "Store",
    "StoreFault",
    "Stream",
    "StreamPlace",
    "StreamRow",
    "TokenRow",
    "UnitRow",
    "Usage",
    "is_address",
    "move_store",
    "open_store",
]


_NEEDS_POSTGRES = (
    "PostgreSQL needs SQLAlchemy, Alembic and psycopg: in the checkout, pip install -e '.[station,postgres]'"
)


def is_address(place: Path | str) -> bool:
    """True for the address of a PostgreSQL database."""
    return isinstance(place, str) and place.startswith(("postgresql://", "postgres://"))


def open_store(
    place: Path | str,
    *,
    must_exist: bool = False,
    registry: Registry | None = None,
    open_picture: Callable[[bytes], bytes | None] = lambda _: None,
) -> Store:
    """Open the station's file, or its database at ``postgresql://...``; it is created or migrated first.

    ``registry`` has the known record types, all released ones if omitted; ``open_picture`` opens a sealed picture, and
    returns None for one that is not sealed.  Raises StoreError for a file or database that is missing, damaged, of
    another application or newer, which is not changed, and if the extra ``station`` or ``postgres`` is not installed.
    """
    if is_address(place):
        try:
            from station.store.postgres.store import open_postgres_store  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise StoreError(_NEEDS_POSTGRES) from error
        return open_postgres_store(str(place), must_exist=must_exist, registry=registry, open_picture=open_picture)
    try:
        from station.store.sqlite_file import open_sqlite_store  # noqa: PLC0415 - an extra: a unit needs none of it
    except ImportError as error:
        raise StoreError(
            "the station's file needs SQLAlchemy and Alembic: in the checkout, pip install -e '.[station]'"
        ) from error
    return open_sqlite_store(Path(place), must_exist=must_exist, registry=registry, open_picture=open_picture)


def move_store(file: Path, address: str, entry: AuditRow) -> tuple[int, int, int]:
    """Copy a station's file into an empty PostgreSQL database, in one transaction.

    Returns the numbers of records, of proofs and of pictures.  The file stays, and must not be used any more.  Raises
    StoreError, and then nothing was copied.
    """
    try:
        from station.store.postgres.move import move  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise StoreError(_NEEDS_POSTGRES) from error
    moved = move(file, address, released_registry(), entry)
    return moved.records, moved.proofs, moved.pictures

"""The store's interface for ingest, query and commands; ``tests/contract/test_station_store.py`` is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from station.asker import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.transfer import ChunkRequest
    from protocol.wire.control.unit_state import Health, Status
    from protocol.wire.registry import Registry
    from station.asker import Scope
    from station.store.accounts import AccountTables
    from station.store.contents import NewRecord
    from station.store.exports import ExportTables
    from station.store.offers import Offered
    from station.store.rows import (
        AuditRow,
        AuditSearch,
        ChunkResult,
        EvidenceRow,
        Gap,
        OfferedFile,
        Purgeable,
        PurgeResult,
        RecordRow,
        StoreFault,
        UnitRow,
    )
    from station.store.search import FoundRead, Place, ReadSearch


class Store(Protocol):
    """Stores every record once, with gaps, pictures, offers and the audit trail.

    All writes are inside :meth:`transaction`; a receipt may be sent only after it.  Every method raises StoreError if
    the database fails.
    """

    @property
    def registry(self) -> Registry:
        """The known record types."""

    @property
    def accounts(self) -> AccountTables:
        """People's accounts, sessions and tokens."""

    @property
    def exports(self) -> ExportTables:
        """People's searches and exports."""

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction, durable at its end."""

    def add_records(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        """Store records with their evidence; False for each that was already stored.  Inside a transaction."""

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Store the new bytes of a chunk; chunks may come in any order.  Inside a transaction."""

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """Record that these units sent something themselves.  Inside a transaction."""

    def note_health(self, message: Health, payload: bytes, now_us: int) -> None:
        """Store the latest health of a unit.  Inside a transaction."""

    def note_status(self, message: Status, now_us: int) -> None:
        """Store the latest status of a unit, which may be outdated or its will.  Inside a transaction."""

    def note_report(self, unit: str, payload: bytes) -> None:
        """Store a unit's latest report on updates.  Inside a transaction."""

    def audit(self, entry: AuditRow) -> None:
        """Add an entry to the audit trail.  Inside a transaction."""

    def purge(self, before_us: int, retention: str | None) -> PurgeResult:
        """Purge records of a retention class, None for all, made or received before a time, and their pictures.

        A record's row stays, so that it is neither missing nor stored again, as does its digest, without the salt.
        Inside a transaction; :meth:`forget_freed` must follow.
        """

    def purgeable(self, before_us: int, retention: str | None) -> list[Purgeable]:
        """Return what a purge would delete, one row per retention class, in their order."""

    def newest_us(self) -> int | None:
        """Return the time of receipt of the newest record, UTC; None without records."""

    def forget_freed(self) -> None:
        """Overwrite remains of deleted contents in the database; outside a transaction."""

    def offer(self, unit: str, file: OfferedFile, now_us: int) -> None:
        """Offer a stored file to a unit; replaces an earlier offer of its kind.  Inside a transaction."""

    def withdraw(self, unit: str, kind: str) -> bool:
        """Withdraw the offer of a kind to a unit; False if there was none.  Inside a transaction."""

    def offers(self) -> list[Offered]:
        """Return all offers, including withdrawn ones, one row per unit and kind."""

    def keep_file(self, source: Path, kind: str) -> tuple[bytes, int]:
        """Copy a file to the folder of its kind; return its hash and size."""

    def drop_unoffered(self, kind: str, now_us: int) -> int:
        """Delete copies of a kind that have not been offered to any unit for a day; return their number."""

    def file_bytes(self, request: ChunkRequest) -> tuple[str, bytes] | None:
        """Return the requested bytes, as topic and payload; None if the file is not offered to the unit."""

    def latest(
        self,
        schema: str,
        *,
        unit: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
        scope: Scope = EVERYTHING,
    ) -> list[RecordRow]:
        """Return the latest ``limit`` records of a type, or all, in the order of arrival.

        ``since_us`` is compared with the time of receipt.
        """

    def each(
        self, schema: str, *, unit: str | None = None, since_us: int | None = None, scope: Scope = EVERYTHING
    ) -> Iterator[RecordRow]:
        """Yield records of a type in the order of arrival, without loading all into memory."""

    def record(self, unit: str, record_id: bytes) -> RecordRow | None:
        """Return a record; None if it is unknown or was purged."""

    def find(
        self, search: ReadSearch, *, limit: int, after: Place | None = None, scope: Scope = EVERYTHING
    ) -> list[FoundRead]:
        """Return reads by time, the latest first, and of equal times in a fixed order; ``after`` one found before.

        Reads that come meanwhile are neither repeated nor do they hide others.
        """

    def picture(self, unit: str, sha256: bytes) -> bytes | None:
        """Return a complete picture; None if it is unknown or incomplete."""

    def count_pictures(self) -> int:
        """Return the number of complete pictures."""

    def health(self, unit: str) -> bytes | None:
        """Return the unit's latest health message as received; None if there is none."""

    def has_unit(self, unit: str, scope: Scope) -> bool:
        """Return whether a unit is known, and may be seen."""

    def units(
        self,
        scope: Scope = EVERYTHING,
        *,
        after: str = "",
        limit: int | None = None,
        count_reads: bool = True,
    ) -> list[UnitRow]:
        """Return the state of every unit that ever sent something, by name; at most ``limit`` after a name.

        Counting reads takes long on a large database.
        """

    def gaps(self, unit: str) -> list[Gap]:
        """Return the gaps of a unit, in order: explained, or missing."""

    def seen(self, unit: str) -> list[tuple[int, int]]:
        """Return the ranges of received sequence numbers, in order."""

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """Yield the evidence of a unit's records in order, with the records that were not purged."""

    def faults(self) -> Iterator[StoreFault]:
        """Yield what differs from the signed bytes: columns, search tables, pictures."""

    def evidence_near(self, unit: str, seq: int) -> list[EvidenceRow]:
        """Return the evidence of a record, and of those before and after it."""

    def audit_page(
        self, search: AuditSearch, *, limit: int, before: int | None = None
    ) -> list[tuple[int, AuditRow]]:
        """Return entries of the audit trail with their numbers, the newest first; those before a number."""

    def audit_trail(self) -> list[AuditRow]:
        """Return the audit trail, oldest first."""

    def close(self) -> None:
        """Close the store."""

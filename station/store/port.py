"""What ingest, query and commands need of a store; ``tests/contract/test_station_store.py`` says how it behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from protocol.update.manifest import Manifest
    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.transfer import ChunkRequest
    from protocol.wire.control.unit_state import Health, Status
    from protocol.wire.registry import Registry
    from station.store.contents import NewRecord
    from station.store.offers import Offered
    from station.store.rows import AuditRow, ChunkResult, EvidenceRow, Gap, PurgeResult, RecordRow, UnitRow


class Store(Protocol):
    """Every record once, what explains the ones that never came, and who asked.

    All writing happens inside :meth:`transaction`; a receipt may be sent only after it.  Every method raises
    StoreError when the database does not take or give what it is asked for.
    """

    @property
    def registry(self) -> Registry:
        """The record types that it understands."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, durable at its end."""

    def add_records(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        """Keep records with their proofs; False for each that was here already.  Inside a transaction."""

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Keep what a chunk adds to its picture, in whatever order chunks come.  Inside a transaction."""

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """Note that these units sent something themselves.  Inside a transaction."""

    def note_health(self, message: Health, payload: bytes, now_us: int) -> None:
        """Keep the latest health of a unit.  Inside a transaction."""

    def note_status(self, message: Status, now_us: int) -> None:
        """Keep the latest status of a unit, which may be old news or its will.  Inside a transaction."""

    def note_report(self, unit: str, payload: bytes) -> None:
        """Keep what a unit said last of its releases.  Inside a transaction."""

    def audit(self, entry: AuditRow) -> None:
        """Note who asked for what, or did what.  Inside a transaction."""

    def purge(self, before_us: int, retention: str | None) -> PurgeResult:
        """Forget records of a retention class, None for all, made or received before a time, and their pictures.

        That a record was here is remembered, so that it is neither missed nor stored again; so is its digest, without
        the salt.  Inside a transaction; :meth:`forget_freed` follows it.
        """

    def forget_freed(self) -> None:
        """Overwrite what the database still holds of deleted contents; outside a transaction."""

    def offer(self, unit: str, manifest: Manifest, kept: tuple[bytes, int], now_us: int) -> None:
        """Want a unit to run a kept update: its hash and size.  Inside a transaction."""

    def withdraw(self, unit: str) -> bool:
        """Want a unit to run nothing else; False when nothing was offered.  Inside a transaction."""

    def offers(self) -> list[Offered]:
        """Return what is offered or was withdrawn, a row a unit."""

    def keep_file(self, source: Path) -> tuple[bytes, int]:
        """Copy a file to where units get it from; return its hash and size."""

    def update_bytes(self, request: ChunkRequest) -> tuple[str, bytes] | None:
        """Return what a unit asked for, as topic and payload; None when that is not offered to it."""

    def latest(
        self, schema: str, *, unit: str | None = None, since_us: int | None = None, limit: int | None = None
    ) -> list[RecordRow]:
        """Return the latest ``limit`` records of a type, or all, in the order they came.

        ``since_us`` is when they were received.
        """

    def each(self, schema: str, *, unit: str | None = None, since_us: int | None = None) -> Iterator[RecordRow]:
        """Yield records of a type in the order they came, without holding them all in memory."""

    def record(self, unit: str, record_id: bytes) -> RecordRow | None:
        """Return a record; None when it is not here, or was purged."""

    def picture(self, unit: str, sha256: bytes) -> bytes | None:
        """Return a whole picture; None when it is not here, or not yet."""

    def count_pictures(self) -> int:
        """Return how many whole pictures are here."""

    def health(self, unit: str) -> bytes | None:
        """Return the unit's latest health message as it came; None when there is none."""

    def units(self) -> list[UnitRow]:
        """Return what is known of every unit that was ever heard."""

    def gaps(self, unit: str) -> list[Gap]:
        """Return the sequence numbers that never came, in order: evicted, or missing."""

    def seen(self, unit: str) -> list[tuple[int, int]]:
        """Return the ranges of sequence numbers that came, in order."""

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """Yield the proofs of a unit's records in order, with the records that are still here."""

    def audit_trail(self) -> list[AuditRow]:
        """Return who asked for what, or did what, oldest first."""

    def close(self) -> None:
        """Release it."""

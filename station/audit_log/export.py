"""Writes the audit log for offline verification: whole, or some entries with their proofs."""

from __future__ import annotations

from itertools import chain, groupby
from typing import IO, TYPE_CHECKING

from protocol.errors import CheckpointError
from protocol.merkle.checkpoint import parse_checkpoint
from protocol.merkle.documents import HoldRelease, HoldStatement, PurgeCertificate, document_hash
from protocol.merkle.entry import decode_entry
from protocol.merkle.export import (
    LogDocument,
    LogHeader,
    LogNote,
    LogProof,
    LogRange,
    LogSignature,
    parts_of,
    write_log,
)
from protocol.wire.codec import MAX_ITEMS
from station.errors import StoreError
from station.store.rows import ANY_LIFE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from protocol.merkle.export import Row
    from protocol.seal import KeyRing
    from station.store import Store
    from station.store.rows import CheckpointRow, ConflictRow


class LogExport:
    """Of one store."""

    def __init__(self, store: Store, ring: KeyRing, station: str, utc_us: int) -> None:
        """``ring`` has the keys that go into the file, beside the log's own."""
        self._store = store
        self._ring = ring
        self._station = station
        self._utc_us = utc_us

    def whole(self, out: IO[bytes]) -> int:
        """Write all entries; return how many.  Entries that come meanwhile are left out."""
        size = self._store.log.size()
        notes = [row for row in self._store.log.checkpoints() if row.size <= size]
        # One after the other: millions of entries are not held in memory.
        self._write(out, size, chain(self._notes(notes), self._documents(), parts_of(self._entries(size))))
        return size

    def some(self, out: IO[bytes], numbers: Sequence[int]) -> None:
        """Write these entries with their proofs, and the documents that they are about.

        Raises StoreError for an entry that is not there, or that no checkpoint covers yet.
        """
        latest = next(iter(self._store.log.checkpoints(latest=1)), None)
        if latest is None or any(number >= latest.size for number in numbers):
            raise StoreError(
                "no signed checkpoint covers this entry yet: give --keys with the station's log.key, or start the "
                "station with them"
            )
        proofs = [self._proof(number, latest.size) for number in numbers]
        wanted = {decode_entry(proof.entry).document for proof in proofs}
        rows = [*self._notes([latest]), *self._documents(wanted), *proofs]
        self._write(out, latest.size, rows)

    def _write(self, out: IO[bytes], size: int, rows: Iterable[Row]) -> None:
        log = self._ring.log
        units = tuple((unit, key.raw) for unit, keys in sorted(self._ring.units.items()) for key in keys.values())
        header = LogHeader(
            station=self._station,
            utc_us=self._utc_us,
            size=size,
            public_key=None if log is None else log.public.raw,
            keys=units[:MAX_ITEMS],
        )
        write_log(out, header, rows)

    def _proof(self, number: int, size: int) -> LogProof:
        entry = self._store.log.entry(number)
        if entry is None:
            raise StoreError(f"the audit log has no entry {number}")
        return LogProof(
            number=number, entry=entry, size=size, proof=tuple(self._store.log.inclusion(number, size))
        )

    def _entries(self, size: int) -> Iterator[tuple[int, bytes]]:
        for number, entry in self._store.log.entries():
            if number >= size:
                return
            yield number, entry

    def _notes(self, rows: Sequence[CheckpointRow]) -> Iterator[Row]:
        """Checkpoints, countersignatures of those, and what units keep against this log."""
        for row in rows:
            yield LogNote(note=row.note.encode())
        sizes = {row.size for row in rows}
        for witness in self._store.log.witnesses():
            if witness.line and witness.size in sizes:
                yield LogSignature(unit=witness.unit, size=witness.size, line=witness.line.encode(), note=b"")
        for kept in standing_conflicts(self._store):
            yield LogSignature(unit=kept.unit, size=kept.size, line=b"", note=kept.note.encode())

    def _documents(self, wanted: set[str] | None = None) -> Iterator[Row]:
        """All, or those with these hashes."""
        found: list[tuple[str, int, bytes]] = []
        for hold in self._store.holds.holds():
            found.append((HoldStatement.KIND, hold.number, hold.statement))
            if hold.release is not None:
                found.append((HoldRelease.KIND, hold.number, hold.release))
        found += [(PurgeCertificate.KIND, row.number, row.certificate) for row in self._store.holds.purges()]
        for kind, number, data in found:
            if wanted is not None and document_hash(data).hex() not in wanted:
                continue
            yield LogDocument(kind=kind, data=data)
            if kind == PurgeCertificate.KIND:
                yield from self._ranges(number)

    def _ranges(self, purge: int) -> Iterator[LogRange]:
        named = groupby(self._store.holds.ranges(purge), key=lambda found: (found.unit, found.life))
        for (unit, life), group in named:
            ranges = [(found.first, found.last) for found in group]
            for start in range(0, len(ranges), MAX_ITEMS):
                yield LogRange(
                    purge=purge,
                    unit=unit,
                    ranges=tuple(ranges[start : start + MAX_ITEMS]),
                    # The certificate of a purge of any life has no lives.
                    life=b"" if life == ANY_LIFE else life,
                )


def standing_conflicts(store: Store) -> list[ConflictRow]:
    """Return checkpoints that units keep and that the log still does not continue."""
    log, standing = store.log, []
    size = log.size()
    for row in log.conflicts():
        try:
            kept = parse_checkpoint(row.note).checkpoint
        except CheckpointError:
            continue
        if kept.size > size or log.root(kept.size) != kept.root:
            standing.append(row)
    return standing

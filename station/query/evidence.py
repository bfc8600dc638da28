"""Collects what belongs into an evidence package.  The audit trail has it before anything is returned."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.read import Read
from station.errors import PurposeError
from station.evidence.package import EvidencePicture, Export, Package, ProvedRecord
from station.query.stored import stored_record
from station.query.zone_limit import ZoneLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.seal import KeyRing
    from station.asker import Asker
    from station.query.stored import StoredRecord
    from station.query.trail import Trail
    from station.store import Store
    from station.store.rows import RecordRow

_ABOUT = {Hit.SCHEMA: "hit", Disposition.SCHEMA: "decision", "dating/1": "anchor"}


class EvidenceOf:
    """Evidence packages for one asker."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int], trail: Trail) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us
        self._trail = trail

    def package(
        self, identity: bytes, ring: KeyRing, *, unit: str | None = None, station: str = "station"
    ) -> Package | None:
        """Return the package of a read or hit; None if it is unknown or was purged.

        ``identity`` is the id of a read, of a hit, or of one of a hit's records.  Raises PurposeError without purpose
        and case number, StoreError if it cannot be recorded.
        """
        if not self._asker.has_case:
            raise PurposeError("an evidence package needs a purpose and a case number, which are recorded")
        self._trail.note("export evidence package begins", 0, unit=unit, id=identity.hex())
        rows = self._rows(identity, unit)
        package = self._assembled(identity, rows, ring, station) if rows else None
        number = self._trail.note("export evidence package", len(rows), unit=unit, id=identity.hex())
        return None if package is None else replace(package, log=self._inclusion(number))

    def _inclusion(self, number: int) -> dict[str, Any]:
        """Prove that this export is in the log."""
        log = self._store.log
        size = log.size()
        return {
            "index": number,
            "size": size,
            "leaf": base64.b64encode(log.entry(number) or b"").decode("ascii"),
            "path": [step.hex() for step in log.inclusion(number, size)],
            "root": log.root(size).hex(),
        }

    def _rows(self, identity: bytes, unit: str | None) -> list[RecordRow]:
        """Return the read, its hits and what was decided, each once, by number; of the first unit that has it."""
        names = [row.unit for row in self._store.units(count_reads=False)] if unit is None else [unit]
        zones = ZoneLimit.of(self._store, self._asker.scope)
        for name in names:
            if not zones.is_none and not self._is_inside(zones, name, identity):
                continue
            found = {row.record_id: row for row in self._store.related(name, identity) if self._may_see(row)}
            ids = {identity, *(self._read_id(row) for row in found.values())}
            for record_id in ids:
                row = self._store.record(name, record_id)
                if row is not None and self._may_see(row):
                    found[row.record_id] = row
            if found:
                return sorted(found.values(), key=lambda row: row.seq)
        return []

    def _is_inside(self, zones: ZoneLimit, unit: str, identity: bytes) -> bool:
        """True if the read or hit itself may be seen: what was decided about it elsewhere belongs to it."""
        rows = [self._store.record(unit, identity), *self._store.related(unit, identity)]
        found = [stored_record(row, self._store.registry) for row in rows if row is not None]
        placed = [one for one in found if isinstance(one.body, Read | Hit)]
        return bool(placed) and all(zones.has_record(one) for one in placed)

    def _may_see(self, row: RecordRow) -> bool:
        stored = stored_record(row, self._store.registry)
        is_shown = stored.known is not None and not stored.known.personal
        return is_shown and self._asker.scope.has(stored.record.envelope.agency, stored.unit)

    def _read_id(self, row: RecordRow) -> bytes:
        body = stored_record(row, self._store.registry).body
        return body.read_id if isinstance(body, Hit) else b""

    def _assembled(self, identity: bytes, rows: list[RecordRow], ring: KeyRing, station: str) -> Package:
        anchors = {anchor.record_id: anchor for row in rows if (anchor := self._store.dated_by(row)) is not None}
        proved, unproved = [], []
        for row in (*rows, *anchors.values()):
            proof = self._store.evidence(row.unit, row.seq, row.record_id)
            about = _ABOUT.get(row.schema, row.schema.partition("/")[0])
            if proof is None or proof.salt is None or proof.record is None:
                unproved.append(
                    f"Record {row.seq} of {row.unit} ({about}) was never signed and is not in this package."
                )
            else:
                proved.append(ProvedRecord(about, proof.record, proof.salt, proof.evidence))
        unit = rows[0].unit
        return Package(
            unit=unit,
            record_id=identity,
            records=tuple(proved),
            keys=tuple((unit, key.raw) for key in ring.units.get(unit, {}).values()),
            pictures=tuple(self._pictures([stored_record(row, self._store.registry) for row in rows])),
            export=Export(
                station, self._clock_us(), self._asker.who, self._asker.purpose, self._asker.case_number
            ),
            unproved=tuple(unproved),
        )

    def _pictures(self, records: list[StoredRecord]) -> list[EvidencePicture]:
        found: dict[bytes, EvidencePicture] = {}
        for record in records:
            known, body = record.known, record.body
            for ref in () if known is None or body is None else known.pictures(body):
                if ref.sha256 not in found:
                    jpeg = self._store.picture(record.unit, ref.sha256)
                    found[ref.sha256] = EvidencePicture(
                        ref.kind.value, ref.sha256, ref.width_px, ref.height_px, jpeg
                    )
        return list(found.values())

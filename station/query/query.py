"""Queries of the station, each of which is recorded in the audit trail.

An entry is durable before the result is returned: who, what, by which filter, and how much was found.  An export has
two entries, one before its first record and one, with the count, after its last.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import IO, TYPE_CHECKING

from protocol.errors import WireError
from protocol.merkle.documents import document_hash
from protocol.seal.head import Head
from protocol.seal.series import Proof, examine, make_header, write_series
from protocol.wire.codec import decode, schema_of, unpack
from protocol.wire.control.unit_state import Health
from protocol.wire.enums import PictureKind
from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from station.audit_log.check import check_log
from station.audit_log.checkpoints import Checkpointer
from station.audit_log.export import LogExport
from station.audit_log.state import log_state
from station.errors import BoundError, PurposeError, ScopeError, StoreError
from station.query.bound import ReadBound
from station.query.export import write_csv, write_geojson
from station.query.export_xml import write_gpx, write_kml
from station.query.hits import assemble_hits
from station.query.proof import RecordProof, proof_of
from station.query.stored import picture_name, stored_record
from station.query.take_over import taken_over_faults
from station.query.zone_limit import ZoneLimit
from station.store.rows import AuditRow, AuditSearch, Usage
from station.store.search import Circle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from protocol.merkle.examine import LogFindings
    from protocol.seal import KeyRing
    from protocol.seal.series import UnitFindings
    from protocol.wire.parts import PictureRef
    from station.asker import Asker
    from station.audit_log.state import LogState
    from station.query.hits import StoredHit
    from station.query.stored import StoredRecord
    from station.store import Gap, RecordRow, SeriesRow, Store, StoreFault, UnitRow
    from station.store.offers import Offered
    from station.store.search import Place, ReadSearch

READ_SCHEMA = "read/1"
OTHERS_UNIT = "a unit of another agency"
_MAX_STAGES = 3
_EXPORT_PAGE = 500


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Found reads."""

    records: list[StoredRecord]
    after: Place | None
    """Where the next page starts; None if this is the last one."""
    complete_to_us: int | None = None
    """The search was cut: all up to this time, in its order, are on this page and those before; None if it was not."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What differs from what the units signed."""

    units: list[UnitFindings]
    faults: list[StoreFault]
    silent: list[str]
    """Units with a key and without any record, that nobody called new: removed, or new."""
    log: LogFindings
    """Of the audit log, holds and purges."""

    @property
    def is_right(self) -> bool:
        """True if nothing was altered or removed."""
        units = all(unit.is_right for unit in self.units)
        return self.log.is_right and not self.faults and not self.silent and units


class Query:
    """Queries of one operator.  Every method raises StoreError, and then nothing was returned."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us

    @cached_property
    def _zones(self) -> ZoneLimit:
        """Where this person may look; the zones are those of the first question."""
        return ZoneLimit.of(self._store, self._asker.scope)

    def records(
        self,
        schema: str = READ_SCHEMA,
        *,
        unit: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
    ) -> list[StoredRecord]:
        """Return the latest ``limit`` records of a type, or all, in the order of arrival.

        ``since_us`` is compared with the time of receipt.  Raises PurposeError for records about employees without a
        purpose.
        """
        self._refuse_without_purpose(schema)
        rows = self._store.latest(schema, unit=unit, since_us=since_us, limit=limit, scope=self._asker.scope)
        self._note("show records", len(rows), schema=schema, unit=unit, since_us=since_us, limit=limit)
        return list(self._visible(rows))

    def hits(
        self,
        *,
        unit: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
    ) -> list[StoredHit]:
        """Return the latest ``limit`` hits, or all, with what was decided; the order is that of their arrival."""
        self._refuse_without_purpose(Hit.SCHEMA)
        scope, n_stages = self._asker.scope, limit and limit * _MAX_STAGES
        rows = self._store.latest(Hit.SCHEMA, unit=unit, since_us=since_us, limit=n_stages, scope=scope)
        first_us = min((row.received_us for row in rows), default=0)
        decisions = (
            self._store.latest(Disposition.SCHEMA, unit=unit, since_us=first_us, scope=scope) if rows else []
        )
        found = assemble_hits(self._visible(rows), self._visible(decisions))
        found = found if limit is None else found[-limit:]
        self._note("show hits", len(found), unit=unit, since_us=since_us, limit=limit)
        return found

    def record(self, unit: str, record_id: bytes) -> StoredRecord | None:
        """Return one record; None if it is unknown or was purged.  Raises PurposeError if it is about an employee."""
        self._refuse_without_why()
        row = self._store.record(unit, record_id)
        visible = self._visible([] if row is None else [row])
        stored = visible[0] if visible else None
        self._note_reads("show record", visible, len(visible), unit=unit, id=record_id.hex())
        if row is not None:
            self._refuse_without_purpose(row.schema)
        return stored

    def find_record(self, record_id: bytes, *, unit: str | None = None) -> StoredRecord | None:
        """As :meth:`record`, of any unit if none is given."""
        units = [row.unit for row in self._store.units(self._asker.scope)] if unit is None else [unit]
        there = next((name for name in units if self._store.record(name, record_id) is not None), None)
        if there is None:
            self._note("show record", 0, unit=unit, id=record_id.hex())
            return None
        return self.record(there, record_id)

    def pictures(self, stored: StoredRecord) -> list[tuple[PictureRef, bytes]]:
        """Return the complete pictures of a record, in its order."""
        self._refuse_without_why()
        known, body = stored.known, stored.body
        refs = () if known is None or body is None or not self._may_see(stored) else known.pictures(body)
        found = [(ref, self._store.picture(stored.unit, ref.sha256)) for ref in refs]
        there = [(ref, jpeg) for ref, jpeg in found if jpeg is not None]
        self._note("show pictures", len(there), unit=stored.unit, id=stored.record_id.hex())
        return there

    def search(self, search: ReadSearch, *, limit: int, after: Place | None = None) -> SearchPage:
        """Return a page of reads by time, the latest first; ``after`` is that of the page before.

        Raises BoundError if they are more than this person may look at in a day.
        """
        self._refuse_without_why()
        found = self._store.find(self._within(search), limit=limit, after=after, scope=self._asker.scope)
        visible = self._visible([one.row for one in found.reads])
        self._note_reads("search reads", visible, len(found.reads), **_asked(search), limit=limit)
        complete_to_us = found.after[0] if found.is_cut and found.after is not None else None
        return SearchPage(visible, found.after, complete_to_us)

    def crops(self, records: Iterable[StoredRecord]) -> dict[bytes, bytes]:
        """Return the plate pictures of reads that were found, by their ids; those that have not come are left out."""
        self._refuse_without_why()
        found: dict[bytes, bytes] = {}
        for stored in records:
            known, body = stored.known, stored.body
            refs = known.pictures(body) if known is not None and body is not None and self._may_see(stored) else ()
            sha256 = next((ref.sha256 for ref in refs if ref.kind is PictureKind.PLATE), None)
            jpeg = None if sha256 is None else self._store.picture(stored.unit, sha256)
            if jpeg is not None:
                found[stored.record_id] = jpeg
        self._note("show pictures", len(found), kind="plate")
        return found

    def proof(self, stored: StoredRecord, ring: KeyRing | None) -> RecordProof:
        """Return what the evidence of a record says; ``ring`` has the units' keys, None for none."""
        near = self._store.evidence_near(stored.unit, stored.seq) if self._may_see(stored) else []
        keys = {} if ring is None else ring.units.get(stored.unit, {})
        self._note("show proof", len(near), unit=stored.unit, id=stored.record_id.hex())
        return proof_of(stored.seq, stored.record.payload, near, keys)

    def history(self, stored: StoredRecord, limit: int) -> list[AuditRow]:
        """Return who looked at a record before, the latest first; of people as in :meth:`trail`."""
        asked = f"unit={stored.unit} id={stored.record_id.hex()}"
        search = self._of_own_people(AuditSearch(what="show record", filter=asked))
        found = self._store.audit_page(search, limit=limit)
        self._note("show history", len(found), unit=stored.unit, id=stored.record_id.hex())
        return [entry for _, entry in found]

    def picture(self, unit: str, sha256: bytes) -> bytes | None:
        """Return a complete picture; None if it is unknown or incomplete."""
        self._refuse_without_why()
        self._refuse_outside(unit)
        # A picture alone does not say where it was taken.
        jpeg = self._store.picture(unit, sha256) if self._zones.is_none else None
        self._note("show picture", int(jpeg is not None), unit=unit, sha256=sha256.hex())
        return jpeg

    def count_pictures(self) -> int:
        """Return the number of complete pictures."""
        count = self._store.count_pictures()
        self._note("count pictures", count)
        return count

    def units(self) -> list[tuple[UnitRow, list[Gap]]]:
        """Return the state of every unit that ever sent something, with its gaps."""
        rows = self._with_refusals(self._store.units(self._asker.scope))
        self._note("show units", len(rows))
        return rows

    def unit_page(self, *, after: str = "", limit: int) -> list[tuple[UnitRow, list[Gap]]]:
        """As :meth:`units`, at most ``limit`` after a name, and without the number of reads."""
        units = self._store.units(self._asker.scope, after=after, limit=limit, count_reads=False)
        rows = self._with_refusals(units)
        self._note("show units", len(rows), after=after or None, limit=limit)
        return rows

    def _with_refusals(self, units: Iterable[UnitRow]) -> list[tuple[UnitRow, list[Gap]]]:
        today = self._store.usage_of_day(self._clock_us())
        return [
            (replace(row, refused_today=today.get(row.unit, Usage()).refused), list(row.gaps)) for row in units
        ]

    def unit(self, unit: str) -> tuple[UnitRow, list[Gap]]:
        """Return the state of one unit, without the number of reads.  Raises ScopeError if there is none."""
        scope = self._asker.scope
        own = frozenset({unit}) if scope.units is None else scope.units & {unit}
        found = self._store.units(replace(scope, units=own), count_reads=False)
        self._note("show unit", len(found), unit=unit)
        if not found:
            raise ScopeError(f"there is no unit {unit!r}")
        return self._with_refusals(found)[0]

    def offers(self, unit: str) -> list[Offered]:
        """Return the files that the station offers a unit, such as lists and policies, with their versions."""
        self._refuse_outside(unit)
        found = self._store.offers([unit])
        self._note("show offers", len(found), unit=unit)
        return found

    def gaps(self, unit: str) -> list[Gap]:
        """Return the gaps of a unit, in order: explained, or missing."""
        self._refuse_outside(unit)
        gaps = self._store.gaps(unit)
        self._note("show gaps", len(gaps), unit=unit)
        return gaps

    def sequences(self) -> list[SeriesRow]:
        """Return for each life of each unit the ranges of sequence numbers that were received, and the gaps."""
        units = self._store.units(self._asker.scope)
        rows = [series for row in units for series in self._store.series(row.unit)]
        self._note("show sequence numbers", len(rows))
        return rows

    def health(self, unit: str) -> Health | None:
        """Return the latest counters of a unit; None if there are none yet."""
        self._refuse_outside(unit)
        told = self._store.health(unit)
        self._note("show counters", int(told is not None), unit=unit)
        return None if told is None else decode(told, Health)

    def trail(self, search: AuditSearch, *, limit: int, before: int | None = None) -> list[tuple[int, AuditRow]]:
        """Return entries of the audit trail with their numbers, in the order of the search; those beyond ``before``.

        Who may see some agencies or units only, sees the entries of people who may see no more.
        """
        found = self._store.audit_page(self._of_own_people(search), limit=limit, before=before)
        asked = {"who": search.who, "case": search.case_number, "what": search.what, "before": before}
        self._note("show audit trail", len(found), **{name: value or None for name, value in asked.items()})
        return found

    def _of_own_people(self, search: AuditSearch) -> AuditSearch:
        scope = self._asker.scope
        if scope.is_all:
            return search
        accounts = self._store.accounts.all()
        return replace(search, names=frozenset(one.name for one in accounts if one.scope.is_within(scope)))

    def audit_trail(self) -> list[AuditRow]:
        """Return the audit trail, oldest first, without this query."""
        self._refuse_unless_all()
        rows = self._store.audit_trail()
        self._note("show audit trail", len(rows))
        return rows

    def export_csv(self, out: IO[str], *, schema: str = READ_SCHEMA, unit: str | None = None) -> int:
        """Write all records of a type as CSV; return how many.  Raises PurposeError, see ``records``."""
        return self._export("csv", lambda rows: write_csv(rows, out, schema), schema, unit)

    def export_geojson(self, out: IO[str], *, schema: str = READ_SCHEMA, unit: str | None = None) -> int:
        """Write all records of a type as GeoJSON; return how many.  Raises PurposeError, see ``records``."""
        return self._export("geojson", lambda rows: write_geojson(rows, out), schema, unit)

    def export_kml(self, out: IO[str], *, schema: str = READ_SCHEMA, unit: str | None = None) -> int:
        """Write all records of a type as KML; return how many.  Raises PurposeError, see ``records``."""
        return self._export("kml", lambda rows: write_kml(rows, out), schema, unit)

    def export_gpx(self, out: IO[str], *, schema: str = READ_SCHEMA, unit: str | None = None) -> int:
        """Write all records of a type that have a position as GPX; return how many of all there are.

        Raises PurposeError, see ``records``.
        """
        return self._export("gpx", lambda rows: write_gpx(rows, out), schema, unit)

    def export_pictures(
        self, write: Callable[[str, bytes], None], *, schema: str = READ_SCHEMA, unit: str | None = None
    ) -> int:
        """Hand the complete pictures of all records of a type to ``write``, with a file name each; return how many.

        Raises PurposeError, see ``records``.
        """
        self._refuse_without_purpose(schema)
        self._note("export pictures begins", 0, schema=schema, unit=unit)
        count = 0
        for row in self._store.each(schema, unit=unit, scope=self._asker.scope):
            for stored in self._visible([row]):
                for name, jpeg in self._files_of(stored):
                    write(name, jpeg)
                    count += 1
        self._note("export pictures", count, schema=schema, unit=unit)
        return count

    def _files_of(self, stored: StoredRecord) -> Iterator[tuple[str, bytes]]:
        """The complete pictures of a record, by file name; two units may give records one id."""
        if stored.known is None or stored.body is None:
            return
        for ref in stored.known.pictures(stored.body):
            jpeg = self._store.picture(stored.unit, ref.sha256)
            if jpeg is not None:
                yield f"{stored.unit}/{picture_name(stored, ref)}", jpeg

    def export_found(self, name: str, search: ReadSearch) -> Iterator[StoredRecord]:
        """Yield all reads that are found; an entry is stored before the first one, and one after the last."""
        self._refuse_without_why()
        asked = _asked(search)
        self._note(f"export {name} begins", 0, **asked)
        count, after = 0, None
        while True:
            page = self._store.find(self._within(search), limit=_EXPORT_PAGE, after=after, scope=self._asker.scope)
            visible = self._visible([one.row for one in page.reads])
            count += len(visible)
            yield from visible
            if page.after is None:
                break
            after = page.after
        self._note(f"export {name}", count, **asked)

    def _export(
        self,
        name: str,
        write: Callable[[Iterable[StoredRecord]], None],
        schema: str,
        unit: str | None,
    ) -> int:
        self._refuse_without_purpose(schema)
        self._note(f"export {name} begins", 0, schema=schema, unit=unit)
        found = self._store.each(schema, unit=unit, scope=self._asker.scope)
        rows = _Counted(stored for row in found for stored in self._visible([row]))
        write(rows)
        self._note(f"export {name}", rows.count, schema=schema, unit=unit)
        return rows.count

    def export_evidence(
        self, out: IO[bytes], ring: KeyRing, *, unit: str | None = None, employees: bool = True
    ) -> int:
        """Write the signed series of one unit or of all, with the public keys of the ring; return the count.

        Without a purpose, or without ``employees``, the contents of records about employees are left out, as of purged
        ones: the series proves that they exist.  Raises WireError for more keys than a series can have.
        """
        self._refuse_without_why()
        self._refuse_unless_all()
        self._note("export evidence begins", 0, unit=unit)
        names = [row.unit for row in self._store.units() if unit in {None, row.unit}]
        keys = tuple((name, key.raw) for name in names for key in ring.units.get(name, {}).values())
        proofs = self._proofs(names, personal=employees and self._asker.has_purpose)
        items: Iterator[Proof | Head] = chain(self._heads(names), proofs)
        count = write_series(out, make_header("station", self._clock_us(), keys), items)
        self._note("export evidence", count, unit=unit)
        if ring.log is not None:
            Checkpointer(self._store, ring.log, self._clock_us).make()
        return count

    def check(self, ring: KeyRing, *, new: frozenset[str] = frozenset()) -> CheckReport:
        """Compare everything stored with what the units signed; ``ring`` has their keys.

        ``new`` are units that have a key and have not sent anything yet.
        """
        self._refuse_unless_all()
        names = [row.unit for row in self._store.units()]
        keys = {name: tuple(found.values()) for name, found in ring.units.items()}
        items: Iterator[Proof | Head] = chain(self._heads(names), self._proofs(names, personal=True))
        units = examine(items, keys, self._store.registry)
        report = CheckReport(
            units,
            [*self._store.faults(), *taken_over_faults(self._store)],
            sorted(set(ring.units) - new - {found.unit for found in units}),
            check_log(self._store, ring),
        )
        self._note("check", len(report.faults) + len(report.log.faults))
        return report

    def export_log(self, out: IO[bytes], ring: KeyRing, numbers: Sequence[int] = ()) -> int:
        """Write the audit log for offline verification, or some entries with their proofs; return how many.

        If the ring has the log's key a checkpoint is signed, which covers the entry of this export, too.
        """
        asked = " ".join(map(str, numbers)) or None
        self._note("export audit log", len(numbers), entries=asked)
        if ring.log is not None:
            Checkpointer(self._store, ring.log, self._clock_us).make()
        export = LogExport(self._store, ring, "station", self._clock_us())
        if numbers:
            export.some(out, numbers)
            return len(numbers)
        return export.whole(out)

    def export_certificate(self, out: IO[bytes], ring: KeyRing, purge: int) -> None:
        """Write the certificate of a purge with the proof that the log has it.  Raises StoreError."""
        row = next((row for row in self._store.holds.purges() if row.number == purge), None)
        if row is None:
            raise StoreError(f"there is no purge {purge}: list them with `patrol-lpr station purges`")
        wanted = document_hash(row.certificate).hex().encode()
        number = next((number for number, entry in self._store.log.entries() if wanted in entry), None)
        if number is None:
            raise StoreError(f"purge {purge} is not in the audit log: run `patrol-lpr station check`")
        self.export_log(out, ring, [number])

    def log_state(self) -> LogState:
        """Return size, latest checkpoint and witnesses of the audit log; of other agencies' units not the names."""
        state = log_state(self._store)
        if not self._asker.scope.is_all:
            names = {*(one.unit for one in state.witnesses), *state.refused_by}
            own = {name for name in names if self._store.has_unit(name, self._asker.scope)}
            # That the log was altered, they must know; not by whose unit.
            refused = dict.fromkeys(name if name in own else OTHERS_UNIT for name in state.refused_by)
            witnesses = tuple(one for one in state.witnesses if one.unit in own)
            state = replace(state, witnesses=witnesses, refused_by=tuple(refused))
        self._note("show audit log", state.size)
        return state

    def _proofs(self, units: list[str], *, personal: bool) -> Iterator[Proof]:
        for unit in units:
            for row in self._store.each_evidence(unit):
                whole = row.salt is not None and row.record is not None
                if row.record is not None and not personal:
                    whole = whole and not self._is_personal(schema_of(unpack(row.record)))
                yield Proof(row.evidence, row.salt if whole else None, row.record if whole else None, row.life)

    def _heads(self, units: list[str]) -> Iterator[Head]:
        """The newest signed head of each life."""
        for unit in units:
            for row in self._store.series(unit):
                # What somebody else wrote in its place is among the store's faults.
                with suppress(WireError):
                    if row.head is not None:
                        yield decode(row.head, Head)

    def _is_personal(self, schema: str) -> bool:
        known = self._store.registry.get(schema)
        return known is not None and known.personal

    def _visible(self, rows: Iterable[RecordRow]) -> list[StoredRecord]:
        """Decode; a unit may have belonged to another agency when it made a record."""
        found = (stored_record(row, self._store.registry) for row in rows)
        return [stored for stored in found if self._may_see(stored)]

    def _of_agency(self, rows: Iterable[RecordRow]) -> list[StoredRecord]:
        """As :meth:`_visible`, wherever they were made: of a hit that may be seen."""
        found = (stored_record(row, self._store.registry) for row in rows)
        return [one for one in found if self._asker.scope.has(one.record.envelope.agency, one.unit)]

    def _may_see(self, stored: StoredRecord) -> bool:
        is_of_agency = self._asker.scope.has(stored.record.envelope.agency, stored.unit)
        return is_of_agency and self._zones.has_record(stored)

    def _within(self, search: ReadSearch) -> ReadSearch:
        return search if self._zones.is_none else replace(search, zones=self._zones.areas)

    def _refuse_outside(self, unit: str) -> None:
        """A unit of another agency is unknown."""
        if not self._asker.scope.is_all and not self._store.has_unit(unit, self._asker.scope):
            # Who asks for what they may not see is in the trail, too.
            self._note("show unit", 0, unit=unit)
            raise ScopeError(f"there is no unit {unit!r}")

    def _refuse_unless_all(self) -> None:
        if not self._asker.scope.is_all:
            raise ScopeError("this covers all agencies and units: it needs an account that may see all of them")

    def _refuse_without_why(self) -> None:
        if self._asker.must_say_why and not self._asker.has_case:
            raise PurposeError("give a purpose and a case number first: both are recorded in the audit trail")

    def _refuse_without_purpose(self, schema: str) -> None:
        self._refuse_without_why()
        if self._is_personal(schema) and not self._asker.has_purpose:
            raise PurposeError(
                f"records of type {schema} are about employees: give a purpose, which is recorded in the audit trail"
            )

    def _note_reads(
        self, what: str, records: Iterable[StoredRecord], count: int, /, **asked: str | int | None
    ) -> None:
        """As :meth:`_note`, and count the reads for people of the pages; whoever has the file needs no page."""
        reads = [(one.unit, one.record_id) for one in records if one.record.envelope.schema_id == READ_SCHEMA]
        try:
            if self._asker.must_say_why:
                ReadBound(self._store, self._clock_us).take(self._asker.who, reads)
        except BoundError:
            self._note(f"{what} refused", len(reads), **asked)
            raise
        self._note(what, count, **asked)

    def _note(self, what: str, count: int, /, **asked: str | int | None) -> None:
        found = " ".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        asker = self._asker
        entry = AuditRow(self._clock_us(), asker.who, what, found, count, asker.purpose, asker.case_number)
        with self._store.transaction():
            self._store.audit(entry)


def _asked(search: ReadSearch) -> dict[str, str | int | None]:
    """A search for the audit trail."""
    area = search.area
    if isinstance(area, Circle):
        place = f"{area.lat_deg:.6f},{area.lon_deg:.6f},{area.radius_m:g}m"
    else:
        place = "" if area is None else ";".join(f"{lat:.6f},{lon:.6f}" for lat, lon in area.corners)
    return {
        "plates": ",".join(search.plates) or None,
        "region": search.region,
        "unit": search.unit,
        "camera": search.camera,
        "min_confidence_e4": search.min_confidence_e4 or None,
        "since_us": search.since_us,
        "until_us": search.until_us,
        "area": place or None,
        "order": "oldest first" if search.ascending else None,
    }


class _Counted:
    """Counts the records of an iterator."""

    def __init__(self, records: Iterator[StoredRecord]) -> None:
        self._records = records
        self.count = 0

    def __iter__(self) -> Iterator[StoredRecord]:
        for record in self._records:
            self.count += 1
            yield record

"""Computes a report again from exported files alone, without the station: another way to the same numbers.

The files: signed series (``station export --evidence``), and the audit log (``station audit --export``).  Nothing here
asks a database, and nothing is taken from the report but its period and how far it goes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from protocol.errors import CheckpointError, DocumentError, EntryError, WireError
from protocol.merkle.documents import PurgeCertificate, document_hash, parse_document
from protocol.merkle.entry import decode_entry
from protocol.merkle.examine import examine_log
from protocol.merkle.export import LogDocument, LogPart, read_log
from protocol.seal.keys import VerifyKey
from protocol.seal.series import Proof, examine, read_series
from protocol.wire.record import decode_record
from protocol.wire.records.audit import Audit
from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.purge import Purge
from protocol.wire.records.read import Read
from protocol.wire.records.time_anchor import TimeAnchor
from protocol.wire.released import released_registry
from station.reports.lines import Line, ReportError, cell, line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from protocol.merkle.export import Row
    from protocol.seal.head import Head
    from protocol.wire.record import Record
    from protocol.wire.registry import RecordBody

_SEEN_ON_UNITS = {"look_up", "watch_plate", "watched_plates", "view_hit"}
_NOT_OF_THIS_PLATE = {"misread", "other_region", "other_vehicle"}
_US_PER_H = 3_600_000_000
_Place = tuple[str, str, str]
"""Measure, unit and life of a line that says how far a report goes."""
_LOG: _Place = ("entries", "log", "")
_FAR_US = 253_402_300_799_999_999


@dataclass(frozen=True, slots=True)
class Difference:
    """A line that is not what the files say."""

    line: Line
    computed: int
    """What the files say; 0 also for a line that they do not have."""


@dataclass(slots=True)
class Recomputed:
    """The result."""

    records: int = 0
    entries: int = 0
    lines: int = 0
    log_signed: bool = True
    """False: the station had no key for its log, and nothing proves that the entries are all."""
    altered: list[str] = field(default_factory=list)
    """What in the files is not what was signed."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """True if the files are unaltered and say the same as the report."""
        return not (self.altered or self.differences)


def recompute(
    report: Iterable[Line],
    series: Iterable[IO[bytes]],
    log: IO[bytes],
    *,
    trusted: Mapping[str, Iterable[VerifyKey]] | None = None,
    log_keys: Iterable[VerifyKey] = (),
) -> Recomputed:
    """Compute every line again and compare.

    ``trusted`` are keys of units and ``log_keys`` those of the log; without them the keys in the files are used.
    Raises ReportError for files that are none.
    """
    given = list(report)
    limits = {(one.measure, *one.keys[:2]): one.value for one in given if one.table == "through"}
    period = {one.measure: one.value for one in given if one.table == "period"}
    if {"since_us", "until_us"} - set(period) or _LOG not in limits:
        raise ReportError("not a whole report: its period, or how far it goes, is missing")
    counter = _Counter(period["since_us"], period["until_us"], limits, trusted or {})
    try:
        for file in series:
            counter.take_series(file)
        counter.take_log(log, tuple(log_keys))
    except (WireError, EntryError, DocumentError, CheckpointError) as error:
        raise ReportError(f"a file cannot be read: {error}") from error
    return counter.compared(given)


@dataclass(slots=True)
class _Story:
    """A hit, put together from its records."""

    stage: tuple[int, int] = (-1, -1)
    hit: Hit | None = None
    utc_us: int | None = None
    actions: list[tuple[int, str, str]] = field(default_factory=list)
    outcomes: list[tuple[int, str]] = field(default_factory=list)


class _Counter:
    def __init__(
        self, since_us: int, until_us: int, limits: dict[_Place, int], trusted: Mapping[str, Iterable[VerifyKey]]
    ) -> None:
        self._since_us, self._until_us = since_us, until_us
        self._trusted = trusted
        self._limits = limits
        self._registry = released_registry()
        self._found = Recomputed()
        self._lines = Counter[tuple[str, tuple[str, str, str], str]]()
        self._stories: dict[tuple[str, bytes], _Story] = defaultdict(_Story)

    def take_series(self, file: IO[bytes]) -> None:
        """Verify one series, and count its records."""
        header, proofs = read_series(file)
        keys: dict[str, list[VerifyKey]] = defaultdict(list)
        for unit, raw in header.keys:
            keys[unit].append(VerifyKey.from_raw(raw))
        kept: list[Record] = []
        for found in examine(self._kept(proofs, kept), self._trusted or keys, self._registry):
            self._found.records += found.records
            if not found.is_right:
                self._found.altered.append(f"the series of {found.unit}")
        anchors = _anchors(kept)
        for record in kept:
            self._take(record, anchors)

    def _kept(self, items: Iterable[Proof | Head], kept: list[Record]) -> Iterator[Proof | Head]:
        for item in items:
            if isinstance(item, Proof) and item.record is not None and self._is_counted(item):
                try:
                    kept.append(decode_record(item.record, self._registry))
                except WireError:
                    self._found.altered.append(f"record {item.evidence.seq} of {item.evidence.unit}")
            yield item

    def _is_counted(self, proof: Proof) -> bool:
        return proof.evidence.seq <= self._limits.get(("number", proof.evidence.unit, proof.life.hex()), 0)

    def _take(self, record: Record, anchors: dict[tuple[str, bytes], list[TimeAnchor]]) -> None:
        body, unit, seq = record.body, record.envelope.unit, record.envelope.seq
        match body:
            case Hit() | Disposition():
                self._take_story(unit, seq, body, self._time(body, record, anchors))
            case Read():
                utc_us = self._time(body, record, anchors)
                if utc_us is None:
                    self._count("reads", "without_a_time")
                elif self._is_in(utc_us):
                    self._count("reads", "kept", body.retention.policy_class)
            case Audit() if body.action in _SEEN_ON_UNITS and self._is_in(self._time(body, record, anchors)):
                self._count("unit_look_ups", "entries", body.action, body.purpose)
            case Purge() if self._is_in(body.deleted_us):
                self._add("unit_purges", "reads", body.reads, body.policy)
                self._add("unit_purges", "pictures", body.pictures, body.policy)
            case _:
                pass

    def _take_story(self, unit: str, seq: int, body: Hit | Disposition, utc_us: int | None) -> None:
        story = self._stories[unit, body.hit_id]
        if isinstance(body, Hit):
            stage = {"preview": 0, "final": 1, "withdrawn": 2}[body.stage.value], seq
            if stage > story.stage:
                story.stage, story.hit, story.utc_us = stage, body, utc_us
            return
        if body.action.value != "outcome":
            story.actions.append((seq, body.action.value, body.reason))
        if body.outcome:
            story.outcomes.append((seq, body.outcome))

    def _time(
        self, body: RecordBody, record: Record, anchors: dict[tuple[str, bytes], list[TimeAnchor]]
    ) -> int | None:
        """The unit's own time, or that of the nearest anchor of the same start."""
        known = self._registry.get(record.envelope.schema_id)
        time = None if known is None else known.when(body)
        if time is None or time.utc_us is not None:
            return None if time is None else time.utc_us
        found = [
            (abs(time.mono_us - one.mono_us), one.utc_us + time.mono_us - one.mono_us)
            for one in anchors.get((record.envelope.unit, record.envelope.boot_id), ())
        ]
        found = [(gap, utc_us) for gap, utc_us in found if 0 <= utc_us <= _FAR_US]
        return min(found)[1] if found else None

    def take_log(self, file: IO[bytes], keys: tuple[VerifyKey, ...]) -> None:
        """Verify the log, and count its entries of the period and what the certificates that they name say."""
        header, rows = read_log(file)
        certificates: dict[bytes, bytes] = {}
        entries: list[tuple[int, bytes]] = []
        found = examine_log(header, self._rows(rows, certificates, entries), keys=keys)
        self._found.log_signed = header.public_key is not None or bool(keys)
        if self._found.log_signed:
            self._found.altered += [f"the audit log: {fault}" for fault in found.faults]
        if not found.is_whole or found.entries < self._limits[_LOG]:
            self._found.altered.append("the audit log: not all entries of the report are in it")
        for number, data in entries:
            self._take_entry(number, data, certificates)

    def _rows(
        self, rows: Iterable[Row], certificates: dict[bytes, bytes], entries: list[tuple[int, bytes]]
    ) -> Iterator[Row]:
        """Keep what is counted of the rows that are verified."""
        for row in rows:
            if isinstance(row, LogDocument):
                certificates[document_hash(row.data)] = row.data
            elif isinstance(row, LogPart):
                numbered = enumerate(row.entries, start=row.first)
                entries += [(number, data) for number, data in numbered if number < self._limits[_LOG]]
            yield row

    def _take_entry(self, number: int, data: bytes, certificates: dict[bytes, bytes]) -> None:
        self._found.entries += 1
        entry = decode_entry(data)
        if not self._is_in(entry.utc_us):
            return
        first = entry.what.split(" ", 1)[0]
        if first in {"show", "search", "export"} and " " in entry.what and not entry.what.endswith(" begins"):
            self._count("look_ups", "entries", entry.what, entry.purpose)
        if entry.what == "purge" and entry.document:
            self._take_purge(number, certificates.get(bytes.fromhex(entry.document)))

    def _take_purge(self, number: int, data: bytes | None) -> None:
        if data is None:
            self._found.altered.append(f"the certificate of the purge of entry {number} is missing or altered")
            return
        certificate = parse_document(data, PurgeCertificate)
        self._add("purged", "pictures", certificate.pictures)
        for one in certificate.classes:
            self._add("purged", "records", one.records, one.retention)

    def _finish_hits(self) -> None:
        for story in self._stories.values():
            if story.hit is not None and self._is_in(story.utc_us):
                self._count_hit(story, story.hit)

    def _count_hit(self, story: _Story, hit: Hit) -> None:
        actions = sorted(story.actions)
        last, reason = actions[-1][1:] if actions else ("", "")
        if last in {"", "acknowledged"}:
            state = "withdrawn" if hit.stage.value == "withdrawn" else "undecided"
        else:
            state = last
        which, of_list = (hit.list_id, hit.list_name, hit.list_owner), (hit.list_id, hit.list_name)
        for measure in ("hits", state):
            self._count("hits", measure, *which)
            self._count("owners", measure, hit.list_owner)
        if state == "rejected" and reason:
            self._count("reasons", "hits", *of_list, reason)
            if reason in _NOT_OF_THIS_PLATE:
                self._count("hits", "wrong", *which)
                self._count("owners", "wrong", hit.list_owner)
        if story.outcomes:
            self._count("outcomes", "hits", *of_list, max(story.outcomes)[1])
        self._count("ages", "hits", hit.list_id, _age(story.utc_us, hit.list_as_of_us))

    def compared(self, given: list[Line]) -> Recomputed:
        """Compare with the lines of the report, in both directions."""
        self._finish_hits()
        found = self._found
        wanted = {
            (table, tuple(map(cell, keys)), measure): value
            for (table, keys, measure), value in self._lines.items()
        }
        told = {one.place: one for one in given if one.table not in {"period", "through"}}
        found.lines = len(told)
        for place, one in told.items():
            if one.value != wanted.get(place, 0):
                found.differences.append(Difference(one, wanted.get(place, 0)))
        for (table, keys, measure), value in sorted(wanted.items()):
            if value and (table, keys, measure) not in told:
                found.differences.append(Difference(line(table, measure, 0, *keys), value))
        return found

    def _is_in(self, utc_us: int | None) -> bool:
        return utc_us is not None and self._since_us <= utc_us < self._until_us

    def _count(self, table: str, measure: str, *keys: str) -> None:
        self._add(table, measure, 1, *keys)

    def _add(self, table: str, measure: str, value: int, *keys: str) -> None:
        self._lines[line(table, measure, 0, *keys).place] += value


def _age(utc_us: int | None, as_of_us: int | None) -> str:
    if utc_us is None or as_of_us is None:
        return "unknown"
    age_h = (utc_us - as_of_us) / _US_PER_H
    return next((str(limit) for limit in (12, 24, 48, 168) if age_h <= limit), "over")


def _anchors(records: list[Record]) -> dict[tuple[str, bytes], list[TimeAnchor]]:
    found: dict[tuple[str, bytes], list[TimeAnchor]] = defaultdict(list)
    for record in records:
        if isinstance(record.body, TimeAnchor):
            found[record.envelope.unit, record.body.anchored_boot_id].append(record.body)
    return found

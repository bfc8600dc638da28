"""Compares the audit log in the database with its hashes, checkpoints, witnesses and documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.errors import EntryError
from protocol.merkle.documents import HoldRelease, HoldStatement, PurgeCertificate, document_hash
from protocol.merkle.entry import decode_entry
from protocol.merkle.examine import LogExamination
from protocol.merkle.tree import Frontier, leaf_hash
from station.audit_log.export import standing_conflicts
from station.audit_log.heads import NotedHeads
from station.store.log_entry import entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.merkle.examine import LogFindings
    from protocol.seal import KeyRing
    from station.store import AuditRow, Store
    from station.store.rows import PurgedRange

_MAX_RANGES = 100


def check_log(store: Store, ring: KeyRing) -> LogFindings:
    """Return what was altered or removed in log, trail, holds and purges."""
    log = store.log
    units = {unit: tuple(keys.values()) for unit, keys in ring.units.items()}
    keys = ring.log_keys
    examination = LogExamination(keys, units)
    for row in log.checkpoints() if keys else ():
        examination.checkpoint(row.note)
    for witness in log.witnesses() if keys else ():
        if witness.line:
            examination.witness(witness.unit, witness.size, witness.line)
    taken: set[bytes] = set()
    _take_documents(store, examination, taken)
    nodes = _Nodes(store)
    trail = log.rows()
    size, named, heads = 0, set[str](), NotedHeads()
    for number, entry in log.entries():
        examination.entry(number, entry)
        nodes.take(entry, examination)
        named |= _compare(number, entry, next(trail, None), examination, heads)
        size = number + 1
    extra = next(trail, None)
    # While a station works, entries and documents come meanwhile.
    if extra is not None and (extra[0] < size or log.entry(extra[0]) is None):
        examination.found.fault("the trail has more rows than the log has entries")
    _take_documents(store, examination, taken, named)
    found = examination.end(size)
    for fault in heads.faults(store):
        found.fault(fault)
    for kept in standing_conflicts(store):
        found.fault(
            f"unit {kept.unit} keeps a checkpoint of {kept.size} entries that this log does not continue: entries were "
            "cut off or altered, or the database is an old backup"
        )
    for count, gone in enumerate(store.holds.unproven()):
        if count == _MAX_RANGES:
            break
        found.fault(f"the contents of {gone.unit} #{gone.first}{_of_life(gone)} were removed without a purge")
    return found


def _take_documents(
    store: Store, examination: LogExamination, taken: set[bytes], named: set[str] | None = None
) -> None:
    """Take what was not taken; with ``named``, only documents with these hashes, which entries have."""
    for hold in store.holds.holds():
        _take_document(examination, HoldStatement.KIND, hold.statement, taken, named)
        if hold.release is not None:
            _take_document(examination, HoldRelease.KIND, hold.release, taken, named)
    for row in store.holds.purges():
        if _take_document(examination, PurgeCertificate.KIND, row.certificate, taken, named):
            for found in store.holds.ranges(row.number):
                examination.ranges(row.number, found.unit, [(found.first, found.last)], found.life)


def _of_life(gone: PurgedRange) -> str:
    return f" of life {gone.life.hex()[:8]}" if gone.life else ""


def _take_document(
    examination: LogExamination, kind: str, data: bytes, taken: set[bytes], named: set[str] | None
) -> bool:
    digest = document_hash(data)
    if digest in taken or (named is not None and digest.hex() not in named):
        return False
    taken.add(digest)
    examination.document(kind, data)
    return True


class _Nodes:
    """Compares the stored hashes with those of the entries, level by level at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._frontier = Frontier()
        self._levels: list[Iterator[tuple[int, bytes]]] = []
        self._told = False

    def take(self, entry: bytes, examination: LogExamination) -> None:
        number = self._frontier.size
        for level, node in enumerate(self._frontier.append(leaf_hash(entry))):
            if level == len(self._levels):
                self._levels.append(self._store.log.level(level))
            if next(self._levels[level], None) != (number >> level, node) and not self._told:
                self._told = True
                examination.found.fault(f"the stored hashes are not those of the entries, from entry {number} on")


def _compare(
    number: int,
    entry: bytes,
    shown: tuple[int, AuditRow] | None,
    examination: LogExamination,
    heads: NotedHeads,
) -> set[str]:
    """What is searched and shown against the entry; return the hash of the document that it is about."""
    try:
        told = decode_entry(entry)
    except EntryError as error:
        examination.found.fault(f"entry {number}: {error}")
        return set()
    heads.take(number, told)
    if shown is None or shown[0] != number:
        examination.found.fault(f"entry {number} is not in the trail")
    elif entry_of(replace(shown[1], document=bytes.fromhex(told.document))) != told:
        examination.found.fault(f"entry {number} was altered in the trail")
    return {told.document} - {""}

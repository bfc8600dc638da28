"""Verifies an exported audit log: that it is the log of its checkpoints, and that nothing is missing at its end."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.errors import CheckpointError, DocumentError, EntryError, KeyFileError
from protocol.merkle.checkpoint import parse_checkpoint, read_cosignature
from protocol.merkle.documents import (
    HoldRelease,
    HoldStatement,
    PurgeCertificate,
    document_hash,
    parse_document,
    ranges_text,
)
from protocol.merkle.entry import decode_entry
from protocol.merkle.export import LogDocument, LogNote, LogPart, LogProof, LogRange, LogSignature
from protocol.merkle.tree import Frontier, is_included, leaf_hash
from protocol.seal.keys import VerifyKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.merkle.checkpoint import Checkpoint
    from protocol.merkle.export import LogHeader, Row

_MAX_FAULTS = 100
_ABOUT_DOCUMENT = b'"doc":"'
KINDS: dict[str, type[PurgeCertificate | HoldStatement | HoldRelease]] = {
    kind.KIND: kind for kind in (PurgeCertificate, HoldStatement, HoldRelease)
}


@dataclass(slots=True)
class LogFindings:
    """Result of the verification."""

    size: int = 0
    """Entries of the log, as its export says."""
    entries: int = 0
    """Entries that were examined."""
    is_whole: bool = True
    """False for an export of some entries with their proofs."""
    checkpoints: int = 0
    """Checkpoints with a valid signature that the entries continue."""
    covered: int = 0
    """Entries below the latest of those: later ones are not signed yet."""
    witnesses: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By unit: entries of the checkpoint that it countersigned, and when, in seconds UTC."""
    documents: dict[str, int] = field(default_factory=dict)
    """Certificates, holds and releases whose hash is in the log, by kind."""
    faults: list[str] = field(default_factory=list)
    """What is not as it was signed; at most 100."""

    @property
    def is_right(self) -> bool:
        """True if nothing was altered, removed or cut off."""
        return not self.faults

    def fault(self, text: str) -> None:
        """Add a fault."""
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append(text)


class LogExamination:
    """Takes the parts of a log in the order of an export: checkpoints and documents before the entries."""

    def __init__(
        self, keys: Iterable[VerifyKey], units: Mapping[str, Iterable[VerifyKey]], *, needs_documents: bool = True
    ) -> None:
        """``keys`` are the log's, ``units`` those of the units."""
        self.found = LogFindings()
        self._keys = tuple(keys)
        self._units = {unit: tuple(known) for unit, known in units.items()}
        self._needs_documents = needs_documents
        self._checkpoints: dict[int, Checkpoint] = {}
        self._frontier = Frontier()
        self._gap = False
        self._documents: dict[str, tuple[str, int]] = {}
        """By hash: kind and number."""
        self._certified: dict[int, PurgeCertificate] = {}
        self._ranges: dict[int, list[tuple[str, bytes, int, int]]] = defaultdict(list)
        self._expected: dict[str, str] = {}
        """By hash of a document: what the entry says."""

    def checkpoint(self, note: str, whence: str = "") -> None:
        """Take a checkpoint; ``whence`` says who keeps it."""
        of = f" {whence}" if whence else ""
        try:
            signed = parse_checkpoint(note)
        except CheckpointError as error:
            self.found.fault(f"checkpoint{of}: {error}")
            return
        checkpoint = signed.checkpoint
        if not any(signed.is_signed_by(key) for key in self._keys):
            self.found.fault(f"checkpoint of {checkpoint.size} entries{of}: not signed by the log's key")
            return
        other = self._checkpoints.setdefault(checkpoint.size, checkpoint)
        if other.root != checkpoint.root:
            self.found.fault(f"two checkpoints of {checkpoint.size} entries with different roots were signed{of}")

    def witness(self, unit: str, size: int, line: str) -> None:
        """Take a countersignature of a checkpoint that was taken before."""
        checkpoint = self._checkpoints.get(size)
        try:
            signed = checkpoint and read_cosignature(line, checkpoint, unit, self._units.get(unit, ()))
        except CheckpointError:
            signed = None
        if signed:
            self.found.witnesses[unit] = size, signed.utc_s
        else:
            self.found.fault(f"countersignature of {unit} for {size} entries: invalid, or of an unknown key")

    def document(self, kind: str, data: bytes) -> None:
        """Take a certificate, hold or release."""
        model = KINDS.get(kind)
        try:
            if model is None:
                raise DocumentError(f"{kind!r} is not a kind of document of this version")  # noqa: TRY301 - one way out
            told = parse_document(data, model)
        except DocumentError as error:
            self.found.fault(f"document: {error}")
            return
        self._documents[document_hash(data).hex()] = kind, told.number
        if isinstance(told, PurgeCertificate):
            self._certified[told.number] = told

    def ranges(self, purge: int, unit: str, ranges: Iterable[tuple[int, int]], life: bytes = b"") -> None:
        """Take sequence numbers of a life whose contents a purge deleted."""
        self._ranges[purge] += [(unit, life, first, last) for first, last in ranges]

    def entry(self, number: int, entry: bytes) -> None:
        """Take the next entry of a whole log."""
        frontier = self._frontier
        if number != frontier.size and not self._gap:
            self._gap = True
            self.found.fault(f"entries {frontier.size} to {number - 1} are missing")
        self.found.entries += 1
        frontier.append(leaf_hash(entry))
        if _ABOUT_DOCUMENT in entry:
            self._expect(number, entry)
        checkpoint = self._checkpoints.get(frontier.size)
        if checkpoint is not None:
            self._compare(checkpoint, frontier.root())

    def proven(self, number: int, entry: bytes, size: int, proof: Iterable[bytes]) -> None:
        """Take one entry with its proof."""
        self.found.is_whole = False
        self.found.entries += 1
        checkpoint = self._checkpoints.get(size)
        if checkpoint is None:
            self.found.fault(f"entry {number}: there is no signed checkpoint of {size} entries")
        elif not is_included(leaf_hash(entry), number, size, list(proof), checkpoint.root):
            self.found.fault(f"entry {number}: is not in the log of the checkpoint of {size} entries")
        else:
            self.found.covered = max(self.found.covered, size)
        self._expect(number, entry)

    def end(self, size: int) -> LogFindings:
        """Return the findings; ``size`` is the number of entries that the log is said to have."""
        found = self.found
        found.size = size
        if found.is_whole:
            self._check_end(size)
        else:
            found.checkpoints = len(self._checkpoints)
        self._check_documents()
        return found

    def _compare(self, checkpoint: Checkpoint, root: bytes) -> None:
        if root == checkpoint.root:
            self.found.checkpoints += 1
            self.found.covered = checkpoint.size
        elif not self._gap:
            self.found.fault(
                f"the entries are not those of the checkpoint of {checkpoint.size} entries: altered between entry "
                f"{self.found.covered} and {checkpoint.size - 1}"
            )

    def _check_end(self, size: int) -> None:
        there = self._frontier.size
        if there != size:
            self.found.fault(f"the log is said to have {size} entries, {there} are there")
        for newer in sorted(known for known in self._checkpoints if known > there):
            self.found.fault(
                f"a checkpoint of {newer} entries was signed: entries {there} to {newer - 1} were cut off, or this is "
                "an old backup"
            )

    def _expect(self, number: int, entry: bytes) -> None:
        try:
            told = decode_entry(entry)
        except EntryError as error:
            self.found.fault(f"entry {number}: {error}")
            return
        if told.document:
            self._expected[told.document] = f"{told.what} in entry {number}"

    def _check_documents(self) -> None:
        found = self.found
        for digest, (kind, number) in self._documents.items():
            if digest in self._expected:
                found.documents[kind] = found.documents.get(kind, 0) + 1
            else:
                found.fault(f"{kind} {number} is not in the log: it was made or altered by hand")
        if self._needs_documents or not found.is_whole:
            for digest in self._expected.keys() - self._documents.keys():
                found.fault(f"the document of {self._expected[digest]} is missing or was altered")
        for number in sorted(self._certified.keys() | self._ranges.keys()):
            certificate = self._certified.get(number)
            by_life = certificate is not None and certificate.by_life is True
            told = hashlib.sha256(ranges_text(self._ranges.get(number, ()), by_life=by_life)).hexdigest()
            if certificate is None or certificate.ranges != told:
                found.fault(f"the numbers of purge {number} are not those of its certificate")


def examine_log(
    header: LogHeader,
    rows: Iterable[Row],
    *,
    keys: Iterable[VerifyKey] = (),
    units: Mapping[str, Iterable[VerifyKey]] | None = None,
    kept: Iterable[tuple[str, str]] = (),
) -> LogFindings:
    """Verify an export.  Without ``keys`` and ``units`` those in it are used.

    ``kept`` are checkpoints that others keep: where from, and the note.  Raises WireError from ``rows``.
    """
    trusted = tuple(keys) or _enclosed(header)
    known = dict(units) if units else _enclosed_units(header)
    examination = LogExamination(trusted, known)
    if not trusted:
        examination.found.fault("the log has no key: its entries are not signed")
    for whence, note in kept:
        examination.checkpoint(note, f"from {whence}")
    for row in rows:
        match row:
            case LogPart():
                for place, entry in enumerate(row.entries):
                    examination.entry(row.first + place, entry)
            case LogProof():
                examination.proven(row.number, row.entry, row.size, row.proof)
            case _:
                _take(examination, row)
    return examination.end(header.size)


def _take(examination: LogExamination, row: LogNote | LogSignature | LogDocument | LogRange) -> None:
    match row:
        case LogNote():
            examination.checkpoint(_text(row.note))
        case LogSignature(line=b""):
            examination.checkpoint(_text(row.note), f"that {row.unit} keeps")
        case LogSignature():
            examination.witness(row.unit, row.size, _text(row.line))
        case LogDocument():
            examination.document(row.kind, row.data)
        case LogRange():
            examination.ranges(row.purge, row.unit, row.ranges, row.life)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _enclosed(header: LogHeader) -> tuple[VerifyKey, ...]:
    try:
        return () if header.public_key is None else (VerifyKey.from_raw(header.public_key),)
    except KeyFileError:
        return ()


def _enclosed_units(header: LogHeader) -> dict[str, list[VerifyKey]]:
    found: dict[str, list[VerifyKey]] = defaultdict(list)
    for unit, raw in header.keys:
        try:
            found[unit].append(VerifyKey.from_raw(raw))
        except KeyFileError:
            continue
    return found

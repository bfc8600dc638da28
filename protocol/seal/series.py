"""A series in a file, and its verification: complete and unaltered, or where it is not.

The file is a sequence of msgpack maps: one ``series/1`` with the units' public keys, one ``head/1`` for each life of a
unit that signed one, then one ``proof/1`` per record.  A life is a series of numbers from 1; each is verified alone.
It can be verified without station and network; compare the fingerprints of the keys in it with those that the units
show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.errors import WireError
from protocol.seal.evidence import START, Evidence, Salt, digest_of
from protocol.seal.head import Head
from protocol.wire.codec import (
    MAX_ITEMS,
    MAX_MESSAGE_BYTES,
    U63,
    ClosedMessage,
    KeyId,
    Message,
    Seq,
    Sha256,
    Signature,
    Text36,
    UnitId,
    decode_fields,
    encode,
    key,
    unpack,
    unpack_each,
)
from protocol.wire.enums import Lost, LostReason
from protocol.wire.record import Life, decode_record
from protocol.wire.records.audit import AUDIT_START, Audit
from protocol.wire.records.read import Read
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.released import released_registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from protocol.seal.keys import VerifyKey
    from protocol.wire.registry import Registry

MAX_KEYS = MAX_ITEMS
"""Maximum number of public keys in one series."""
_MAX_MAP_BYTES = 4 * MAX_MESSAGE_BYTES
"""Maximum size of a record with its evidence, and of a header of ``MAX_KEYS``."""


class Header(Message):
    """``series/1``: the header of a series."""

    SCHEMA: ClassVar[str] = "series/1"

    station: Annotated[Text36, key("sta")]
    utc_us: Annotated[U63, key("t")]
    keys: Annotated[tuple[tuple[UnitId, Sha256], ...], Field(max_length=MAX_KEYS), key("keys")]
    """Unit and raw public key."""


class ProofRow(ClosedMessage):
    """``proof/1``: one record in the file."""

    SCHEMA: ClassVar[str] = "proof/1"

    unit: Annotated[UnitId, key("dev")]
    seq: Annotated[Seq, key("seq")]
    prev: Annotated[Sha256, key("prev")]
    digest: Annotated[Sha256, key("dig")]
    key_id: Annotated[KeyId, key("key")]
    signature: Annotated[Signature, key("sig")]
    salt: Annotated[Salt | None, key("salt")]
    record: Annotated[
        Annotated[bytes, Field(strict=True, min_length=1, max_length=MAX_MESSAGE_BYTES)] | None, key("rec")
    ]
    life: Annotated[Life, key("life")] = b""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.salt is None) != (self.record is None):
            raise ValueError("record and salt must both be present or both absent")
        return self


@dataclass(frozen=True, slots=True)
class Proof:
    """One record of the series."""

    evidence: Evidence
    salt: bytes | None
    """None if the record was deleted under its retention policy: only its digest is left."""
    record: bytes | None
    life: bytes = b""
    """Of the record's envelope; empty for a series begun before lives had ids."""

    @property
    def is_whole(self) -> bool:
        """True if the contents are those that were signed, or were deleted."""
        if self.salt is None or self.record is None:
            return True
        return digest_of(self.salt, self.record) == self.evidence.digest


@dataclass(slots=True)
class UnitFindings:
    """Result of the verification for one life of a unit."""

    unit: str
    life: str = ""
    """Hexadecimal; empty for a series begun before lives had ids."""
    records: int = 0
    reads: int = 0
    unknown: int = 0
    """Records of a type that this version does not know; verified like all others."""
    deleted: int = 0
    """Records whose contents were deleted under the retention policy; still part of the chain."""
    first: int = 0
    last: int = 0
    changed: list[int] = field(default_factory=list)
    """Records whose contents or evidence are not what the unit signed."""
    unknown_key: list[int] = field(default_factory=list)
    reordered: list[int] = field(default_factory=list)
    """Records after one with a higher number."""
    doubled: list[int] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    declared: list[tuple[int, int]] = field(default_factory=list)
    """Absent numbers that the unit declared as lost."""
    broken: list[int] = field(default_factory=list)
    """Records whose link does not continue the record before them."""
    restarts: list[int] = field(default_factory=list)
    """New chains after damage that the unit declared."""
    audit_entries: int = 0
    """Entries of the audit log."""
    audit_missing: list[tuple[int, int]] = field(default_factory=list)
    """Numbers of absent entries that neither a deletion nor a declared loss can explain."""
    audit_broken: list[int] = field(default_factory=list)
    """Numbers of entries that do not continue the one before them, or that appear twice."""
    head: int | None = None
    """The latest number that the unit signed as its head; None without a head."""
    head_us: int | None = None
    """When, UTC by the unit's clock; None if it was unknown."""
    unsent: list[tuple[int, int]] = field(default_factory=list)
    """Numbers after the last record that the unit had, and for which it had no receipt yet when it signed its head."""
    head_wrong: list[int] = field(default_factory=list)
    """Number of a head that the unit's keys did not sign, or that does not match the record of this number."""

    @property
    def is_right(self) -> bool:
        """True if nothing is missing, changed or out of order."""
        return not (
            self.changed or self.unknown_key or self.reordered or self.doubled or self.missing or self.broken
            or self.audit_missing or self.audit_broken or self.unsent or self.head_wrong
        )  # fmt: skip


def write_series(out: IO[bytes], header: Header, items: Iterable[Proof | Head]) -> int:
    """Write a series; return how many records."""
    out.write(encode(header))
    count = 0
    for item in items:
        if isinstance(item, Head):
            out.write(encode(item))
            continue
        proof, e = item, item.evidence
        row = ProofRow(
            unit=e.unit, seq=e.seq, prev=e.prev, digest=e.digest, key_id=e.key_id, signature=e.signature,
            salt=proof.salt, record=proof.record, life=proof.life,
        )  # fmt: skip
        out.write(encode(row))
        count += 1
    return count


def make_header(station: str, utc_us: int, keys: Iterable[tuple[str, bytes]]) -> Header:
    """Return the header of a series; raises WireError for more keys than a series holds."""
    keys = tuple(keys)
    if len(keys) > MAX_KEYS:
        raise WireError(
            f"a series can have {MAX_KEYS} public keys, these units have {len(keys)}: export one unit at a time"
        )
    return Header(station=station, utc_us=utc_us, keys=keys)


def read_series(file: IO[bytes]) -> tuple[Header, Iterator[Proof | Head]]:
    """Return the header, and heads and records one at a time; raises WireError for anything but a series."""
    maps = unpack_each(file, max_item_bytes=_MAX_MAP_BYTES)
    first = next(maps, None)
    if first is None:
        raise WireError("the file is empty, not a series")
    return decode_fields(first, Header), (_item(decode_fields(item, ProofRow, Head)) for item in maps)


def _item(row: ClosedMessage) -> Proof | Head:
    if isinstance(row, Head):
        return row
    if not isinstance(row, ProofRow):
        raise TypeError(f"{type(row).__name__} in a series")
    evidence = Evidence(row.unit, row.seq, row.prev, row.digest, row.key_id, row.signature)
    return Proof(evidence, row.salt, row.record, row.life)


def examine(
    items: Iterable[Proof | Head], keys: Mapping[str, Iterable[VerifyKey]], registry: Registry | None = None
) -> list[UnitFindings]:
    """Verify every record and head, then the chain of each life of a unit; ``keys`` are the trusted ones."""
    known_types = registry or released_registry()
    lives: dict[tuple[str, bytes], _Examination] = {}
    for item in items:
        name = (item.unit, item.life) if isinstance(item, Head) else (item.evidence.unit, _life_of(item))
        if name not in lives:
            lives[name] = _Examination(*name, {found.id: found for found in keys.get(name[0], ())}, known_types)
        if isinstance(item, Head):
            lives[name].take_head(item)
        else:
            lives[name].take(item)
    return [lives[name].findings() for name in sorted(lives)]


def _life_of(proof: Proof) -> bytes:
    """Where none is noted, that of the signed record: stations before 0.3 stored lives without noting them."""
    if proof.life or proof.record is None:
        return proof.life
    try:
        life = unpack(proof.record).get("life", b"")
    except WireError:
        return b""
    return life if isinstance(life, bytes) else b""


@dataclass(frozen=True, slots=True)
class _Step:
    prev: bytes
    link: bytes


class _Examination:
    """The records of one life of a unit, in the order of the file."""

    def __init__(self, unit: str, life: bytes, keys: dict[bytes, VerifyKey], registry: Registry) -> None:
        self._keys = keys
        self._registry = registry
        self._life = life
        self._found = UnitFindings(unit, life.hex())
        self._head: Head | None = None
        self._steps: dict[int, _Step] = {}
        self._damage: set[int] = set()
        self._lost: list[tuple[int, int]] = []
        self._highest = 0
        self._entries: dict[int, _Step] = {}
        """Of the audit log, by its own numbers."""

    def take(self, proof: Proof) -> None:
        found, evidence = self._found, proof.evidence
        found.records += 1
        seq = evidence.seq
        if seq in self._steps:
            found.doubled.append(seq)
            return
        if seq < self._highest:
            found.reordered.append(seq)
        self._highest = max(self._highest, seq)
        self._steps[seq] = _Step(evidence.prev, evidence.link)
        signer = self._keys.get(evidence.key_id)
        if signer is None:
            found.unknown_key.append(seq)
        elif not evidence.is_signed_by(signer) or not proof.is_whole:
            found.changed.append(seq)
            return
        if proof.record is None:
            found.deleted += 1
        else:
            self._look_inside(seq, proof.record)

    def take_head(self, head: Head) -> None:
        """Keep the newest head that one of the unit's keys signed."""
        signer = self._keys.get(head.key_id)
        if signer is None or not head.is_signed_by(signer):
            self._found.head_wrong.append(head.seq)
        elif self._head is None or not head.is_older_than(self._head):
            self._head = head

    def _look_inside(self, seq: int, payload: bytes) -> None:
        try:
            record = decode_record(payload, self._registry)
        except WireError:
            self._found.changed.append(seq)
            return
        if record.envelope.life != self._life:
            self._found.changed.append(seq)
            return
        body = record.body
        match body:
            case None:
                self._found.unknown += 1
            case Read():
                self._found.reads += 1
            case Audit():
                self._take_entry(body)
            case Tombstone(lost=Lost.READ | Lost.RECORD):
                self._lost += body.ranges
                if body.reason is LostReason.DAMAGE:
                    self._damage.add(seq)

    def _take_entry(self, entry: Audit) -> None:
        self._found.audit_entries += 1
        if entry.n in self._entries:
            self._found.audit_broken.append(entry.n)
        self._entries[entry.n] = _Step(entry.prev, entry.digest())

    def _check_entries(self) -> None:
        """Walk the audit log in the order of its numbers."""
        found, before = self._found, 0
        for n in sorted(self._entries):
            step = self._entries[n]
            # A damaged outbox may have taken the head of the log with it: then it begins anew, and the unit said so.
            begins = step.prev == AUDIT_START and (n == 1 or bool(self._damage))
            if n > before + 1 and not (found.deleted or self._lost or found.changed or begins):
                found.audit_missing.append((before + 1, n - 1))
            elif n == before + 1 and not begins and (not before or step.prev != self._entries[before].link):
                found.audit_broken.append(n)
            before = n

    def findings(self) -> UnitFindings:
        """Walk the chain in the order of the numbers."""
        found = self._found
        seqs = sorted(self._steps)
        found.first, found.last = (seqs[0], seqs[-1]) if seqs else (0, 0)
        suspects = {*found.changed, *found.unknown_key}
        before = 0
        for seq in seqs:
            if seq > before + 1:
                self._gap(before + 1, seq - 1)
            step = self._steps[seq]
            if step.prev == START:
                if seq in self._damage:
                    found.restarts.append(seq)
                elif seq > 1:
                    found.broken.append(seq)
            elif seq == before + 1 and before and before not in suspects and step.prev != self._steps[before].link:
                found.broken.append(seq)
            before = seq
        if self._head is not None:
            self._check_head(self._head, before)
        self._check_entries()
        return found

    def _check_head(self, head: Head, last: int) -> None:
        """The series must reach the signed head; what the unit had no receipt for may still be there."""
        found = self._found
        found.head, found.head_us = head.seq, head.utc_us
        if head.done > last:
            self._gap(last + 1, min(head.done, head.seq))
        first = max(last, head.done) + 1
        if head.seq >= first:
            found.unsent.append((first, head.seq))
        step = self._steps.get(head.seq)
        if step is not None and head.seq not in found.changed and step.link != head.link:
            found.head_wrong.append(head.seq)

    def _gap(self, first: int, last: int) -> None:
        """Split a gap into what the unit declared lost and what is missing."""
        at = first
        for low, high in sorted(self._lost):
            if high < at or low > last:
                continue
            if low > at:
                self._found.missing.append((at, low - 1))
            self._found.declared.append((max(low, at), min(high, last)))
            at = min(high, last) + 1
        if at <= last:
            self._found.missing.append((at, last))

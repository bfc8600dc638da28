"""A series of proofs as a file, and what it proves: complete and unaltered, or where it is not.

The file is a run of msgpack maps: one ``series/1`` with the units' public keys, then one ``proof/1`` a record.  It
needs no station and no network to check; the keys in it are a convenience, and their fingerprints are to be compared
with those that the units show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from protocol.errors import SealError, WireError
from protocol.seal.evidence import SALT_BYTES, START, Evidence, digest_of
from protocol.seal.keys import KEY_ID_BYTES, SIGNATURE_BYTES, VerifyKey
from protocol.wire.enums import Lost, LostReason
from protocol.wire.fields import I63, MAX_ITEMS, MAX_MESSAGE_BYTES, Fields, Plain, pack, unpack_each
from protocol.wire.topics import check_unit
from protocol.wire.wire import ReadMessage, TombstoneMessage, decode_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SERIES = "series/1"
PROOF = "proof/1"
_HASH_BYTES = 32
_MAX_KEYS = MAX_ITEMS
_MAX_MAP_BYTES = 4 * MAX_MESSAGE_BYTES
"""Room for the largest record with its proof, and for a header of ``_MAX_KEYS``."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the series says of itself."""

    station: str
    utc_us: int
    keys: tuple[tuple[str, bytes], ...]
    """Unit and raw public key."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One record of the series."""

    evidence: Evidence
    salt: bytes | None
    """None when the record was deleted under its retention policy: only its digest is left."""
    record: bytes | None

    @property
    def is_whole(self) -> bool:
        """True when the contents are the ones that were signed, or were deleted."""
        if self.salt is None or self.record is None:
            return True
        return digest_of(self.salt, self.record) == self.evidence.digest


@dataclass(slots=True)
class UnitFindings:
    """What the series proves of one unit."""

    unit: str
    records: int = 0
    reads: int = 0
    deleted: int = 0
    """Records whose contents are gone under the retention policy; the chain still counts them."""
    first: int = 0
    last: int = 0
    changed: list[int] = field(default_factory=list)
    """Contents or proof are not what the unit signed."""
    unknown_key: list[int] = field(default_factory=list)
    reordered: list[int] = field(default_factory=list)
    """Stand behind a higher number."""
    doubled: list[int] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    declared: list[tuple[int, int]] = field(default_factory=list)
    """Not here, and the unit itself said that they will never come."""
    broken: list[int] = field(default_factory=list)
    """Do not continue the record before them."""
    restarts: list[int] = field(default_factory=list)
    """Chains that began anew after damage that the unit declared."""

    @property
    def is_right(self) -> bool:
        """True when nothing is missing, changed or out of order."""
        return not (
            self.changed or self.unknown_key or self.reordered or self.doubled or self.missing or self.broken
        )


def write_series(out: IO[bytes], header: Header, proofs: Iterable[Proof]) -> int:
    """Write a series; return how many records.  Raises WireError for more keys than a series holds."""
    if len(header.keys) > _MAX_KEYS:
        raise WireError(
            f"a series holds {_MAX_KEYS} public keys, these units have {len(header.keys)}: export one unit at a time"
        )
    keys: list[Plain] = [[unit, raw] for unit, raw in header.keys]
    out.write(pack({"v": SERIES, "sta": header.station, "t": header.utc_us, "keys": keys}))
    count = 0
    for proof in proofs:
        e = proof.evidence
        fields: dict[str, Plain] = {
            "v": PROOF, "dev": e.unit, "seq": e.seq, "prev": e.prev, "dig": e.digest, "key": e.key_id,
            "sig": e.signature, "salt": proof.salt, "rec": proof.record,
        }  # fmt: skip
        out.write(pack(fields))
        count += 1
    return count


def read_series(file: IO[bytes]) -> tuple[Header, Iterator[Proof]]:
    """Return the header and the proofs, one at a time; raises WireError for what is no series."""
    maps = unpack_each(file, max_item_bytes=_MAX_MAP_BYTES)
    first = next(maps, None)
    if first is None:
        raise WireError("the file is empty: not a series")
    fields = Fields(first, SERIES)
    if (schema := fields.text("v", 16)) != SERIES:
        raise WireError(f"schema {schema!r} is not {SERIES}")
    header = Header(
        fields.text("sta", 36),
        fields.integer("t", 0, I63),
        tuple(
            (check_unit(row.text("0", 36)), row.binary("1", 32, 32)) for row in fields.rows("keys", _MAX_KEYS, 2)
        ),
    )
    return header, (_proof(item) for item in maps)


def _proof(item: dict[str, Plain]) -> Proof:
    fields = Fields(item, PROOF)
    if (schema := fields.text("v", 16)) != PROOF:
        raise WireError(f"schema {schema!r} is not {PROOF}")
    evidence = Evidence(
        unit=check_unit(fields.text("dev", 36)),
        seq=fields.integer("seq", 1, I63),
        prev=fields.binary("prev", _HASH_BYTES, _HASH_BYTES),
        digest=fields.binary("dig", _HASH_BYTES, _HASH_BYTES),
        key_id=fields.binary("key", KEY_ID_BYTES, KEY_ID_BYTES),
        signature=fields.binary("sig", SIGNATURE_BYTES, SIGNATURE_BYTES),
    )
    proof = Proof(
        evidence,
        fields.optional_binary("salt", SALT_BYTES, SALT_BYTES),
        fields.optional_binary("rec", 1, MAX_MESSAGE_BYTES),
    )
    fields.finish()
    if (proof.salt is None) != (proof.record is None):
        raise WireError(f"{PROOF}: record and salt come together or not at all")
    return proof


def examine(proofs: Iterable[Proof], keys: Mapping[str, Iterable[VerifyKey]]) -> list[UnitFindings]:
    """Check every proof, then each unit's chain; ``keys`` are those to believe."""
    units: dict[str, _Examination] = {}
    for proof in proofs:
        name = proof.evidence.unit
        if name not in units:
            units[name] = _Examination(name, {key.id: key for key in keys.get(name, ())})
        units[name].take(proof)
    return [units[name].findings() for name in sorted(units)]


@dataclass(frozen=True, slots=True)
class _Step:
    prev: bytes
    link: bytes


class _Examination:
    """One unit's records, in the order of the file."""

    def __init__(self, unit: str, keys: dict[bytes, VerifyKey]) -> None:
        self._keys = keys
        self._found = UnitFindings(unit)
        self._steps: dict[int, _Step] = {}
        self._damage: set[int] = set()
        self._lost: list[tuple[int, int]] = []
        self._highest = 0

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
        key = self._keys.get(evidence.key_id)
        if key is None:
            found.unknown_key.append(seq)
        elif not evidence.is_signed_by(key) or not proof.is_whole:
            found.changed.append(seq)
            return
        if proof.record is None:
            found.deleted += 1
        else:
            self._look_inside(seq, proof.record)

    def _look_inside(self, seq: int, record: bytes) -> None:
        try:
            message = decode_record(record)
        except (WireError, SealError):
            self._found.changed.append(seq)
            return
        if isinstance(message, ReadMessage):
            self._found.reads += 1
        elif isinstance(message, TombstoneMessage) and message.tombstone.lost in {Lost.READ, Lost.RECORD}:
            self._lost += message.tombstone.ranges
            if message.tombstone.reason is LostReason.DAMAGE:
                self._damage.add(seq)

    def findings(self) -> UnitFindings:
        """Walk the chain in the order of the numbers."""
        found = self._found
        seqs = sorted(self._steps)
        found.first, found.last = seqs[0], seqs[-1]
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
        return found

    def _gap(self, first: int, last: int) -> None:
        """Cut a hole into what the unit declared lost and what is simply not here."""
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

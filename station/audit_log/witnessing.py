"""Sends checkpoints to units with the proof that they need, and stores what the units say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import CheckpointError
from protocol.merkle.checkpoint import parse_checkpoint, read_cosignature
from protocol.wire.codec import encode
from protocol.wire.control.log_checkpoint import LogCheckpoint
from protocol.wire.enums import WitnessAnswer
from protocol.wire.topics import Channel, build
from station.store.rows import ConflictRow, WitnessRow

if TYPE_CHECKING:
    from protocol.seal import KeyRing
    from protocol.seal.keys import VerifyKey
    from protocol.wire.control.log_checkpoint import LogWitness
    from station.store import Store
    from station.store.rows import CheckpointRow

_LOOK_US = 10_000_000


class Witnessing:
    """Of the units whose keys the station has.  Used by one thread."""

    def __init__(self, store: Store, ring: KeyRing, key: VerifyKey) -> None:
        """``key`` is the log's."""
        self._store = store
        self._units = {unit: tuple(keys.values()) for unit, keys in ring.units.items()}
        self._key = key
        self._messages: list[tuple[str, bytes]] = []
        self._looked_us: int | None = None
        self.conflicts: set[str] = set()
        """Units that said since the start that they keep what this log does not continue."""
        self.signed = 0
        """Countersignatures stored since the start."""
        self.ignored = 0
        """Answers that prove nothing: of no valid signature, or about an unknown checkpoint."""

    def messages(self, now_us: int) -> list[tuple[str, bytes]]:
        """Return topic and payload for each unit that lacks the latest checkpoint.  Raises StoreError."""
        if self._looked_us is not None and 0 <= now_us - self._looked_us < _LOOK_US:
            return self._messages
        self._looked_us = now_us
        latest = self._store.log.checkpoints(latest=1)
        has = {row.unit: row.size for row in self._store.log.witnesses()}
        signed = {row.unit: row.size for row in self._store.log.witnesses() if row.line}
        self._messages = [] if not latest else self._for_units(latest[0], has, signed)
        return self._messages

    def _for_units(
        self, latest: CheckpointRow, has: dict[str, int], signed: dict[str, int]
    ) -> list[tuple[str, bytes]]:
        proofs: dict[int, tuple[bytes, ...]] = {}
        made = []
        for unit in self._units:
            old = has.get(unit, 0)
            if signed.get(unit) == latest.size or old > latest.size:
                continue
            if old not in proofs:
                proofs[old] = tuple(self._store.log.consistency(old, latest.size))
            message = LogCheckpoint(
                unit=unit, public_key=self._key.raw, note=latest.note.encode(), old=old, proof=proofs[old]
            )
            made.append((build(unit, Channel.LOG), encode(message)))
        return made

    def take(self, answer: LogWitness, now_us: int) -> None:
        """Store what a unit says, if it is proven.  Inside a transaction."""
        if answer.answer is WitnessAnswer.SIGNED:
            self._take_signature(answer, now_us)
        else:
            self._take_kept(answer, now_us)

    def _take_signature(self, answer: LogWitness, now_us: int) -> None:
        row = self._store.log.checkpoint(answer.size)
        try:
            line = answer.line.decode()
            found = row and read_cosignature(
                line, parse_checkpoint(row.note).checkpoint, answer.unit, self._units.get(answer.unit, ())
            )
        except (CheckpointError, UnicodeDecodeError):
            found = None
        if not found:
            self.ignored += 1
            return
        self._store.log.add_witness(WitnessRow(answer.unit, answer.size, line, now_us))
        self.signed += 1
        self._looked_us = None

    def _take_kept(self, answer: LogWitness, now_us: int) -> None:
        """The unit keeps a checkpoint of ours: the proof has to start there, or the log does not continue it."""
        log = self._store.log
        try:
            note = answer.note.decode()
            kept = parse_checkpoint(note)
        except (CheckpointError, UnicodeDecodeError):
            kept = None
        if kept is None or not kept.is_signed_by(self._key):
            self.ignored += 1
            return
        size = kept.checkpoint.size
        if size > log.size() or log.root(size) != kept.checkpoint.root:
            self.conflicts.add(answer.unit)
            log.add_conflict(ConflictRow(answer.unit, size, note, now_us))
            if size > log.size():
                return
            # The unit gets a proof from there, which it will refuse: it has to say so, too.
        log.add_witness(WitnessRow(answer.unit, size, "", now_us))
        self._looked_us = None

"""The unit as a witness of the station's audit log: keeps the latest checkpoint, and countersigns what continues it.

A log that was altered, cut or replaced does not continue the checkpoint that the unit keeps: it is refused, and said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from protocol.errors import CheckpointError, KeyFileError, WireError
from protocol.merkle.checkpoint import cosign, parse_checkpoint
from protocol.merkle.tree import is_consistent
from protocol.seal.keys import VerifyKey
from protocol.wire.codec import decode, encode
from protocol.wire.control.log_checkpoint import LogCheckpoint, LogWitness
from protocol.wire.enums import WitnessAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.merkle.checkpoint import Checkpoint
    from protocol.seal.keys import SigningKey

_MAX_BYTES = 16_384
_MAX_TURNS = 16
_OLD_ONES = 2
"""A smaller checkpoint can be late, from another worker of the station; so many in a row are not."""


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What a unit keeps of the log."""

    public_key: bytes = b""
    """The log's key; empty before the first checkpoint."""
    note: str = ""
    """The latest checkpoint that was accepted."""
    refusal: str = ""
    """Why the latest checkpoint was refused; empty if it was accepted."""
    refused_note: str = ""
    """The checkpoint that was refused last, also after later ones were accepted."""

    def encode(self) -> bytes:
        """Return the contents of a file."""
        told = {
            "key": self.public_key.hex(),
            "note": self.note,
            "refusal": self.refusal,
            "refused": self.refused_note,
        }
        return json.dumps(told, indent=1).encode() + b"\n"


def decode_state(data: bytes) -> WitnessState | None:
    """Return the state in a file; None for anything else."""
    try:
        told = json.loads(data) if len(data) <= _MAX_BYTES else None
        if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
            return None
        state = WitnessState(bytes.fromhex(told["key"]), told["note"], told["refusal"], told["refused"])
        if state.note and not parse_checkpoint(state.note).is_signed_by(VerifyKey.from_raw(state.public_key)):
            return None
    except (ValueError, KeyError, RecursionError, KeyFileError, CheckpointError):
        return None
    return state


class WitnessStore(Protocol):
    """Where the state outlives the process."""

    def load(self) -> WitnessState:
        """Return it; an empty one if there is none."""

    def save(self, state: WitnessState) -> None:
        """Make it durable.  Raises OSError."""


@dataclass(slots=True)
class WitnessCounts:
    """Since the start."""

    signed: int = 0
    """Checkpoints countersigned."""
    asked: int = 0
    """Checkpoints whose proof did not start at the one that this unit keeps."""
    refused: int = 0
    """Checkpoints that do not continue the one that this unit keeps."""
    invalid: int = 0
    """Messages that are none, or without the log's signature."""


class Witness:
    """Used by one thread."""

    def __init__(
        self,
        unit: str,
        key: SigningKey,
        store: WitnessStore,
        utc_s: Callable[[], int | None],
    ) -> None:
        """``utc_s`` returns the time that is signed, None if it is unknown."""
        self._unit = unit
        self._key = key
        self._store = store
        self._utc_s = utc_s
        self._state = store.load()
        self._n_smaller = 0
        self._n_turns = 0
        self._doubt: tuple[str, str] | None = None
        self.counts = WitnessCounts()

    @property
    def refusal(self) -> str:
        """Why the latest checkpoint was refused; empty if it was accepted.  Any thread may ask."""
        return self._state.refusal

    @property
    def size(self) -> int:
        """Entries of the log in the checkpoint that is kept; 0 if there is none."""
        kept = self._kept()
        return 0 if kept is None else kept.size

    def take(self, payload: bytes) -> bytes | None:
        """Handle a checkpoint; return the answer, None if it is not to be answered.

        Raises OSError if the checkpoint cannot be kept: then it is not countersigned.
        """
        try:
            message = decode(payload, LogCheckpoint)
            key = VerifyKey.from_raw(message.public_key)
            note = message.note.decode()
            found = parse_checkpoint(note)
        except (WireError, KeyFileError, CheckpointError, UnicodeDecodeError):
            self.counts.invalid += 1
            return None
        if message.unit != self._unit or not found.is_signed_by(key):
            self.counts.invalid += 1
            return None
        kept = self._kept()
        if kept is not None and key.raw != self._state.public_key:
            return self._refuse(
                note, "the station's log has another key than the one that this unit has witnessed"
            )
        if kept is None or kept == found.checkpoint:
            return self._accept(key, note, found.checkpoint)
        return self._compare(key, note, found.checkpoint, kept, message)

    @property
    def doubts(self) -> bool:
        """True while a proof was asked for, or a checkpoint with fewer entries came, which may only be late."""
        return self._doubt is not None

    def settle(self) -> None:
        """Refuse a checkpoint that was in doubt: no better one has come.  Raises OSError."""
        if self._doubt is not None:
            self._refuse(*self._doubt)

    def _compare(
        self, key: VerifyKey, note: str, new: Checkpoint, kept: Checkpoint, message: LogCheckpoint
    ) -> bytes | None:
        if new.size < kept.size:
            reason = f"the station's log has {new.size} entries, this unit has witnessed {kept.size}"
            self._n_smaller += 1
            if self._n_smaller < _OLD_ONES:
                self.counts.asked += 1
                self._doubt = note, reason
                return self._answer(WitnessAnswer.KEEPS)
            return self._refuse(note, reason, may_be_old=True)
        if new.size > kept.size and message.old != kept.size:
            self.counts.asked += 1
            self._doubt = (
                note,
                f"the station's log does not prove that it continues the {kept.size} witnessed entries",
            )
            return self._answer(WitnessAnswer.KEEPS)
        if not is_consistent(kept.size, new.size, kept.root, new.root, message.proof):
            reason = f"does not continue the {kept.size} that this unit has witnessed"
            return self._refuse(note, f"the station's log of {new.size} entries {reason}")
        return self._accept(key, note, new)

    def _accept(self, key: VerifyKey, note: str, checkpoint: Checkpoint) -> bytes:
        state = WitnessState(key.raw, note, "", self._state.refused_note)
        if state != self._state:
            if self._may_write(state):
                self._store.save(state)
            self._state = state
        self._n_smaller, self._doubt = 0, None
        self.counts.signed += 1
        line = cosign(self._key, self._unit, checkpoint, self._utc_s() or 0)
        return self._answer(WitnessAnswer.SIGNED, line.encode())

    def _refuse(self, note: str, reason: str, *, may_be_old: bool = False) -> bytes:
        self.counts.refused += 1
        self._doubt = None
        state = replace(self._state, refusal=reason, refused_note=note)
        if state != self._state:
            may_write = not may_be_old or self._may_write(state)
            self._state = state
            if may_write:
                self._store.save(state)
        return self._answer(WitnessAnswer.REFUSED)

    def _may_write(self, state: WitnessState) -> bool:
        """False once the same checkpoint was refused and accepted often: a broker repeats old messages."""
        if state.note != self._state.note:
            self._n_turns = 0
            return True
        self._n_turns += 1
        return self._n_turns <= _MAX_TURNS

    def _answer(self, answer: WitnessAnswer, line: bytes = b"") -> bytes:
        note = b"" if answer is WitnessAnswer.SIGNED else self._state.note.encode()
        return encode(LogWitness(unit=self._unit, answer=answer, size=self.size, note=note, line=line))

    def _kept(self) -> Checkpoint | None:
        return parse_checkpoint(self._state.note).checkpoint if self._state.note else None

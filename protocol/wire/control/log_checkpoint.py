"""Checkpoints of the station's audit log to units, and what units say of them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from protocol.wire.codec import NAMED, U63, Message, Sha256, UnitId, key
from protocol.wire.enums import WitnessAnswer

MAX_NOTE_BYTES = 4_096
MAX_PROOF = 64
Note = Annotated[bytes, Field(strict=True, max_length=MAX_NOTE_BYTES)]


class LogCheckpoint(Message):
    """``logpoint/1``, retained: the state of the log, and the proof that it continues an earlier one."""

    SCHEMA: ClassVar[str] = "logpoint/1"

    unit: Annotated[UnitId, key("dev")]
    public_key: Annotated[Sha256, key("pub")]
    """The log's raw public key, 32 bytes."""
    note: Annotated[Note, key("note")]
    """The signed checkpoint, UTF-8."""
    old: Annotated[U63, key("old")]
    """Size of the log from which the proof starts: what the unit is known to have; 0 for nothing."""
    proof: Annotated[tuple[Sha256, ...], Field(max_length=MAX_PROOF), key("prf")]


class LogWitness(Message):
    """``witness/1``: the unit countersigns a checkpoint, or says which one it keeps."""

    SCHEMA: ClassVar[str] = "witness/1"

    unit: Annotated[UnitId, key("dev")]
    answer: Annotated[WitnessAnswer, NAMED, key("ans")]
    size: Annotated[U63, key("n")]
    """Size of the checkpoint that the unit keeps."""
    note: Annotated[Note, key("note")]
    """That checkpoint as the station signed it; empty with a countersignature, which names it."""
    line: Annotated[Note, key("line")]
    """The countersignature line; empty in other answers."""

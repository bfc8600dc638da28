"""Received messages that wait for their commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.seal.head import Head
    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.log_checkpoint import LogWitness
    from protocol.wire.control.transfer import ChunkRequest, UpdateReport
    from protocol.wire.control.unit_state import Health, Status
    from station.store import NewRecord

Answer = tuple[str, bytes]
"""Topic and payload."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A record to be stored."""

    new: NewRecord
    payload: bytes
    """The payload as received, to which a nack refers."""

    @property
    def unit(self) -> str:
        """The unit that made it."""
        return self.new.record.envelope.unit


@dataclass(slots=True)
class Batch:
    """The messages received since the last commit."""

    records: list[Taken] = field(default_factory=list)
    chunks: list[tuple[PictureChunk, bytes]] = field(default_factory=list)
    health: list[tuple[Health, bytes, Head | None]] = field(default_factory=list)
    """With its head, if it has one and the signature is valid."""
    status: list[Status] = field(default_factory=list)
    updates: list[tuple[ChunkRequest | UpdateReport, bytes]] = field(default_factory=list)
    witnesses: list[LogWitness] = field(default_factory=list)
    refusals: list[Answer] = field(default_factory=list)

    @property
    def to_store(self) -> int:
        """Number of messages to be stored."""
        of_units = len(self.health) + len(self.status) + len(self.updates) + len(self.witnesses)
        return len(self.records) + len(self.chunks) + of_units

    def senders(self) -> set[str]:
        """Units that sent something themselves: a status may be retained, or a will."""
        others = {m.unit for m, _ in self.chunks} | {m.unit for m, _ in self.updates}
        others |= {m.unit for m, *_ in self.health} | {answer.unit for answer in self.witnesses}
        return others | {taken.unit for taken in self.records}

"""Results of a run so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.commit import CommitResult
    from agent.records import Read


@dataclass(slots=True)
class Progress:
    """Results to display; written by the commit thread, read by any."""

    reads: list[Read] = field(default_factory=list)
    """The latest reads."""
    committed: int = 0
    receipted: int = 0
    waiting: int = 0
    """Reads left in the outbox at the end."""
    first_mono_ns: int | None = None
    """When the first read was committed."""
    keep: int = 50

    def note(self, result: CommitResult, t_mono_ns: int) -> None:
        """Add the result of a round of the committer."""
        if result.reads and self.first_mono_ns is None:
            self.first_mono_ns = t_mono_ns
        self.committed += len(result.reads)
        self.reads = [*self.reads, *result.reads][-self.keep :]
        self.receipted += result.freed

    def finish(self, waiting: int) -> None:
        """Set the number of reads left in the outbox; after the commit thread has ended."""
        self.waiting = waiting

"""What is shown of the audit log: its size, its latest checkpoint, and which units have witnessed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.audit_log.export import standing_conflicts

if TYPE_CHECKING:
    from station.store import Store


@dataclass(frozen=True, slots=True)
class WitnessedBy:
    """A unit and the latest checkpoint that it countersigned."""

    unit: str
    size: int
    received_us: int


@dataclass(frozen=True, slots=True)
class LogState:
    """The audit log at one moment."""

    size: int
    """Number of entries."""
    root: str
    checkpoint_size: int
    """Entries of the latest signed checkpoint; 0 if there is none."""
    checkpoint_us: int | None
    witnesses: tuple[WitnessedBy, ...]
    refused_by: tuple[str, ...]
    """Units that keep a checkpoint which this log does not continue."""


def log_state(store: Store) -> LogState:
    """Return the state.  Raises StoreError."""
    log = store.log
    size = log.size()
    latest = next(iter(log.checkpoints(latest=1)), None)
    return LogState(
        size,
        log.root(size).hex(),
        0 if latest is None else latest.size,
        None if latest is None else latest.made_us,
        tuple(WitnessedBy(row.unit, row.size, row.received_us) for row in log.witnesses() if row.line),
        tuple(row.unit for row in standing_conflicts(store)),
    )

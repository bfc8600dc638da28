"""What a running station does beside receiving: signs checkpoints of its audit log, deletes on time.

Searches that people made, and what they saw, are deleted here and not by the pages: a station without pages may still
have some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from station.errors import LogAlteredError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from station.audit_log.checkpoints import Checkpointer
    from station.audit_log.witnessing import Witnessing
    from station.retention.schedule import Retention

CHECKPOINT_S = 600.0
OLD_S = 300.0


@dataclass(frozen=True, slots=True)
class Routine:
    """What any worker does now and then; doing it again, or at the same time as another one, changes nothing."""

    every_s: float
    failed: str
    """Event of the log if the database cannot be used."""
    act: Callable[[], object]


class ShortLived(Protocol):
    """What is kept for a while only."""

    def drop_old(self) -> int:
        """Delete what is too old; return how much."""


_LOG = structlog.get_logger(__name__)


class Housekeeping:
    """``step`` is called about once a second, by one thread."""

    def __init__(
        self,
        mono_s: Callable[[], float],
        *,
        checkpointer: Checkpointer | None = None,
        retention: Retention | None = None,
        witnessing: tuple[Witnessing, ...] = (),
        short_lived: Sequence[ShortLived] = (),
        routines: Sequence[Routine] = (),
    ) -> None:
        """``mono_s`` returns seconds of a clock that never steps; without a checkpointer nothing is signed."""
        self._mono_s = mono_s
        self._checkpointer = checkpointer
        self._retention = retention
        self._witnessing = witnessing
        self._short_lived = short_lived
        self._routines = {routine.failed: routine for routine in routines}
        self._routine_due_s = dict.fromkeys(self._routines, 0.0)
        self._due_s = 0.0
        self._old_due_s = 0.0
        self._told: set[str] = set()

    def step(self) -> None:
        """Do what is due.  Failures are logged, each once until it is over, and tried again."""
        if self._purge():
            self._due_s = 0.0
        if self._mono_s() >= self._old_due_s:
            self._old_due_s = self._mono_s() + OLD_S
            self._drop_old()
        for failed, routine in self._routines.items():
            if self._mono_s() >= self._routine_due_s[failed]:
                self._routine_due_s[failed] = self._mono_s() + routine.every_s
                self._do(routine)
        if self._checkpointer is not None and self._mono_s() >= self._due_s:
            self._due_s = self._mono_s() + CHECKPOINT_S
            self._sign(self._checkpointer)
        for unit in sorted(unit for witnessing in self._witnessing for unit in witnessing.conflicts):
            self._tell("log_refused_by_unit", f"{unit} keeps a checkpoint that this log does not continue")

    def _purge(self) -> bool:
        if self._retention is None:
            return False
        try:
            gone = self._retention.step()
        except StoreError as error:
            self._tell("purge_failed", str(error))
            return False
        if self._retention.doubt:
            self._tell("purge_waits", self._retention.doubt)
        elif gone is not None:
            self._is_over("purge_failed", "purge_waits")
        if self._retention.plan_rows:
            _LOG.info("plans_purged", rows=self._retention.plan_rows)
        if gone is not None:
            _LOG.info("purged", records=gone.records, pictures=gone.pictures, held=gone.held)
        return gone is not None

    def _drop_old(self) -> None:
        try:
            for kept in self._short_lived:
                kept.drop_old()
        except StoreError as error:
            self._tell("searches_not_deleted", str(error))

    def _do(self, routine: Routine) -> None:
        try:
            routine.act()
        except StoreError as error:
            self._tell(routine.failed, str(error))
        else:
            self._is_over(routine.failed)

    def _sign(self, checkpointer: Checkpointer) -> None:
        try:
            checkpointer.make()
        except (LogAlteredError, StoreError) as error:
            self._tell("checkpoint_not_signed", str(error))
        else:
            self._is_over("checkpoint_not_signed")

    def _is_over(self, *events: str) -> None:
        """What fails again is said again."""
        self._told = {told for told in self._told if not told.startswith(events)}

    def _tell(self, event: str, reason: str) -> None:
        if f"{event} {reason}" not in self._told:
            self._told.add(f"{event} {reason}")
            _LOG.error(event, reason=reason)

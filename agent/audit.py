"""The unit's audit log: numbered entries, each with the hash of the one before.

Entries are records like any other.  Only the head of the chain is kept here: what was sent is not needed to go on.
The head is stored before its entries are appended to the outbox, together with their ids: after a power cut in
between, the outbox says how far it came.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from agent.geotag.units import time_quality, to_us
from protocol.wire.records.audit import AUDIT_START, Audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.records import TimeTag

_CUT = "..."
_MAX_WHO, _MAX_ACTION, _MAX_OBJ, _MAX_PURPOSE, _MAX_CASE, _MAX_OUTCOME = 64, 32, 128, 128, 64, 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of the chain."""

    n: int = 0
    digest: bytes = AUDIT_START


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry that is being appended."""

    head: Head
    record_id: bytes


@dataclass(frozen=True, slots=True)
class ChainState:
    """What is stored: the last entry that is known to be in the outbox, and those that are being appended."""

    head: Head = Head()
    pending: tuple[Pending, ...] = ()


class ChainStore(Protocol):
    """Keeps the state over restarts and power cuts."""

    def load(self) -> ChainState | None:
        """Return the state; None if there is none, or it cannot be read."""

    def save(self, state: ChainState) -> None:
        """Replace it durably; raises OutboxHeldError."""


@dataclass(frozen=True, slots=True)
class AuditDraft:
    """An entry before it has its place in the chain."""

    who: str
    action: str
    obj: str
    purpose: str = ""
    case_number: str = ""
    outcome: str = "ok"
    t_mono_ns: int = 0


class Auditor(Protocol):
    """Where entries are handed in; any thread."""

    def add(
        self,
        who: str,
        action: str,
        obj: str,
        *,
        purpose: str = "",
        case_number: str = "",
        outcome: str = "ok",
    ) -> None:
        """Add an entry about what was just done, or refused."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry for the outbox; appended once, even if the append is repeated after a failure."""

    body: Audit

    @property
    def record_id(self) -> bytes:
        """The record id: it follows from the entry."""
        return record_id_of(self.body)

    @property
    def pictures(self) -> tuple[()]:
        """None."""
        return ()

    @property
    def expires_utc_us(self) -> None:
        """Kept until its receipt."""
        return


class AuditLog:
    """The chain of one unit.  Used by one thread, which also appends to the outbox."""

    def __init__(self, store: ChainStore, holds: Callable[[bytes], bool], *, appended: int = 0) -> None:
        """``holds`` says whether the outbox has a record of this id, ``appended`` how many entries it ever had.

        If the store has lost the state, the numbers go on and the chain begins anew: whoever verifies it is told.
        """
        self._store = store
        state = store.load()
        self.lost_state = state is None and appended > 0
        self._state = self._settled(ChainState(Head(appended)) if state is None else state, holds)
        self._dirty = self._state != state and state is not None

    @staticmethod
    def _settled(state: ChainState, holds: Callable[[bytes], bool]) -> ChainState:
        arrived = (entry.head for entry in reversed(state.pending) if holds(entry.record_id))
        return ChainState(next(arrived, state.head))

    @property
    def head(self) -> Head:
        """The last entry, including those that are being appended."""
        return self._state.pending[-1].head if self._state.pending else self._state.head

    def add(
        self,
        who: str,
        action: str,
        obj: str,
        *,
        when: TimeTag,
        t_mono_ns: int,
        purpose: str = "",
        case_number: str = "",
        outcome: str = "ok",
    ) -> AuditRecord:
        """Return the next entry, which the caller appends to the outbox; texts are shortened to what the wire has."""
        head = self.head
        entry = AuditRecord(
            Audit(
                n=head.n + 1,
                prev=head.digest,
                who=bounded(who, _MAX_WHO) or "unit",
                action=bounded(action, _MAX_ACTION) or "unknown",
                obj=bounded(obj, _MAX_OBJ),
                purpose=bounded(purpose, _MAX_PURPOSE),
                case_number=bounded(case_number, _MAX_CASE),
                outcome=bounded(outcome, _MAX_OUTCOME),
                mono_us=to_us(t_mono_ns),
                utc_us=None if when.utc_ns is None else to_us(when.utc_ns),
                time=time_quality(when.source, when.uncertainty_ms),
            )
        )
        pending = Pending(Head(entry.body.n, entry.body.digest()), entry.record_id)
        self._state = replace(self._state, pending=(*self._state.pending, pending))
        return entry

    def before_append(self) -> None:
        """Store the head of the entries that are about to be appended.

        Raises what the store raises; the entries must then wait.
        """
        if self._state.pending:
            self._store.save(self._state)

    def note_appended(self) -> None:
        """Note that every entry made so far is in the outbox; ``store_head`` must follow."""
        if self._state.pending:
            self._state, self._dirty = ChainState(self.head), True

    def store_head(self) -> None:
        """Store the head, unless it is stored; raises what the store raises, and is to be called again."""
        if self._dirty:
            self._store.save(self._state)
            self._dirty = False


def record_id_of(body: Audit) -> bytes:
    """Return the record id of an entry: 16 bytes that follow from it."""
    return hashlib.blake2b(body.digest(), digest_size=16, person=b"patrol-audit").digest()


def bounded(text: str, limit: int) -> str:
    """Return a text that the wire takes: printable, shortened visibly."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= limit else clean[: limit - len(_CUT)] + _CUT

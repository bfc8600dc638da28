"""The state with what it has to send: every change is saved first, with its records, and then they are handed over.

After a power cut, records that were not known to be in the outbox are handed over again: a record may arrive twice, and
none is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.shift.records import body_of, pending_of
from agent.shift.state import DutyState, dump_state

if TYPE_CHECKING:
    from agent.shift.moment import Moment
    from agent.shift.ports import DutyPorts
    from agent.shift.shifts import ShiftState
    from protocol.wire.registry import RecordBody, Registry


class Journal:
    """The state of one unit; not thread-safe."""

    def __init__(self, ports: DutyPorts, registry: Registry, state: DutyState, t_mono_ns: int) -> None:
        self._ports = ports
        self._registry = registry
        self._unsent: list[tuple[str, RecordBody]] = []
        self.state = state
        self.saved_mono_ns = t_mono_ns

    def change(self, **values: Any) -> None:
        """Set fields of the state; durable with the next save."""
        self.state = replace(self.state, **values)

    def find(self, shift_id: str) -> ShiftState | None:
        """Return an open shift."""
        return next((shift for shift in self.state.shifts if shift.shift_id == shift_id), None)

    def replace_shift(self, shift: ShiftState) -> None:
        """Replace the shift of the same id."""
        self.change(
            shifts=tuple(shift if other.shift_id == shift.shift_id else other for other in self.state.shifts)
        )

    def send(self, body: RecordBody, now: Moment) -> None:
        """Note a record; it is handed over after the next save."""
        pending = pending_of(body, now.boot)
        self.change(pending=(*self.state.pending, pending))
        self._unsent.append((pending.key, body))

    def save(self, now: Moment) -> None:
        """Save the state, then hand over the records noted in it."""
        self.saved_mono_ns = now.t_mono_ns
        self._ports.save(dump_state(self.state))
        unsent, self._unsent = self._unsent, []
        for key, body in unsent:
            self._ports.send(key, body)

    def resend(self, now: Moment) -> None:
        """Hand over again what was not known to be in the outbox.

        What a later release left and this one cannot make again stays for that release, and is audited.
        """
        for item in self.state.pending:
            known = self._registry.get(item.schema)
            if known is None:
                continue
            try:
                body = body_of(item, known.model, now)
            except (ValueError, TypeError, RecursionError):
                self.audit("unit", "resend", item.schema, "not of this version")
                continue
            self._ports.send(item.key, body)

    def stored(self, keys: set[str]) -> None:
        """Forget records that are in the outbox; durable with the next save."""
        self.change(pending=tuple(item for item in self.state.pending if item.key not in keys))

    def audit(self, who: str, action: str, obj: str, outcome: str = "ok") -> None:
        """Add an entry to the audit log."""
        self._ports.auditor.add(who, action, obj, outcome=outcome)

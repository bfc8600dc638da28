"""All shifts of a unit, with their sessions, incidents and coverage; one state machine, one document.

Not thread-safe, and without a clock: every method gets the present moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import agent.shift.shifts as steps
from agent.shift.coverage import CoverageCounter
from agent.shift.errors import ShiftError
from agent.shift.gate import Gate
from agent.shift.incidents import first_dated, overdue
from agent.shift.journal import Journal
from agent.shift.ports import OnDuty
from agent.shift.records import coverage_body, incident_body, shift_body
from agent.shift.sessions import Sessions
from agent.shift.shifts import MAX_OPEN, EndReason, ShiftState
from agent.shift.sign_on import assignment_of, training_of, usable
from agent.shift.state import DutyState, load_state
from agent.shift.zones import ZoneMap
from protocol.wire.enums import IncidentStage, ShiftStage

if TYPE_CHECKING:
    from agent.geotag.geodesy import Position
    from agent.records import Fix
    from agent.shift.incidents import IncidentDraft
    from agent.shift.moment import Moment
    from agent.shift.ports import DutyConfig, DutyPorts
    from agent.shift.sign_on import Attempt, Choices
    from protocol.roster.envelope import SignedRoster
    from protocol.roster.roster import Officer
    from protocol.wire.registry import Registry

_NS_PER_S = 1_000_000_000
_ID_BYTES = 16
_MOVING_MPS = 2.0
_SPEED_HOLDS_S = 60
_SETTLE_S = 15 * 60
"""How long a time must stay before drafts are given up by it: what is sent unanswered cannot be taken back."""


@dataclass(frozen=True, slots=True)
class SignedOn:
    """The answer to a sign-on."""

    session: str
    shift: ShiftState
    resumed: bool
    """True if an open shift continues."""
    open_incidents: tuple[str, ...]
    """Drafts of the officer, from this or earlier shifts."""


class Duty:
    """The state machine."""

    def __init__(
        self,
        config: DutyConfig,
        ports: DutyPorts,
        registry: Registry,
        document: bytes | None,
        now: Moment,
        *,
        roster: SignedRoster | None = None,
    ) -> None:
        """``document`` is what was saved last; raises ShiftError (``damaged``) if it cannot be used."""
        self._config = config
        self._random_bytes = ports.random_bytes
        self._sessions = Sessions(ports.random_bytes, idle_s=config.session_idle_s)
        state = DutyState() if document is None else load_state(document)
        restarted = replace(
            state,
            attempts=state.attempts.after_restart(now.t_mono_ns),
            shifts=tuple(steps.suspend_shift(shift, now) for shift in state.shifts),
        )
        self.journal = Journal(ports, registry, restarted, now.t_mono_ns)
        self.gate = Gate(self.journal, config.unit, None)
        self.coverage = CoverageCounter(ZoneMap())
        self.coverage.totals = state.coverage
        self.coverage.begin(now.t_mono_ns)
        self._coverage_since_ns = now.t_mono_ns
        self._moved = False
        self._forgotten_since_ns: int | None = None
        self._idle_s = config.idle_sign_off_s
        if roster is not None:
            self.install(roster, now)

    @property
    def state(self) -> DutyState:
        """The state, for tests and views."""
        return self.journal.state

    def officer_of(self, session: str, now: Moment, *, used: bool = True) -> OnDuty | None:
        """Return who is signed on with a session; None if it is unknown or over.

        Unless ``used`` is False, it counts as activity of the officer.
        """
        shift_id = self._sessions.shift_of(session, now.t_mono_ns, used=used)
        shift = None if shift_id is None else self.journal.find(shift_id)
        roster = self.gate.roster
        officer = None if shift is None or roster is None else roster.roster.officer(shift.badge)
        if shift is None or officer is None:
            return None
        if used:
            self.journal.replace_shift(steps.used(shift, now))
        rights = frozenset(right.value for right in officer.rights)
        return OnDuty(officer.badge, officer.name, shift.assignment.role, rights, bytes.fromhex(shift.shift_id))

    def shift_of(self, shift_id: bytes) -> ShiftState:
        """Return an open shift; raises ShiftError (``no_shift``)."""
        shift = self.journal.find(shift_id.hex())
        if shift is None:
            raise ShiftError("no_shift", "the shift has ended: sign on again")
        return shift

    def drafts_of(self, badge: str) -> tuple[IncidentDraft, ...]:
        """Return the open incidents of an officer."""
        return tuple(draft for draft in self.state.drafts if draft.badge == badge)

    def install(self, roster: SignedRoster, now: Moment) -> None:
        """Use another roster; shifts of officers who are not in it any more end."""
        self.gate.roster = roster
        self.coverage.use(ZoneMap(roster.roster.zones))
        known = {officer.badge for officer in roster.roster.officers}
        self.journal.change(
            roster_version=max(self.state.roster_version, roster.version),
            attempts=self.state.attempts.only(known),
        )
        for shift in [shift for shift in self.state.shifts if shift.badge not in known]:
            self._end(shift, EndReason.REPLACED, now)
        self._save(now)

    # Shifts

    def sign_on(self, attempt: Attempt, choices: Choices, now: Moment, *, right: bool) -> SignedOn:
        """Sign on after the PIN was compared; ``right`` is the result.  Raises ShiftError."""
        officer, roster = self.gate.confirm(attempt, now, right=right)
        return self._start(officer, roster, choices, "pin", now)

    def sign_on_by_token(self, text: str, choices: Choices, now: Moment) -> SignedOn:
        """Sign on with a signed token.  Raises ShiftError."""
        officer, roster = self.gate.confirm_token(text, now)
        return self._start(officer, roster, choices, "token", now)

    def _start(
        self, officer: Officer, roster: SignedRoster, choices: Choices, method: str, now: Moment
    ) -> SignedOn:
        self._advance(now)
        own = next((shift for shift in self.state.shifts if shift.badge == officer.badge), None)
        try:
            training = training_of(officer, roster, now)
            assignment = assignment_of(choices, officer, roster.roster, self._config.unit)
            if own is None:
                self._refuse_more()
        except ShiftError as error:
            self.journal.audit(officer.badge, "sign on", officer.badge, error.code)
            self._save(now)
            raise
        if own is None:
            self._flush_coverage(now)
            planned = None if now.utc_s is None else roster.roster.planned(officer.badge, now.utc_s)
            shift = steps.open_shift(
                self._random_bytes(_ID_BYTES).hex(),
                officer.badge,
                assignment,
                roster.roster.activities[0],
                now,
                method=method,
                training=training,
                roster_version=roster.version,
                plan=steps.plan_of(planned),
            )
            self.journal.change(shifts=(*self.state.shifts, shift))
        else:
            shift = steps.resume_shift(own, assignment, now)
        shift = self._send_shift(shift, ShiftStage.STARTED if own is None else ShiftStage.CHANGED, now)
        self.journal.audit(officer.badge, "sign on", shift.shift_id)
        self._save(now)
        session = self._sessions.open(shift.shift_id, now.t_mono_ns)
        drafts = tuple(draft.incident_id for draft in self.drafts_of(officer.badge))
        return SignedOn(session, shift, own is not None, drafts)

    def _refuse_more(self) -> None:
        if len(self.state.shifts) >= MAX_OPEN:
            raise ShiftError("too_many", f"{MAX_OPEN} shifts are open on this unit: one must sign off first")

    def switch_activity(self, shift_id: bytes, activity: str, now: Moment) -> ShiftState:
        """Go on with another activity of the roster.  Raises ShiftError."""
        allowed = usable(self.gate.roster, now).roster.activities
        if activity not in allowed:
            raise ShiftError("unknown_choice", f"activity: choose one of {', '.join(allowed)}")
        self._advance(now)
        shift = steps.switch_activity(self.shift_of(shift_id), activity, now)
        shift = self._send_shift(shift, ShiftStage.CHANGED, now)
        self.journal.audit(shift.badge, "activity", shift.shift_id, activity)
        self._save(now)
        return shift

    def sign_off(self, shift_id: bytes, now: Moment) -> ShiftState:
        """End a shift; raises ShiftError while incidents of the officer lack outcome or contribution."""
        shift = self.shift_of(shift_id)
        if left := self.drafts_of(shift.badge):
            raise ShiftError(
                "incidents_open",
                f"open incidents: {len(left)}; close each with an outcome and what the reader contributed "
                "(`none` and `unknown` are answers)",
            )
        ended = self._end(shift, EndReason.SIGNED_OFF, now)
        self._save(now)
        return ended

    # Incidents

    def put_draft(self, draft: IncidentDraft, now: Moment) -> None:
        """Store a draft, new or changed; a new one is sent once, as opened."""
        known = any(other.incident_id == draft.incident_id for other in self.state.drafts)
        others = [other for other in self.state.drafts if other.incident_id != draft.incident_id]
        self.journal.change(drafts=(*others, draft))
        if not known:
            self.journal.send(incident_body(draft, IncidentStage.OPENED), now)
            shift = self.journal.find(draft.shift_id)
            if shift is not None:
                self.journal.replace_shift(replace(shift, incidents=shift.incidents + 1))
            self.journal.audit(draft.badge, "open incident", draft.incident_id)
        self._save(now)

    def close_draft(self, draft: IncidentDraft, now: Moment, stage: IncidentStage = IncidentStage.CLOSED) -> None:
        """Send an incident for the last time, and delete its draft."""
        draft = replace(draft, revision=draft.revision + 1)
        self.journal.change(
            drafts=tuple(other for other in self.state.drafts if other.incident_id != draft.incident_id)
        )
        self.journal.send(incident_body(draft, stage), now)
        self.journal.audit(draft.badge, "close incident", draft.incident_id, stage.value)
        self._save(now)

    # Time and positions

    def add_fix(self, fix: Fix, now: Moment) -> None:
        """Add the receiver's latest fix; its speed holds for a minute, as in a tunnel."""
        self.coverage.add_fix(fix)
        holds = now.t_mono_ns - fix.t_mono_ns <= _SPEED_HOLDS_S * _NS_PER_S
        self._moved = self._moved or (holds and fix.speed_mps is not None and fix.speed_mps >= _MOVING_MPS)

    def add_read(self, position: Position | None) -> None:
        """Count a read; None without a position."""
        self.coverage.add_read(position)

    def watch(self, now: Moment, *, ignition_over: bool = False, idle_s: float | None = None) -> None:
        """Do what is due; called about twice per second.

        ``idle_s`` is the policy's limit of inactivity; the shorter one of it and the configured ones counts.
        """
        self._idle_s = min(self._config.idle_sign_off_s, idle_s or self._config.idle_sign_off_s)
        self._sessions.idle_s = min(self._config.session_idle_s, self._idle_s)
        self._advance(now)
        self.coverage.add_time(now.t_mono_ns)
        self._sessions.expire(now.t_mono_ns)
        before = self.state
        for shift in before.shifts:
            self._end_if_due(shift, now, ignition_over=ignition_over)
        self._give_up_drafts(now)
        if ignition_over or now.t_mono_ns - self._coverage_since_ns >= self._config.coverage_s * _NS_PER_S:
            self._flush_coverage(now)
        changed = self.state.shifts != before.shifts or self.state.pending != before.pending
        if changed or now.t_mono_ns - self.journal.saved_mono_ns >= self._config.save_s * _NS_PER_S:
            self._save(now)

    def _give_up_drafts(self, now: Moment) -> None:
        """Send forgotten drafts unanswered, once the time by which they are has stayed for a while."""
        dated = tuple(first_dated(draft, now.utc_us) for draft in self.state.drafts)
        if dated != self.state.drafts:
            self.journal.change(drafts=dated)
        forgotten = overdue(dated, now.utc_us, keep_days=self._config.draft_days)
        if not forgotten:
            self._forgotten_since_ns = None
        elif self._forgotten_since_ns is None:
            self._forgotten_since_ns = now.t_mono_ns
        elif now.t_mono_ns - self._forgotten_since_ns >= _SETTLE_S * _NS_PER_S:
            for draft in forgotten:
                self.close_draft(draft, now, IncidentStage.UNANSWERED)

    def close(self, now: Moment) -> None:
        """The agent stops: save; shifts go on when it is back."""
        self._advance(now)
        self._flush_coverage(now)
        self._save(now)

    # Inside

    def _advance(self, now: Moment) -> None:
        shifts = steps.advance_all(self.state.shifts, now)
        if self._moved:
            self._sessions.use_all(now.t_mono_ns)
            shifts = tuple(steps.used(shift, now) if shift.hours.running else shift for shift in shifts)
            self._moved = False
        self.journal.change(shifts=shifts)

    def _end_if_due(self, shift: ShiftState, now: Moment, *, ignition_over: bool) -> None:
        idle_s = steps.idle_s(shift, now)
        if ignition_over:
            self._end(shift, EndReason.IGNITION, now)
        elif not shift.hours.running and idle_s >= self._config.resume_s:
            self._end(shift, EndReason.POWER, now)
        elif shift.hours.running and idle_s >= self._idle_s:
            self._end(shift, EndReason.IDLE, now)
        elif shift.training == "unchecked" and now.utc_s is not None:
            self._check_training(shift, now.utc_s, now)

    def _check_training(self, shift: ShiftState, now_s: float, now: Moment) -> None:
        """The time is known at last; an officer on duty is not sent away, it is put on record."""
        officer = None if self.gate.roster is None else self.gate.roster.roster.officer(shift.badge)
        if officer is None or officer.training_expires_s is None:
            return
        expired = now_s >= officer.training_expires_s
        if expired:
            self.journal.audit(shift.badge, "check training", shift.shift_id, "expired")
        self._send_shift(replace(shift, training="expired" if expired else "valid"), ShiftStage.CHANGED, now)

    def _end(self, shift: ShiftState, reason: EndReason, now: Moment) -> ShiftState:
        self._advance(now)
        shift = steps.end_shift(self.journal.find(shift.shift_id) or shift, now)
        if self.state.shifts[0].shift_id == shift.shift_id:
            self._flush_coverage(now)
        shift = self._send_shift(shift, ShiftStage.ENDED, now, end=reason)
        self.journal.change(shifts=tuple(other for other in self.state.shifts if other.shift_id != shift.shift_id))
        self._sessions.end(shift.shift_id)
        self.journal.audit(shift.badge, "sign off", shift.shift_id, reason.value)
        return shift

    def _send_shift(
        self, shift: ShiftState, stage: ShiftStage, now: Moment, *, end: EndReason | None = None
    ) -> ShiftState:
        shift = replace(shift, revision=shift.revision + 1)
        self.journal.replace_shift(shift)
        unanswered = sum(draft.shift_id == shift.shift_id for draft in self.state.drafts)
        self.journal.send(shift_body(shift, stage, now, end=end, unanswered=unanswered), now)
        return shift

    def _flush_coverage(self, now: Moment) -> None:
        """End the period of coverage; it belongs to the shift that was opened first."""
        self.coverage.add_time(now.t_mono_ns)
        totals = self.coverage.take()
        since_ns, self._coverage_since_ns = self._coverage_since_ns, now.t_mono_ns
        shift_id = self.state.shifts[0].shift_id if self.state.shifts else None
        if totals.zones or (shift_id is not None and not totals.is_empty):
            body = coverage_body(
                totals,
                since_ns,
                now,
                period=self._random_bytes(_ID_BYTES),
                shift_id=shift_id,
                roster_version=0 if self.gate.roster is None else self.gate.roster.version,
            )
            self.journal.send(body, now)

    def _save(self, now: Moment) -> None:
        self.journal.change(coverage=self.coverage.totals)
        self.journal.save(now)

"""Any order of commands, restarts, power cuts and time steps: the promises of the state machine hold."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.shift.attempts import LOCK_AFTER
from agent.shift.errors import ShiftError
from agent.shift.incidents import IncidentText
from agent.shift.shifts import MAX_OPEN
from agent.shift.state import dump_state, load_state
from protocol.wire.enums import IncidentStage, ShiftStage
from protocol.wire.record import decode_record
from protocol.wire.released import released_registry
from tests.builders import make_fix, make_record
from tests.duty_builder import NS_PER_S, PINS, UTC_S, Car
from tests.shift_builders import make_draft

BADGES = st.sampled_from(sorted(PINS))
TYPES = released_registry()


def code_of(call):
    """The code of the refusal; empty if there was none."""
    try:
        call()
    except ShiftError as error:
        return error.code
    return ""


class UnitLife(RuleBasedStateMachine):
    """One unit with three officers."""

    @initialize()
    def begin(self):
        self.car = Car()
        self.sessions = {}
        self.number = 0
        self.failed = dict.fromkeys(PINS, 0)
        self.checked = 0

    @rule(badge=BADGES, right=st.booleans())
    def sign_on(self, badge, right):
        code = code_of(lambda: self._sign_on(badge, None if right else "000000"))
        if code in {"", "training_expired"}:
            assert right
            assert self.failed[badge] < LOCK_AFTER
            self.failed[badge] = 0
        elif code == "wrong":
            assert not right
            self.failed[badge] += 1
        else:
            assert code == ("locked" if self.failed[badge] >= LOCK_AFTER else "wait")

    def _sign_on(self, badge, pin):
        self.sessions[badge] = self.car.sign_on(badge, pin).session

    @rule(badge=BADGES)
    def sign_off(self, badge):
        me = self.car.duty.officer_of(self.sessions.get(badge, ""), self.car.now)
        if me is None:
            return
        assert me.badge == badge
        drafts = self.car.duty.drafts_of(badge)
        code = code_of(lambda: self.car.duty.sign_off(me.shift_id, self.car.now))
        assert code == ("incidents_open" if drafts else "")
        assert (self.car.duty.officer_of(self.sessions[badge], self.car.now) is None) is (not code)

    @rule(badge=BADGES, activity=st.sampled_from(["patrol", "break"]))
    def switch(self, badge, activity):
        me = self.car.duty.officer_of(self.sessions.get(badge, ""), self.car.now)
        if me is not None:
            self.car.duty.switch_activity(me.shift_id, activity, self.car.now)

    @rule(badge=BADGES)
    def open_incident(self, badge):
        me = self.car.duty.officer_of(self.sessions.get(badge, ""), self.car.now)
        if me is not None:
            self.number += 1
            incident_id = self.number.to_bytes(16, "big").hex()
            self.car.duty.put_draft(make_draft(me.shift_id, badge=badge, incident_id=incident_id), self.car.now)

    @rule(badge=BADGES)
    def close_incident(self, badge):
        for draft in self.car.duty.drafts_of(badge)[:1]:
            answered = make_draft(
                bytes.fromhex(draft.shift_id), badge=badge, incident_id=draft.incident_id,
                text=IncidentText(outcome="none", contribution="unknown"),
            )  # fmt: skip
            self.car.duty.close_draft(answered, self.car.now)

    @rule(seconds=st.sampled_from([1, 20, 120, 1000, 20_000]))
    def wait(self, seconds):
        self.car.wait(seconds, step_s=max(1, seconds / 10))

    @rule(metres=st.floats(-5000, 5000), speed_mps=st.none() | st.floats(0, 60))
    def fix(self, metres, speed_mps):
        self.car.t_mono_ns += NS_PER_S
        self.car.duty.add_fix(
            make_fix(self.car.t_mono_ns, lat_deg=45 + metres * 1e-5, speed_mps=speed_mps), self.car.now
        )

    @rule(offset_s=st.none() | st.floats(-(10**9), 10**9))
    def date(self, offset_s):
        """The receiver's date is lost, or jumps."""
        self.car.utc_offset_ns = None if offset_s is None else round((UTC_S + offset_s) * NS_PER_S)

    @rule(off_s=st.floats(0, 100_000))
    def cut(self, off_s):
        self.car.cut_power(off_s=off_s)
        self.sessions = {}

    @rule()
    def restart(self):
        drafts = self.car.duty.state.drafts
        self.car.restart()
        assert self.car.duty.state.drafts == drafts
        self.sessions = {}

    @rule()
    def ignition_off(self):
        self.car.duty.watch(self.car.now, ignition_over=True)
        assert self.car.duty.state.shifts == ()
        assert all(self.car.duty.officer_of(session, self.car.now) is None for session in self.sessions.values())

    @invariant()
    def everything_that_is_sent_is_a_valid_record(self):
        for body in self.car.sent[self.checked :]:
            record = make_record(body)
            assert decode_record(record.payload, TYPES) == record
        self.checked = len(self.car.sent)

    @invariant()
    def a_revision_is_sent_once_or_repeated_unchanged(self):
        """After a restart, what was not stored is sent again; the end has the highest revision."""
        seen, ended = {}, {}
        for shift in self.car.of_type("shift/1"):
            same = shift.model_copy(update={"mono_us": 0})
            assert seen.setdefault((shift.shift_id, shift.revision), same) == same
            if shift.stage is ShiftStage.ENDED:
                ended[shift.shift_id] = shift.revision
        assert all(revision <= ended.get(shift_id, revision) for shift_id, revision in seen)

    @invariant()
    def a_closed_incident_is_answered(self):
        for incident in self.car.of_type("incident/1"):
            assert incident.stage is not IncidentStage.CLOSED or (incident.outcome and incident.contribution)

    @invariant()
    def one_shift_per_officer_and_a_few_per_unit(self):
        badges = [shift.badge for shift in self.car.duty.state.shifts]
        assert len(badges) == len(set(badges)) <= MAX_OPEN

    @invariant()
    def the_state_survives_its_own_document(self):
        state = self.car.duty.state
        assert dump_state(load_state(dump_state(state))) == dump_state(state)


UnitLife.TestCase.settings = settings(stateful_step_count=25)
TestUnitLife = pytest.mark.slow(UnitLife.TestCase)

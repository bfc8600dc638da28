"""Shifts of a unit: who signs on, what survives, what is asked for before the end, and what is sent."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.shift.attempts import LOCK_AFTER
from agent.shift.errors import ShiftError
from agent.shift.incidents import IncidentText
from agent.shift.sign_on import Choices
from protocol.roster.token import Token, sign_token
from protocol.wire.enums import IncidentStage, ShiftStage
from tests.builders import make_fix
from tests.duty_builder import TOKEN_KEY, UTC_S, Car, roster_values, signed_roster
from tests.shift_builders import make_draft

NS_PER_S = 1_000_000_000


@pytest.fixture
def car():
    return Car()


def refused(code, call, *args, **kwargs):
    with pytest.raises(ShiftError) as error:
        call(*args, **kwargs)
    assert error.value.code == code
    return str(error.value)


def lock_out(car, badge="4711"):
    for _ in range(LOCK_AFTER):
        car.wait(120)
        refused("wrong", car.sign_on, badge, "000000")
    car.wait(1000)


def test_a_shift_from_sign_on_to_sign_off(car):
    on = car.sign_on(role="driver", crew=("4712",), zone="north", task="patrol", equipment=("radio-1",))
    me = car.duty.officer_of(on.session, car.now)
    assert (me.badge, me.name, me.role) == ("4711", "A. Example", "driver")
    car.wait(3600)
    car.duty.switch_activity(me.shift_id, "report", car.now)
    car.wait(600, step_s=10)
    car.duty.sign_off(me.shift_id, car.now)
    assert car.duty.officer_of(on.session, car.now) is None
    first, *_, last = car.of_type("shift/1")
    assert (first.stage, first.revision, last.stage) == (ShiftStage.STARTED, 1, ShiftStage.ENDED)
    assert last.hours == (("patrol", 30_000, 3600), ("report", 6_600, 600))
    assert (last.worked_s, last.overtime_s, last.unmeasured, last.end_reason) == (4200, 0, 0, "signed_off")
    assert (last.planned_id, last.overtime_class, last.automatic) == ("day-1", "scheduled", False)
    assert last.shift_id == first.shift_id == me.shift_id
    assert car.duty.state.shifts == ()
    assert [entry[1] for entry in car.log.entries] == ["sign on", "activity", "sign off"]


def test_only_shift_records_name_the_officer(car):
    on = car.sign_on()
    shift_id = car.duty.officer_of(on.session, car.now).shift_id
    car.duty.put_draft(make_draft(shift_id), car.now)
    car.duty.close_draft(make_draft(shift_id, text=IncidentText(outcome="none", contribution="unknown")), car.now)
    car.duty.sign_off(shift_id, car.now)
    for body in car.sent:
        assert ("4711" in body.model_dump_json()) is (body.SCHEMA == "shift/1")


def test_a_session_ends_when_idle_and_the_shift_goes_on(car):
    on = car.sign_on()
    car.wait(car.config.session_idle_s + 1)
    assert car.duty.officer_of(on.session, car.now) is None
    again = car.sign_on()
    assert again.resumed
    assert again.shift.shift_id == on.shift.shift_id
    assert again.session != on.session


def test_overlapping_shifts_note_what_they_have_in_common(car):
    first = car.sign_on("4711")
    car.wait(600)
    second = car.sign_on("4712", role="relief")
    car.wait(300)
    car.duty.sign_off(bytes.fromhex(first.shift.shift_id), car.now)
    car.wait(300)
    car.duty.sign_off(bytes.fromhex(second.shift.shift_id), car.now)
    ended = [shift for shift in car.of_type("shift/1") if shift.stage is ShiftStage.ENDED]
    assert [(shift.badge, shift.worked_s) for shift in ended] == [("4711", 900), ("4712", 600)]
    assert [shift.overlaps for shift in ended] == [
        ((bytes.fromhex(second.shift.shift_id), 300),),
        ((bytes.fromhex(first.shift.shift_id), 300),),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"role": "pilot"}, "role: choose one of driver, observer, relief"),
        ({"zone": "south"}, "zone: choose one of north"),
        ({"checkpoint": "cp-9"}, "checkpoint: choose one of cp-1"),
        ({"equipment": ("tank",)}, "equipment: tank"),
        ({"crew": ("4711",)}, "crew: 4711"),
        ({"crew": ("0000",)}, "crew: 0000"),
    ],
)
def test_choices_that_the_roster_does_not_have_are_refused(car, choices, says):
    assert says in refused("unknown_choice", car.sign_on, **choices)
    assert car.duty.state.shifts == ()


def test_nobody_signs_on_without_a_roster_or_with_an_expired_one():
    assert "roster offer" in refused("no_roster", Car(roster=None).sign_on)
    assert "offer a new one" in refused("roster_expired", Car(roster=signed_roster(expires_s=UTC_S)).sign_on)


def test_expired_training_refuses_sign_on(car):
    car.utc_offset_ns = (UTC_S + 86_400) * NS_PER_S
    assert "training" in refused("training_expired", car.sign_on, "4712")
    assert not car.sign_on("4711").resumed


def test_training_is_checked_later_when_the_time_is_unknown(car):
    car.utc_offset_ns = None
    car.sign_on("4712")
    assert car.of_type("shift/1")[-1].training == "unchecked"
    car.utc_offset_ns = (UTC_S + 86_400) * NS_PER_S
    car.wait(1)
    assert car.of_type("shift/1")[-1].training == "expired"
    assert car.duty.state.shifts, "an officer on duty is not sent away"
    assert ("4712", "check training") in [entry[:2] for entry in car.log.entries]


def test_lockout_survives_restarts_and_power_cuts_and_a_supervisor_lifts_it(car):
    lock_out(car)
    for again in (car.restart, car.cut_power):
        again()
        car.wait(1000)
        assert "supervisor" in refused("locked", car.sign_on)
    supervisor = car.duty.officer_of(car.sign_on("9001").session, car.now)
    car.duty.gate.unlock(supervisor, "4711", car.now)
    assert car.sign_on("4711").session


def test_an_officer_cannot_lift_a_lockout(car):
    lock_out(car)
    officer = car.duty.officer_of(car.sign_on("4712").session, car.now)
    refused("not_allowed", car.duty.gate.unlock, officer, "4711", car.now)
    refused("locked", car.sign_on, "4711")
    assert ("4712", "unlock", "4711", "refused") in car.log.entries


def test_cutting_the_power_while_a_pin_is_compared_gains_no_attempt(car):
    for _ in range(LOCK_AFTER):
        car.wait(1000)
        car.duty.gate.begin("4711", car.now)
        car.cut_power()
    car.wait(1000)
    refused("locked", car.sign_on)


def test_a_new_pin_lifts_the_lockout(car):
    lock_out(car)
    officers = roster_values()["officers"]
    officers[0]["pin"] = officers[1]["pin"]
    car.duty.install(signed_roster(version=2, officers=officers), car.now)
    attempt = car.duty.gate.begin("4711", car.now)
    assert attempt.pin_hash == officers[1]["pin"]


def test_what_was_typed_as_an_unknown_badge_is_not_in_the_log(car):
    """It may be a PIN."""
    refused("wrong", car.sign_on, "482913", "4711")
    assert "482913" not in str(car.log.entries)


def token(**other):
    values = {
        "badge": "4711", "unit": "unit-07", "not_before_s": UTC_S, "expires_s": UTC_S + 3600,
        "nonce": secrets.token_hex(16),
    }  # fmt: skip
    return sign_token(Token(**{**values, **other}), TOKEN_KEY)


def test_a_token_signs_on_once(car):
    text = token()
    on = car.duty.sign_on_by_token(text, Choices(), car.now)
    assert car.of_type("shift/1")[-1].method == "token"
    assert car.duty.officer_of(on.session, car.now).badge == "4711"
    refused("token", car.duty.sign_on_by_token, text, Choices(), car.now)
    car.cut_power()
    refused("token", car.duty.sign_on_by_token, text, Choices(), car.now)
    assert "is for unit-08" in refused(
        "token", car.duty.sign_on_by_token, token(unit="unit-08"), Choices(), car.now
    )
    car.utc_offset_ns = None
    assert "PIN" in refused("token", car.duty.sign_on_by_token, token(), Choices(), car.now)


def test_a_shift_survives_a_power_cut_and_its_sessions_do_not(car):
    on = car.sign_on(zone="north")
    car.wait(3600)
    car.cut_power(off_s=120)
    assert car.duty.officer_of(on.session, car.now) is None
    car.wait(60)
    again = car.sign_on(zone="north")
    assert again.resumed
    assert again.shift.shift_id == on.shift.shift_id
    car.wait(600, step_s=60)
    ended = car.duty.sign_off(bytes.fromhex(on.shift.shift_id), car.now)
    assert ended.hours.worked_ns / NS_PER_S == pytest.approx(3600 + 120 + 60 + 600)
    assert ended.hours.unmeasured == 0


def test_a_shift_that_nobody_resumes_ends_where_it_was_interrupted(car):
    car.sign_on()
    car.wait(3600, step_s=10)
    car.cut_power(off_s=7200)
    car.wait(car.config.resume_s + 31)
    last = car.of_type("shift/1")[-1]
    assert (last.stage, last.end_reason, last.automatic) == (ShiftStage.ENDED, "power", True)
    assert 3600 - car.config.save_s <= last.worked_s <= 3600


def test_a_wrong_wall_clock_loses_no_hours(car):
    """The receiver's date jumps by weeks and back in a shift."""
    car.sign_on()
    right = car.utc_offset_ns
    for offset in (right - 1024 * 7 * 86_400 * NS_PER_S, None, right + 10**17, right):
        car.utc_offset_ns = offset
        car.wait(900)
    (shift,) = car.duty.state.shifts
    assert shift.hours.worked_ns == 3600 * NS_PER_S


def test_ignition_off_ends_all_shifts_and_leaves_drafts(car):
    on = car.sign_on("4711")
    car.sign_on("4712")
    car.duty.put_draft(make_draft(bytes.fromhex(on.shift.shift_id)), car.now)
    car.wait(60)
    car.duty.watch(car.now, ignition_over=True)
    ended = [shift for shift in car.of_type("shift/1") if shift.stage is ShiftStage.ENDED]
    assert [(shift.badge, shift.end_reason, shift.unanswered) for shift in ended] == [
        ("4711", "ignition", 1),
        ("4712", "ignition", 0),
    ]
    car.cut_power()
    assert car.sign_on("4711").open_incidents == (make_draft(bytes(16)).incident_id,)


def test_an_abandoned_shift_ends_and_a_moving_one_does_not(car):
    car.sign_on()
    for _ in range(50):
        car.wait(600)
        car.duty.add_fix(make_fix(car.t_mono_ns, speed_mps=15.0), car.now)
    assert car.duty.state.shifts
    car.wait(car.config.idle_sign_off_s + 60)
    assert car.of_type("shift/1")[-1].end_reason == "idle"


def test_a_session_does_not_end_while_the_vehicle_moves_and_counts_from_its_halt(car):
    """Nobody can type a PIN while driving."""
    on = car.sign_on()
    for _ in range(120):
        car.wait(60)
        car.duty.add_fix(make_fix(car.t_mono_ns, speed_mps=15.0), car.now)
    car.wait(1)
    car.wait(car.config.session_idle_s - 10)
    assert car.duty.officer_of(on.session, car.now, used=False) is not None
    car.wait(20)
    assert car.duty.officer_of(on.session, car.now) is None


def test_a_receiver_that_fell_silent_at_speed_keeps_no_session(car):
    """As when its plug is pulled: the last speed holds for a minute."""
    on = car.sign_on()
    last = make_fix(car.t_mono_ns, speed_mps=15.0)
    for _ in range(round(car.config.session_idle_s / 60) + 3):
        car.duty.add_fix(last, car.now)
        car.wait(60)
    assert car.duty.officer_of(on.session, car.now) is None


def test_what_a_view_does_by_itself_keeps_no_session(car):
    on = car.sign_on()
    for _ in range(15):
        assert car.duty.officer_of(on.session, car.now, used=False) is not None
        car.wait(60)
    assert car.duty.officer_of(on.session, car.now) is None


def test_the_shorter_idle_limit_of_policy_and_configuration_counts(car):
    on = car.sign_on()
    for _ in range(9):
        car.t_mono_ns += 60 * NS_PER_S
        car.duty.watch(car.now, idle_s=600)
    assert car.duty.officer_of(on.session, car.now).badge == "4711"
    for _ in range(10):
        car.t_mono_ns += 60 * NS_PER_S
        car.duty.watch(car.now, idle_s=600)
    assert car.duty.officer_of(on.session, car.now) is None
    assert car.of_type("shift/1")[-1].end_reason == "idle"


def test_sign_off_asks_for_outcome_and_contribution(car):
    on = car.sign_on()
    shift_id = bytes.fromhex(on.shift.shift_id)
    draft = make_draft(shift_id)
    car.duty.put_draft(draft, car.now)
    assert "`none` and `unknown` are answers" in refused("incidents_open", car.duty.sign_off, shift_id, car.now)
    car.duty.close_draft(replace(draft, text=IncidentText(outcome="none", contribution="unknown")), car.now)
    car.duty.sign_off(shift_id, car.now)
    opened, closed = car.of_type("incident/1")
    assert (opened.stage, opened.revision) == (IncidentStage.OPENED, 0)
    assert (closed.stage, closed.revision, closed.outcome, closed.contribution) == (
        IncidentStage.CLOSED, 1, "none", "unknown",
    )  # fmt: skip
    assert car.of_type("shift/1")[-1].incidents == 1


def test_a_draft_survives_a_power_cut_with_every_word(car):
    on = car.sign_on()
    text = IncidentText(
        where="milestone 12", category="amber", case_number="26-1", notes=("Zwei Wörter", "línea 2"),
        reads=("00" * 16,), hits=("11" * 16,), people=("RMS 1881",),
    )  # fmt: skip
    draft = make_draft(bytes.fromhex(on.shift.shift_id), text=text)
    car.duty.put_draft(draft, car.now)
    car.cut_power()
    assert car.duty.state.drafts == (draft,)


def test_a_forgotten_draft_is_sent_unanswered(car):
    on = car.sign_on()
    car.duty.put_draft(make_draft(bytes.fromhex(on.shift.shift_id), saved_utc_us=UTC_S * 10**6), car.now)
    car.duty.watch(car.now, ignition_over=True)
    car.utc_offset_ns += round((car.config.draft_days + 1) * 86_400 * NS_PER_S)
    car.wait(16 * 60)
    assert car.of_type("incident/1")[-1].stage is IncidentStage.UNANSWERED
    assert car.duty.state.drafts == ()


def test_a_time_that_jumps_takes_no_draft_away(car):
    """A receiver that is a year ahead for some minutes: the officer still has the draft afterwards."""
    on = car.sign_on()
    draft = make_draft(bytes.fromhex(on.shift.shift_id), saved_utc_us=UTC_S * 10**6)
    car.duty.put_draft(draft, car.now)
    for _ in range(3):
        car.utc_offset_ns += 365 * 86_400 * NS_PER_S
        car.wait(10 * 60)
        car.utc_offset_ns -= 365 * 86_400 * NS_PER_S
        car.wait(10 * 60)
    assert car.duty.state.drafts == (draft,)


def test_a_draft_that_was_saved_before_the_time_was_known_is_forgotten_as_well(car):
    """Counted from the first known time: drafts that nobody can ever close would take the place of others."""
    car.utc_offset_ns = None
    on = car.sign_on()
    car.duty.put_draft(make_draft(bytes.fromhex(on.shift.shift_id), saved_utc_us=None), car.now)
    car.cut_power()
    car.utc_offset_ns = UTC_S * NS_PER_S
    car.wait(16 * 60)
    assert len(car.duty.state.drafts) == 1
    car.utc_offset_ns += round((car.config.draft_days + 1) * 86_400 * NS_PER_S)
    car.wait(16 * 60)
    assert car.duty.state.drafts == ()


def test_a_record_of_a_later_version_does_not_keep_the_unit_from_starting(car):
    """After a rollback the older release finds records that it cannot make again: it goes on, and says so."""
    car.sign_on()
    first, *others = car.duty.state.pending
    fields = json.loads(first.fields)
    later = replace(first, fields=json.dumps({**fields, "st": "paused"}))
    unreadable = replace(first, key="k", fields="[")
    car.duty.journal.change(pending=(later, unreadable, *others))
    car.duty.journal.save(car.now)
    before = len(car.sent)
    car.cut_power()
    assert len(car.sent) - before == len(others)
    assert car.duty.state.pending == (later, unreadable, *others), "for the later release"
    assert [entry[1:] for entry in car.log.entries if entry[0] == "unit"] == [
        ("resend", "shift/1", "not of this version"), ("resend", "shift/1", "not of this version"),
    ]  # fmt: skip


def test_what_was_not_stored_before_a_power_cut_is_sent_again(car):
    car.sign_on()
    assert [item.key for item in car.duty.state.pending] == car.keys
    before = list(car.sent)
    car.cut_power()
    assert [(body.SCHEMA, body.utc_us) for body in car.sent[len(before) :]] == [
        (body.SCHEMA, body.utc_us) for body in before
    ]
    car.duty.journal.stored(set(car.keys))
    car.wait(61)
    count = len(car.sent)
    car.cut_power()
    assert car.sent[count:] == []


def test_coverage_of_a_shift_is_sent_in_periods_that_add_up(car):
    car.sign_on()
    start = car.t_mono_ns
    for n in range(2000):
        car.t_mono_ns = start + n * NS_PER_S
        car.duty.add_fix(
            make_fix(car.t_mono_ns, lat_deg=45.0, lon_deg=-100.0 + n * 10 / 78_846.8, speed_mps=10.0), car.now
        )
        car.duty.watch(car.now)
    (shift,) = car.duty.state.shifts
    car.duty.sign_off(bytes.fromhex(shift.shift_id), car.now)
    periods = [body for body in car.of_type("coverage/1") if body.shift_id == bytes.fromhex(shift.shift_id)]
    assert len(periods) == 3
    assert len({period.period_id for period in periods}) == 3
    assert sum(period.distance_m for period in periods) == pytest.approx(19_990, rel=0.002)
    assert sum(period.located_ms + period.unlocated_ms for period in periods) == 1_999_000
    for first, second in pairwise(periods):
        assert first.mono_us == second.mono_first_us


def test_officers_who_left_the_roster_are_signed_off(car):
    on = car.sign_on("4712")
    officers = [officer for officer in roster_values()["officers"] if officer["badge"] != "4712"]
    car.duty.install(signed_roster(version=2, officers=officers), car.now)
    assert car.duty.officer_of(on.session, car.now) is None
    assert car.of_type("shift/1")[-1].end_reason == "replaced"


def test_at_most_four_shifts_are_open(car):
    officers = [{**roster_values()["officers"][0], "badge": f"b{n}"} for n in range(5)]
    car.duty.install(signed_roster(version=2, officers=officers, shifts=[]), car.now)
    for n in range(4):
        attempt = car.duty.gate.begin(f"b{n}", car.now)
        car.duty.sign_on(attempt, Choices(), car.now, right=True)
    attempt = car.duty.gate.begin("b4", car.now)
    assert "sign off first" in refused("too_many", car.duty.sign_on, attempt, Choices(), car.now, right=True)

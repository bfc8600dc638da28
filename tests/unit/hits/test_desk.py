"""Tracks and matches -> hits: once a pass, finished or withdrawn, decided by officers, bounded in number and age."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from agent.hits.desk import HitDesk, HitSettings, Now
from agent.hits.errors import HitRefusedError
from agent.hits.machine import Verification
from agent.hits.records import Actor, Checks, HitState
from agent.hotlist.records import Priority, Rule
from agent.records import TimeTag
from protocol.wire.enums import DispositionAction, HitStage, TimeSource
from tests.builders import UTC_NS, WHERE, make_track
from tests.listed import HOUR_US, make_entry, make_list, make_match

S = 1_000_000_000
OFFICER = Actor("1234", bytes(16))
VERIFIED = Verification(
    Checks(characters=True, region=True, vehicle=True), confirming_agency="State Police", reference="2026-17"
)


class Rig:
    """A desk, and tracks that come at times of the test."""

    def __init__(self, **settings) -> None:
        numbers = itertools.count(1)
        self.desk = HitDesk(
            HitSettings(**settings), lambda _: next(numbers).to_bytes(16, "big"), {"front": "front"}
        )
        self.tracks = itertools.count(1)
        self.t_s = 0.0

    @property
    def now(self):
        t_ns = round(self.t_s * S)
        return Now(t_ns, (UTC_NS + t_ns) // 1000, 45.0, -100.0, 24 * 3600)

    def track(self, text="7ABC123", *, read_id=b"r" * 16):
        track = make_track(text, t_mono_ns=round(self.t_s * S))
        return replace(track, track_id=next(self.tracks), read_id=read_id)

    def confirm(self, *matches, text="7ABC123"):
        track = self.track(text)
        return track, self.desk.on_confirmed(track, matches or (make_match(text),), self.now)

    def hit(self, *matches, text="7ABC123"):
        """Raise one that is final, and return it."""
        track, effects = self.confirm(*matches, text=text)
        (raised,) = effects.alerts
        self.desk.on_final(track, matches or (make_match(text),), self.now)
        return self.desk.get(raised.hit_id)


def test_confirmed_track_that_matches_raises_a_hit_with_the_id_of_its_read():
    rig = Rig()
    track, effects = rig.confirm()
    (hit,) = effects.alerts
    assert (hit.read_id, hit.stage, hit.state) == (b"r" * 16, HitStage.PREVIEW, HitState.NEW)
    assert (hit.camera_role, hit.n_agreeing, hit.match.entry.text) == ("front", 3, "7ABC123")
    assert effects.staged == ((hit, track.best),)
    assert rig.desk.open_hits == (hit,) == rig.desk.unacknowledged


def test_track_without_a_match_is_a_read_and_nothing_else():
    rig = Rig()
    track = rig.track()
    assert rig.desk.on_confirmed(track, (), rig.now) == rig.desk.on_confirmed(track, (), rig.now)
    finished, effects = rig.desk.on_final(track, (), rig.now)
    assert finished == track
    assert not effects.changed


def test_final_text_that_matches_finishes_the_hit_under_its_id():
    rig = Rig()
    track, effects = rig.confirm()
    rig.t_s = 1
    finished, more = rig.desk.on_final(replace(track, n_agreeing=5), (make_match(probability=0.99),), rig.now)
    (hit,) = more.changed
    assert (finished.is_hit, finished.is_raised, finished.read_id) == (True, True, b"r" * 16)
    assert hit.hit_id == effects.alerts[0].hit_id
    assert (hit.stage, hit.n_agreeing, hit.match.probability) == (HitStage.FINAL, 5, 0.99)
    assert more.alerts == ()
    assert more.staged == ((hit, None),), "the frame is the same: so are the pictures"


def test_final_stage_has_the_pictures_of_a_better_frame():
    rig = Rig()
    track, _ = rig.confirm()
    better = make_track(t_mono_ns=2 * S).best
    _, more = rig.desk.on_final(replace(track, best=better), (make_match(),), rig.now)
    assert more.staged[0][1] is better


def test_hit_is_withdrawn_if_the_final_text_does_not_match():
    rig = Rig()
    track, _ = rig.confirm()
    finished, effects = rig.desk.on_final(replace(track, plate=make_track("7A8C123").plate), (), rig.now)
    (hit,) = effects.changed
    assert (hit.state, hit.stage, hit.plate.text) == (HitState.WITHDRAWN, HitStage.WITHDRAWN, "7A8C123")
    assert not finished.is_hit
    assert rig.desk.open_hits == ()
    assert rig.confirm()[1].alerts, "the vehicle itself may come at once"


def test_final_text_of_another_entry_withdraws_one_hit_and_raises_the_other():
    rig = Rig()
    track, first = rig.confirm()
    finished, effects = rig.desk.on_final(
        replace(track, plate=make_track("8XYZ999").plate), (make_match("8XYZ999"),), rig.now
    )
    assert [hit.state for hit in effects.changed] == [HitState.WITHDRAWN, HitState.NEW]
    (new,) = effects.alerts
    assert new.hit_id != first.alerts[0].hit_id
    assert (new.stage, finished.read_id, finished.is_raised) == (HitStage.FINAL, new.read_id, True)


def test_single_frame_track_raises_its_hit_when_it_is_final():
    """It was never confirmed: hit and read get their id then."""
    rig = Rig()
    track = replace(rig.track(read_id=None), n_agreeing=1)
    finished, effects = rig.desk.on_final(track, (make_match(),), rig.now)
    (hit,) = effects.alerts
    assert (hit.stage, hit.n_agreeing) == (HitStage.FINAL, 1)
    assert finished.read_id == hit.read_id


def test_preview_without_a_final_text_is_withdrawn():
    rig = Rig(final_s=15)
    rig.confirm()
    rig.t_s = 15
    assert not rig.desk.tick(rig.now).changed
    rig.t_s = 15.1
    (hit,) = rig.desk.tick(rig.now).changed
    assert hit.state is HitState.WITHDRAWN
    assert rig.desk.counts.withdrawn == 1


def test_decision_stays_if_the_final_text_does_not_match():
    """The officer may have rejected it for just that; the stage says what the reader thinks now."""
    rig = Rig()
    track, effects = rig.confirm()
    rig.desk.reject(effects.alerts[0].hit_id, Verification(Checks(), reason="misread"), OFFICER, S)
    _, more = rig.desk.on_final(track, (), rig.now)
    assert (more.changed[0].state, more.changed[0].stage) == (HitState.REJECTED, HitStage.WITHDRAWN)


def test_vehicle_that_stays_in_view_is_raised_once():
    """A car beside a waiting patrol car gives a track every few seconds; its reads keep their class."""
    rig = Rig(repeat_s=60)
    track, effects = rig.confirm()
    rig.desk.on_final(track, (make_match(),), rig.now)
    for rig.t_s in range(50, 500, 50):
        again, more = rig.confirm()
        finished, final = rig.desk.on_final(again, (make_match(),), rig.now)
        assert (more.changed, final.changed) == ((), ())
        assert (finished.is_hit, finished.is_raised) == (True, False)
    assert rig.desk.counts.repeats == 18
    rig.t_s += 61
    assert rig.confirm()[1].alerts[0].hit_id != effects.alerts[0].hit_id


def test_rejected_hit_is_not_raised_again_for_longer():
    rig = Rig(repeat_s=60, rejected_s=600)
    hit = rig.hit()
    rig.desk.reject(hit.hit_id, Verification(Checks(), reason="misread"), OFFICER, S)
    rig.t_s = 500
    assert not rig.confirm()[1].alerts
    rig.t_s = 1101
    assert rig.confirm()[1].alerts


def test_other_lists_of_a_plate_are_on_its_one_hit_and_the_most_important_leads():
    county = make_list("county", priority=Priority.LOW)
    hit = Rig().hit(make_match(listed=county), make_match(rule=Rule.APPROXIMATE, probability=0.2))
    assert (hit.match.list.list_id, [other.list.list_id for other in hit.others]) == ("stolen", ["county"])


@pytest.mark.parametrize(
    ("age_h", "stale"), [(1, False), (23.9, False), (24.1, True)]
)  # fmt: skip
def test_hit_of_an_old_list_is_marked(age_h, stale):
    listed = make_list(as_of_utc_us=UTC_NS // 1000 - round(age_h * HOUR_US))
    hit = Rig().hit(make_match(listed=listed))
    assert (hit.stale, hit.alerted) == (stale, True)


def test_hit_of_a_list_of_unknown_age_is_marked():
    rig = Rig()
    effects = rig.desk.on_confirmed(rig.track(), (make_match(),), Now(0))
    assert effects.alerts[0].stale


@pytest.mark.parametrize(("priority", "alerts"), [(Priority.HIGH, 1), (Priority.MEDIUM, 0), (Priority.LOW, 0)])
def test_policy_may_keep_hits_of_old_lists_silent_but_not_high_priority(priority, alerts):
    """They are recorded and in the queue all the same."""
    rig = Rig(quiet_if_stale=True)
    listed = make_list(as_of_utc_us=0, priority=priority)
    _, effects = rig.confirm(make_match(listed=listed))
    assert (len(effects.alerts), len(effects.staged), len(rig.desk.open_hits)) == (alerts, 1, 1)


def test_officers_own_entry_is_never_stale():
    listed = make_list("manual", as_of_utc_us=0)
    assert not Rig(quiet_if_stale=True).hit(make_match(listed=listed, rule=Rule.MANUAL)).stale


def test_acknowledging_is_recorded_once():
    rig = Rig()
    hit = rig.hit()
    ((seen, decision),) = rig.desk.acknowledge(hit.hit_id, OFFICER, 5 * S).decisions
    assert (seen.state, decision.action, decision.actor) == (
        HitState.ACKNOWLEDGED,
        DispositionAction.ACKNOWLEDGED,
        OFFICER,
    )
    assert rig.desk.acknowledge(hit.hit_id, OFFICER, 6 * S).decisions == ()
    assert rig.desk.open_hits == (seen,)
    assert rig.desk.unacknowledged == ()


def test_button_acknowledges_the_newest_hit_first():
    rig = Rig()
    first, second = rig.hit(), rig.hit(text="8XYZ999")
    for expected in (second, first):
        ((seen, decision),) = rig.desk.acknowledge_newest(Actor(), 5 * S).decisions
        assert (seen.hit_id, decision.actor.badge) == (expected.hit_id, "")
    assert rig.desk.acknowledge_newest(Actor(), 5 * S).decisions == ()


def test_confirmation_is_recorded_with_everything_that_was_checked():
    rig = Rig()
    hit = rig.hit()
    ((confirmed, decision),) = rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, 9 * S).decisions
    assert (confirmed.state, confirmed.officer, confirmed.checks.all_equal) == (HitState.CONFIRMED, "1234", True)
    assert (decision.confirming_agency, decision.reference, decision.t_mono_ns) == (
        "State Police",
        "2026-17",
        9 * S,
    )


def test_second_officer_does_not_overrule_the_first():
    rig = Rig()
    hit = rig.hit()
    rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, S)
    with pytest.raises(HitRefusedError, match="confirmed by 1234") as refused:
        rig.desk.confirm(hit.hit_id, VERIFIED, Actor("99"), 2 * S)
    assert refused.value.code == "already_decided"


def test_confirmed_hit_may_be_rejected_and_a_rejected_one_not_confirmed():
    """A mistake can be corrected towards doing nothing."""
    rig = Rig()
    hit = rig.hit()
    rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, S)
    rig.desk.reject(hit.hit_id, Verification(Checks(vehicle=False), reason="other_vehicle"), Actor("99"), 2 * S)
    with pytest.raises(HitRefusedError, match="rejected by 99"):
        rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, 3 * S)


def test_outcome_follows_a_decision_and_may_be_corrected():
    rig = Rig()
    hit = rig.hit()
    with pytest.raises(HitRefusedError) as refused:
        rig.desk.note_outcome(hit.hit_id, "recovered", OFFICER, S)
    assert refused.value.code == "not_decided"
    rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, S)
    for code in ("stopped", "recovered"):
        ((noted, decision),) = rig.desk.note_outcome(hit.hit_id, code, OFFICER, S).decisions
        assert (noted.outcome, decision.outcome) == (code, code)


def test_withdrawn_and_unknown_hits_cannot_be_decided():
    rig = Rig()
    track, effects = rig.confirm()
    rig.desk.on_final(track, (), rig.now)
    for hit_id, code in ((effects.alerts[0].hit_id, "already_decided"), (bytes(16), "unknown_hit")):
        with pytest.raises(HitRefusedError) as refused:
            rig.desk.confirm(hit_id, VERIFIED, OFFICER, S)
        assert refused.value.code == code


def test_too_many_open_hits_expire_from_the_lowest_priority_and_the_oldest():
    rig = Rig(max_open=3)
    low, medium = make_list("low", priority=Priority.LOW), make_list("medium", priority=Priority.MEDIUM)
    raised = [
        rig.hit(make_match(f"PLATE{n}", listed), text=f"PLATE{n}")
        for n, listed in enumerate((None, low, medium, None, None, None))
    ]  # fmt: skip
    states = [rig.desk.get(hit.hit_id).state for hit in raised]
    assert states == [
        HitState.EXPIRED,
        HitState.EXPIRED,
        HitState.EXPIRED,
        HitState.NEW,
        HitState.NEW,
        HitState.NEW,
    ]
    assert rig.desk.counts.overflowed == 3


def test_overflow_is_recorded_and_says_why():
    rig = Rig(max_open=1)
    rig.hit()
    _, effects = rig.confirm(text="8XYZ999")
    ((expired, decision),) = effects.decisions
    assert (expired.state, decision.action, decision.reason) == (
        HitState.EXPIRED,
        DispositionAction.EXPIRED,
        "overflow",
    )
    assert len(effects.alerts) == 1, "the new one is raised"


def test_undecided_hit_expires_by_age():
    rig = Rig(open_s=3600)
    rig.hit()
    rig.t_s = 3601
    ((_, decision),) = rig.desk.tick(rig.now).decisions
    assert decision.reason == "age"


def test_hit_of_an_earlier_boot_expires_by_utc_and_stays_while_the_time_is_unknown():
    """The monotonic clock began anew; it says nothing about it."""
    rig = Rig(open_s=3600)
    hit = replace(
        rig.hit(), boot_id=b"before", t_mono_ns=10**18, when=TimeTag(UTC_NS, TimeSource.GNSS, 100.0), where=WHERE
    )
    restored = Rig(open_s=3600)
    restored.desk.restore([hit])
    restored.t_s = 3601
    assert not restored.desk.tick(Now(3601 * S)).decisions
    assert restored.desk.tick(restored.now).decisions


def test_decided_hit_waits_for_its_outcome_and_is_then_forgotten():
    rig = Rig(decided_s=3600)
    hit = rig.hit()
    rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, S)
    assert rig.desk.is_kept(hit.hit_id)
    rig.t_s = 3601
    assert rig.desk.tick(rig.now).forgotten == (hit.hit_id,)
    assert not rig.desk.is_kept(hit.hit_id)


@pytest.mark.parametrize("is_decided", [False, True])
def test_hit_waits_no_longer_than_the_policy_keeps_hits(is_decided):
    """The queue's files have plates and pictures as well."""
    rig = Rig()
    hit = rig.hit()
    if is_decided:
        rig.desk.confirm(hit.hit_id, VERIFIED, OFFICER, S)
    rig.t_s = 181
    assert not rig.desk.tick(replace(rig.now, keep_s=600)).changed
    effects = rig.desk.tick(replace(rig.now, keep_s=180))
    assert effects.forgotten == ((hit.hit_id,) if is_decided else ())
    assert [decision.reason for _, decision in effects.decisions] == ([] if is_decided else ["age"])
    assert not rig.desk.is_kept(hit.hit_id)


def test_entry_with_the_same_text_in_another_list_is_another_entry():
    rig = Rig()
    rig.hit()
    other = make_match(listed=make_list("other"), entry=make_entry(region="US-NV"))
    assert rig.confirm(other)[1].alerts

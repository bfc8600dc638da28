"""What a policy answers: kept or not, until when, and where and when nothing is recorded."""

from __future__ import annotations

import datetime as dt

import pytest

from agent.policy.policies import Policies
from agent.policy.policy import Policy
from agent.policy.position import where_now
from agent.policy.records import Kept, Pause, PauseReason, Where
from protocol.policy.pack import strict_pack
from protocol.wire.enums import FixQuality
from tests.builders import NS_PER_S, make_fix
from tests.unit.policy.packs import SQUARE, make_pack

NOW_US = 1_780_000_000_000_000
INSIDE, OUTSIDE, BORDER = Where(45.005, -99.995, 5.0), Where(45.1, -99.995, 5.0), Where(45.0101, -99.995, 5.0)
UNKNOWN = Where()
CLINIC = {"name": "clinic", "polygon": SQUARE}
NIGHT = {"name": "night", "days": ["mon"], "from": "22:00", "to": "06:00", "zone": "America/New_York"}


def utc_us(*moment: int) -> int:
    return int(dt.datetime(*moment, tzinfo=dt.UTC).timestamp()) * 1_000_000


def policy(**changes) -> Policy:
    return Policy(make_pack(**changes))


def test_every_read_is_kept_for_the_period_of_its_class():
    other = policy().keep("nonhit", hit=False, t_utc_us=NOW_US)
    assert (other.kept, other.policy_class, other.expires_utc_us) == (Kept.FULL, "nonhit", NOW_US + 180_000_000)
    hit = policy().keep("hit", hit=True, t_utc_us=NOW_US)
    assert (hit.policy_class, hit.expires_utc_us, hit.policy) == ("hit", NOW_US + 30 * 86_400_000_000, "us-xx/3")


def test_only_hits_are_kept():
    rules = policy(keep="hits_only", retain={"hit": {"days": 1}})
    assert rules.keep("nonhit", hit=False, t_utc_us=NOW_US).kept is Kept.NONE
    assert rules.keep("hit", hit=True, t_utc_us=NOW_US).kept is Kept.FULL


def test_of_others_a_hash_is_kept():
    rules = policy(keep="keyed_hash", retain={"hit": {"days": 1}, "hash": {"hours": 2}})
    other = rules.keep("nonhit", hit=False, t_utc_us=NOW_US)
    assert (other.kept, other.policy_class, other.period_s) == (Kept.HASH, "hash", 7_200)
    assert rules.keep("hit", hit=True, t_utc_us=NOW_US).kept is Kept.FULL


def test_nothing_is_kept():
    rules = policy(keep="nothing", retain={})
    assert {rules.keep("hit", hit=hit, t_utc_us=NOW_US).kept for hit in (True, False)} == {Kept.NONE}


def test_read_without_a_time_has_a_period_but_no_end_yet():
    decision = policy().keep("nonhit", hit=False, t_utc_us=None)
    assert (decision.expires_utc_us, decision.period_s) == (None, 180)


@pytest.mark.parametrize(
    ("where", "pause"),
    [
        (INSIDE, Pause(PauseReason.FENCE, "clinic")),
        (OUTSIDE, None),
        (BORDER, Pause(PauseReason.FENCE, "clinic")),
        (UNKNOWN, Pause(PauseReason.POSITION)),
        (Where(45.1, -99.995, None), Pause(PauseReason.POSITION)),
        (Where(45.1, -99.995, float("nan")), Pause(PauseReason.POSITION)),
        (Where(45.1, -99.995, float("inf")), Pause(PauseReason.POSITION)),
        (Where(45.1, -99.995, 5_000.0), Pause(PauseReason.FENCE, "clinic")),
    ],
)
def test_in_doubt_about_a_fence_nothing_is_recorded(where, pause):
    assert policy(fences=[CLINIC]).recording_allowed(where, NOW_US) == pause


def test_more_sigmas_keep_a_wider_distance():
    near = Where(45.0103, -99.995, 10.0)
    assert policy(fences=[CLINIC], position_sigmas=1.0).recording_allowed(near, NOW_US) is None
    assert policy(fences=[CLINIC], position_sigmas=4.0).recording_allowed(near, NOW_US) is not None


def test_without_fences_the_position_does_not_matter():
    assert policy().recording_allowed(UNKNOWN, None) is None


@pytest.mark.parametrize(
    ("moment", "off"),
    [
        ((2026, 6, 2, 1, 59), False),  # Monday 21:59 EDT
        ((2026, 6, 2, 2, 0), True),
        ((2026, 6, 2, 9, 59), True),  # Tuesday 05:59
        ((2026, 6, 2, 10, 0), False),
        ((2026, 6, 3, 2, 0), False),  # Tuesday 22:00
        ((2026, 12, 1, 2, 59), False),  # Monday 21:59 EST
        ((2026, 12, 1, 3, 0), True),
    ],
)
def test_hours_are_local_with_summer_time(moment, off):
    found = policy(off_hours=[NIGHT]).recording_allowed(OUTSIDE, utc_us(*moment))
    assert found == (Pause(PauseReason.HOURS, "night") if off else None)


def test_night_of_sunday_goes_on_into_monday():
    night = policy(off_hours=[{**NIGHT, "days": ["sun"], "zone": "UTC"}])
    assert night.recording_allowed(OUTSIDE, utc_us(2026, 6, 1, 3)) == Pause(PauseReason.HOURS, "night")
    assert night.recording_allowed(OUTSIDE, utc_us(2026, 6, 1, 6)) is None


def test_without_a_time_hours_may_be_now():
    assert policy(off_hours=[NIGHT]).recording_allowed(OUTSIDE, None) == Pause(PauseReason.TIME)


def everywhere(**changes):
    return make_pack(id="us-all", **changes)


def local(**changes):
    return make_pack(
        **{"id": "us-area", "areas": [SQUARE], "retain": {"nonhit": {"days": 1}, "hit": {"days": 60}}, **changes}
    )


def policies(*packs) -> Policies:
    return Policies(packs, "Example Sheriff", strict_pack())


def test_without_a_policy_the_strict_one_holds():
    found = policies()
    assert found.at(OUTSIDE).id == "strict"
    assert found.decide("nonhit", hit=False, where=OUTSIDE, t_utc_us=NOW_US).kept is Kept.NONE
    assert found.names == ("strict/1",)


def test_policy_of_another_agency_does_not_hold():
    assert policies(make_pack(agencies=["Other *"])).at(OUTSIDE).id == "strict"


def test_policy_of_the_position_holds_inside_and_the_other_outside():
    found = policies(everywhere(), local())
    assert (found.at(INSIDE).id, found.at(OUTSIDE).id) == ("us-area", "us-all")


@pytest.mark.parametrize("where", [BORDER, UNKNOWN])
def test_in_doubt_about_the_position_the_strictest_holds(where):
    """``us-all`` keeps reads for minutes, ``us-area`` for a day."""
    assert policies(everywhere(), local()).at(where).id == "us-all"
    loose = everywhere(retain={"nonhit": {"days": 90}, "hit": {"days": 90}})
    assert policies(loose, local()).at(where).id == "us-area"


@pytest.mark.parametrize("where", [BORDER, UNKNOWN, OUTSIDE])
def test_outside_of_all_areas_the_strict_default_holds(where):
    assert policies(local()).at(where).id == "strict"
    assert policies(local()).at(INSIDE).id == "us-area"


def test_fences_hold_whatever_policy_is_in_force():
    found = policies(everywhere(), local(areas=[((50, -90), (50, -89), (51, -89))], fences=[CLINIC]))
    assert found.at(INSIDE).id == "us-all"
    assert found.pause(INSIDE, NOW_US) == Pause(PauseReason.FENCE, "clinic")
    assert found.pause(OUTSIDE, NOW_US) is None


def test_read_in_a_fence_is_not_kept_even_if_it_is_a_hit():
    decision = policies(everywhere(fences=[CLINIC])).decide("hit", hit=True, where=INSIDE, t_utc_us=NOW_US)
    assert (decision.kept, decision.why, decision.expires_utc_us) == (Kept.NONE, "fence clinic", None)


def test_bound_grows_with_the_age_of_the_fix():
    fix = make_fix(0, speed_mps=10.0, error_m=4.5)
    assert where_now(fix, 0) == Where(45.0, -100.0, 4.5)
    assert where_now(fix, NS_PER_S).error_m == pytest.approx(4.5 + 10 + 2)
    assert where_now(fix, 60 * NS_PER_S).error_m == pytest.approx(4.5 + 60 * 60)
    assert where_now(make_fix(0, speed_mps=None), NS_PER_S).error_m == pytest.approx(4.5 + 60)
    assert where_now(None, 0) == UNKNOWN


def test_fixed_site_does_not_move():
    site = make_fix(0, quality=FixQuality.NONE, error_m=10.0)
    assert where_now(site, 10**18).error_m == 10.0

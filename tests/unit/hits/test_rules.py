"""What a policy says about hits."""

from __future__ import annotations

import pytest

from agent.hits.errors import HitRefusedError
from agent.hits.rules import HitRules
from agent.hotlist.records import Priority, Rule
from protocol.policy.pack import Partial
from tests.builders import UTC_NS
from tests.listed import HOUR_US, make_list, make_match

NOW_US = UTC_NS // 1000


def test_without_a_policy_every_match_may_raise_a_hit():
    assert HitRules(24 * 3600).permit(make_match(listed=make_list(as_of_utc_us=0)), NOW_US)


@pytest.mark.parametrize(("age_h", "permitted"), [(71, True), (73, False)])
def test_list_above_the_stop_age_raises_none(age_h, permitted):
    rules = HitRules(24 * 3600, stop_age_s=72 * 3600)
    match = make_match(listed=make_list(as_of_utc_us=NOW_US - age_h * HOUR_US))
    assert rules.permit(match, NOW_US) is permitted
    assert rules.permit(match, None), "while the time is unknown, nothing is hidden"


def test_only_lists_of_permitted_owners_raise_hits():
    rules = HitRules(24 * 3600, owners=("Example *",))
    assert rules.permit(make_match(), NOW_US)
    assert not rules.permit(make_match(listed=make_list(owner="Somebody")), NOW_US)


@pytest.mark.parametrize("rule", [Rule.WILDCARD, Rule.PARTIAL])
@pytest.mark.parametrize(
    ("partial", "priorities"),
    [
        (Partial.NEVER, set()), (Partial.HIGH_PRIORITY, {Priority.HIGH}), (Partial.ALWAYS, set(Priority)),
    ],
)  # fmt: skip
def test_partial_plates_only_where_the_policy_permits_them(rule, partial, priorities):
    rules = HitRules(24 * 3600, partial=partial)
    matches = {p: make_match(listed=make_list(priority=p), rule=rule) for p in Priority}
    assert {priority for priority, match in matches.items() if rules.permit(match, NOW_US)} == priorities


@pytest.mark.parametrize("rule", [Rule.EXACT, Rule.MANUAL])
def test_where_nothing_may_be_recorded_no_hit_is_raised(rule):
    assert not HitRules(24 * 3600, recorded=False).permit(make_match(rule=rule), NOW_US)


def test_entry_of_an_officer_needs_no_owner_and_no_age():
    rules = HitRules(1, stop_age_s=1, owners=("nobody",), partial=Partial.NEVER)
    assert rules.permit(make_match(listed=make_list(as_of_utc_us=0), rule=Rule.MANUAL), NOW_US)


def test_only_permitted_roles_enter_plates():
    HitRules(1).refuse_unless_may_enter("patrol")
    HitRules(1, roles=("patrol",)).refuse_unless_may_enter("patrol")
    with pytest.raises(HitRefusedError, match="only: supervisor"):
        HitRules(1, roles=("supervisor",)).refuse_unless_may_enter("patrol")
    with pytest.raises(HitRefusedError, match="nobody here"):
        HitRules(1, roles=()).refuse_unless_may_enter("patrol")

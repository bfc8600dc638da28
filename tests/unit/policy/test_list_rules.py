"""The policy's rules for hot lists and typed plates."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from agent.hotlist.records import Priority, Rule
from agent.policy.policies import Policies
from agent.runtime.commands import CommandRefusedError
from agent.runtime.list_rules import RuledMatcher, refuse_entry, strictest
from protocol.policy.pack import strict_pack
from tests.builders import make_plate
from tests.unit.policy.packs import SQUARE, make_pack

NOW_US = 1_780_000_000_000_000
HOUR_US = 3_600_000_000
RULES = {"max_age_hours": 24, "stop_age_hours": 72, "partial": "high_priority"}


def a_match(rule=Rule.EXACT, *, age_h=1.0, owner="Example Sheriff", priority=Priority.MEDIUM):
    listed = SimpleNamespace(owner=owner, priority=priority, as_of_utc_us=NOW_US - round(age_h * HOUR_US))
    return SimpleNamespace(rule=rule, list=listed)


@dataclass
class Lists:
    found: tuple

    lists = ("a list",)

    def match(self, plate, *, now_utc_us, lat_deg=None, lon_deg=None):
        return self.found


def matched(*found, now_us=NOW_US, **rules):
    policies = Policies([make_pack(lists={**RULES, **rules})], "Example Sheriff", strict_pack())
    return RuledMatcher(Lists(found), lambda: policies).match(make_plate(), now_utc_us=now_us)


@pytest.mark.parametrize(
    ("match", "rules", "allowed"),
    [
        (a_match(), {}, True),
        (a_match(age_h=71.9), {}, True),
        (a_match(age_h=72.1), {}, False),
        (a_match(Rule.MANUAL, age_h=9999, owner="officer"), {"owners": ["X"]}, True),
        (a_match(Rule.WILDCARD), {}, False),
        (a_match(Rule.PARTIAL, priority=Priority.HIGH), {}, True),
        (a_match(Rule.PARTIAL, priority=Priority.HIGH), {"partial": "never"}, False),
        (a_match(Rule.WILDCARD, priority=Priority.LOW), {"partial": "always"}, True),
        (a_match(Rule.APPROXIMATE), {"partial": "never"}, True),
        (a_match(owner="Other agency"), {"owners": ["Example *"]}, False),
        (a_match(), {"owners": ["Example *"]}, True),
    ],
)
def test_only_allowed_matches_are_left(match, rules, allowed):
    assert matched(match, **rules) == ((match,) if allowed else ())


def test_without_a_time_the_age_is_unknown_and_the_hit_is_shown():
    assert matched(a_match(age_h=9999), now_us=None)


def test_order_is_kept():
    first, second, third = a_match(), a_match(age_h=100), a_match(age_h=2)
    assert matched(first, second, third) == (first, third)


def test_without_policies_everything_is_left():
    found = (a_match(age_h=9999),)
    matcher = RuledMatcher(Lists(found), None)
    assert matcher.match(make_plate(), now_utc_us=NOW_US) == found
    assert matcher.lists == ("a list",)
    assert strictest(None) is None


def test_settings_of_a_run_are_those_of_the_strictest_policy():
    loose = make_pack(id="us-loose", retain={"nonhit": {"days": 1}, "hit": {"days": 1}}, areas=[SQUARE])
    policies = Policies([loose, make_pack()], "Example Sheriff", strict_pack())
    assert strictest(lambda: policies).id == "us-xx"


def officer(role="officer", rights=()):
    return SimpleNamespace(badge="4711", role=role, rights=frozenset(rights))


@pytest.mark.parametrize("who", [officer("supervisor"), officer("officer", ["supervisor"])])
def test_those_with_a_role_may_add_entries(who):
    refuse_entry(make_pack().entries, who, 12)


@pytest.mark.parametrize("who", [officer(), SimpleNamespace(badge="4711"), None])
def test_others_may_not(who):
    with pytest.raises(CommandRefusedError, match="lets supervisor add plates"):
        refuse_entry(make_pack().entries, who, 1)


def test_entries_must_end():
    with pytest.raises(CommandRefusedError, match="at most 12 hours"):
        refuse_entry(make_pack().entries, officer("supervisor"), 12.1)


def test_strict_default_lets_nobody_add_entries():
    with pytest.raises(CommandRefusedError, match="nobody"):
        refuse_entry(strict_pack().entries, officer("supervisor"), 1)


def test_without_policies_nothing_is_refused():
    refuse_entry(None, officer(), 100)

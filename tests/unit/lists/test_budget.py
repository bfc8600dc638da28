"""The alarm budget is what random cars would raise, and rules stay within it."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.hotlist.manifest import RegionRule
from protocol.hotlist.packing import BASE, unpack_codes
from protocol.plate_formats import FORMATS
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.plan import RuleTable
from station.lists.space import build_space, shape_of, shapes_of

SPACE = build_space(FORMATS, {})
BEHAVIOUR = load_behaviour()
BUDGET = Budget(SPACE, BEHAVIOUR)


def packed(codes: np.ndarray) -> np.ndarray:
    keys = np.zeros(len(codes), np.uint64)
    for place in range(codes.shape[1]):
        column = codes[:, place].astype(np.uint64)
        keys = np.where(column > 0, keys * np.uint64(BASE) + column, keys)
    return keys


def listed(count: int, region: str = "?") -> tuple[np.ndarray, tuple[np.ndarray, tuple[str, ...]]]:
    keys = np.unique(packed(SPACE.draw(count, 11)))
    return keys, (np.zeros(len(keys), np.uint16), (region,))


def total(found) -> float:
    return found.under(RegionRule.ANY)


def test_the_space_is_a_probability():
    """Over all shapes, probability times number of texts is one."""
    sizes = np.zeros(SPACE.by_region.shape[1])
    for shape in range(2, len(sizes)):
        bits = bin(shape)[3:]
        sizes[shape] = 25.0 ** bits.count("1") * 10.0 ** bits.count("0")
    assert (SPACE.total * sizes).sum() == pytest.approx(1, abs=1e-9)


def test_a_shape_is_the_same_of_a_format_and_of_a_text():
    shapes, _ = shapes_of(packed(SPACE.draw(50, 3)))
    codes = SPACE.draw(50, 3)
    for shape, row in zip(shapes, codes, strict=True):
        assert shape == shape_of("".join("L" if code > 10 else "D" for code in row if code))


@pytest.mark.slow
def test_exact_matches_are_those_of_drawn_cars():
    keys, regions = listed(300_000)
    cars = packed(SPACE.draw(200_000, 12))
    drawn = np.isin(cars, keys).mean()
    assert total(BUDGET.exact_matches(keys, regions)) == pytest.approx(drawn, rel=0.1)


@pytest.mark.slow
def test_approximate_matches_are_those_of_drawn_misreads():
    """Draw cars, and for each character an alternative as often as the reader has one."""
    keys, regions = listed(300_000)
    at = BEHAVIOUR.at(0.05)
    rates = BEHAVIOUR.confusions[at]
    cars = SPACE.draw(60_000, 13)
    hits = 0.0
    for place in range(8):
        rows = cars[cars[:, place] > 0]
        kinds = (rows[:, place] > 10).astype(int)
        for code in range(1, BASE):
            other = rows.copy()
            other[:, place] = code
            is_listed = np.isin(packed(other), keys) & (rows[:, place] != code)
            hits += (rates[kinds, code] * is_listed).sum()
    drawn = hits / len(cars) * BEHAVIOUR.others[at]
    assert total(BUDGET.approximate_matches(keys, regions, 0.05)) == pytest.approx(drawn, rel=0.1)


def test_twice_the_list_is_twice_the_alarms():
    small, large = (total(BUDGET.exact_matches(*listed(n))) for n in (20_000, 40_000))
    assert large / small == pytest.approx(2, rel=0.1)


def test_a_known_state_leaves_few_exact_false_alarms():
    keys, regions = listed(50_000, "US-CA")
    found = BUDGET.exact_matches(keys, regions)
    assert found.equal < found.unknown < found.different


@pytest.mark.slow
def test_rules_stay_within_the_budget_or_are_tightened():
    keys, regions = listed(400_000)
    loose, loose_lines = BUDGET.rules(keys, regions, [], RuleTable(budget_per_1000=1000))
    assert loose.approximate.enabled
    assert loose.approximate.min_probability_e4 == 500
    assert loose.exact.regions is RegionRule.ANY
    budget = min(line.alarms_per_1000 for line in loose_lines[:2]) / 10
    rules, lines = BUDGET.rules(keys, regions, [], RuleTable(budget_per_1000=budget))
    exact, approximate, _ = lines
    assert exact.regions == "not_different"
    assert exact.alarms_per_1000 > budget  # nothing more is hidden: the import holds the list
    assert not rules.approximate.enabled or approximate.alarms_per_1000 <= budget
    assert approximate.tightened


def test_an_open_pattern_is_refused_and_a_narrow_one_is_not():
    told = RuleTable()
    assert "too open" in BUDGET.refuse_pattern("A*1*", told)
    assert BUDGET.refuse_pattern("ABC12?", told) == ""


def test_drawn_plates_are_packed_like_others():
    codes = SPACE.draw(100, 1)
    assert (unpack_codes(packed(codes)) == codes).all()

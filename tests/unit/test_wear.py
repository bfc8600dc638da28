"""The write budget of the card."""

from __future__ import annotations

import pytest

from agent.wear import WriteBudget

HOUR_NS = 3600 * 10**9


def test_write_budget_exceeded_for_an_hour():
    budget = WriteBudget(1000)
    assert not budget.step(5_000, 0)
    assert not budget.step(5_900, HOUR_NS // 2)
    assert budget.step(6_100, HOUR_NS - 1)
    assert budget.last_hour_bytes == 1_100
    assert not budget.step(6_100, HOUR_NS * 2)
    assert budget.last_hour_bytes == 0


def test_unknown_write_total_changes_nothing():
    budget = WriteBudget(10)
    assert not budget.step(None, 0)
    assert budget.last_hour_bytes is None


def test_write_budget_of_zero_is_refused():
    with pytest.raises(ValueError, match="write budget"):
        WriteBudget(0)

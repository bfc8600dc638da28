"""Shards, workers, a primary and its replica, on one machine."""

from __future__ import annotations

import pytest

from tests.scale import Plan, run

pytestmark = pytest.mark.integration


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_stored_twice_while_parts_are_killed(tmp_path):
    """`make scale` with few units: workers, brokers and the primary are killed."""
    report = run(Plan(units=40, start_s=5, kills=4, limit_s=600), tmp_path)
    assert report.is_right, report
    assert "primary" in report.kills

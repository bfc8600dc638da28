"""The bench of the motion: its table, and the motion of the vehicles in the shipped drives."""

from __future__ import annotations

import sys

import pytest

from bench import motion


@pytest.mark.parametrize("drive", ["city-day", "cold-start-night", "tunnel-outage"])
def test_motion_in_the_shipped_drives_is_right(drive, repo):
    """All vehicles are parked or oncoming; the lens is not configured."""
    told = motion.from_truth(repo / "tests" / "drives" / drive)
    assert len(told) > 5
    assert all(one.motion.kind is one.truth for one in told)


def test_bench_prints_a_row_for_each_drive(repo, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["motion", "--drives", str(repo / "tests" / "drives"), "--tracks", "40"])
    motion.main()
    drives = list((repo / "tests" / "drives").glob("*/truth.csv"))
    assert capsys.readouterr().out.count("true boxes") == len(drives)

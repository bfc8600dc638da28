"""The bench of the motion: its table, and the motion of the vehicles in the shipped drives."""

from __future__ import annotations

import sys

import pytest

from bench import motion
from tests.conftest import ROOT

DRIVES = sorted(path.parent.name for path in (ROOT / "tests" / "drives").glob("*/truth.csv"))


@pytest.mark.parametrize("drive", DRIVES)
def test_motion_in_the_shipped_drives_is_right(drive, repo):
    """All vehicles are parked or oncoming; the lens is not configured."""
    told = motion.from_truth(repo / "tests" / "drives" / drive)
    assert len(told) > 5
    assert all(one.motion.kind is one.truth for one in told)


@pytest.mark.slow
def test_bench_prints_a_row_for_each_drive(repo, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["motion", "--drives", str(repo / "tests" / "drives"), "--tracks", "40"])
    motion.main()
    assert capsys.readouterr().out.count("true boxes") == len(DRIVES)

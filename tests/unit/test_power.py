"""Ignition and temperature: phases by time and level only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.power import Cooler, HoldUp, Phase

S = 1_000_000_000


def test_drive_ends_once_after_the_hold_up_time():
    hold = HoldUp(60)
    assert hold.step(ignition_on=True, t_mono_ns=0) is Phase.DRIVING
    assert hold.step(ignition_on=False, t_mono_ns=10 * S) is Phase.HOLDING
    assert hold.step(ignition_on=False, t_mono_ns=69 * S) is Phase.HOLDING
    assert hold.step(ignition_on=False, t_mono_ns=70 * S) is Phase.OVER
    assert hold.step(ignition_on=True, t_mono_ns=71 * S) is Phase.OVER


def test_restarted_engine_resets_the_hold_up_time():
    hold = HoldUp(60)
    hold.step(ignition_on=False, t_mono_ns=0)
    assert hold.step(ignition_on=True, t_mono_ns=59 * S) is Phase.DRIVING
    assert hold.step(ignition_on=False, t_mono_ns=60 * S) is Phase.HOLDING
    assert hold.step(ignition_on=False, t_mono_ns=119 * S) is Phase.HOLDING


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=40))
def test_drive_is_over_only_after_uninterrupted_hold_up_time(steps):
    hold, now, off_since, over = HoldUp(60), 0, None, False
    for on, pause in steps:
        now += pause * S
        off_since = None if on else (now if off_since is None else off_since)
        over = over or (off_since is not None and now - off_since >= 60 * S)
        assert (hold.step(ignition_on=on, t_mono_ns=now) is Phase.OVER) is over


def test_temperature_hysteresis():
    cooler = Cooler(75, 70)
    found = [cooler.step(t) for t in (60, 74.9, 75, 72, None, 70.1, 70, 74)]
    assert found == [False, False, True, True, True, True, False, False]
    with pytest.raises(ValueError, match="below"):
        Cooler(70, 70)

"""When a release on trial is well, and when the agent makes way for another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.config import UpdateTable
from agent.runtime.updates import UpdateReporter
from agent.update.trial import HealthSample, TrialWatch
from tests.update_builder import Unit

S = 1_000_000_000
START = 1000 * S


def well(second: int, **changes) -> HealthSample:
    values = {"cameras": 1, "frames": (second + 1,), "late": False, "link_up": True}
    return HealthSample(**{**values, **changes})


def run(watch: TrialWatch, looks: list[HealthSample]) -> list[bool]:
    return [watch.step(sample, START + second * S) for second, sample in enumerate(looks)]


def test_healthy_after_required_time():
    said = run(TrialWatch(well_s=60, needs_link=True), [well(n) for n in range(62)])
    assert said.index(True) == 60


@pytest.mark.parametrize(
    "break_of",
    [
        {"late": True},
        {"frames": ()},  # no models loaded
        {"cameras": 2},  # one of two cameras is dark
    ],
)
def test_time_starts_when_all_conditions_hold(break_of):
    looks = [well(n, **(break_of if n <= 30 else {})) for n in range(95)]
    said = run(TrialWatch(well_s=60, needs_link=True), looks)
    assert said.index(True) == 91


def test_stopped_camera_is_unhealthy():
    looks = [well(0)] * 100
    assert not any(run(TrialWatch(well_s=20, needs_link=False), looks))


@pytest.mark.parametrize(("needs", "expected"), [(True, False), (False, True)])
def test_link_is_required_if_previous_release_had_one(needs, expected):
    looks = [well(n, link_up=False) for n in range(100)]
    assert any(run(TrialWatch(well_s=10, needs_link=needs), looks)) is expected


def test_one_connection_is_enough():
    looks = [well(n, link_up=n == 3) for n in range(100)]
    assert any(run(TrialWatch(well_s=60, needs_link=True), looks))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_never_healthy_without_uninterrupted_period(history):
    watch, row, count = TrialWatch(well_s=20, needs_link=False), 0, 0
    for second, (late, new_frames) in enumerate(history):
        count += new_frames
        said = watch.step(HealthSample(1, (count,), late, link_up=False), START + second * S)
        row = 0 if late else row + 1
        assert not said or row > 20


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path)


def desk(unit: Unit, **changes) -> UpdateReporter:
    table = UpdateTable(
        **{"home": unit.home, "confirm": unit.folder / "confirmed", "well_s": 5, "quiet_s": 30, **changes}
    )
    return UpdateReporter(table, unit.folder / "state")


def test_agent_confirms_once_and_root_commits(unit):
    proven = desk(unit)
    assert not any(proven.step(well(n), 0, START + n * S) for n in range(10))
    assert not (unit.folder / "confirmed").exists(), "it is not on trial"
    unit.apply(unit.update(42, config="[log]\nlevel = 'debug'\n"))
    unit.releases.start()
    on_trial = desk(unit)
    gauges = on_trial.gauges()
    assert (gauges["update.release"], gauges["update.on_trial"], gauges["update.pending"]) == (42, 1, 0)
    for n in range(10):
        assert not on_trial.step(well(n), 0, START + n * S)
    assert (unit.folder / "confirmed").read_text() == "42"
    unit.releases.commit(42)
    on_trial.step(well(20), 0, START + 20 * S)
    counters = on_trial.counters()
    assert (counters["commits"], counters["roll_backs"], counters["refusals"]) == (1, 0, 0)
    assert on_trial.gauges()["update.on_trial"] == 0


@pytest.mark.parametrize("had_link", [True, False])
def test_link_requirement_comes_from_committed_release(unit, had_link):
    desk(unit).step(well(0, link_up=had_link), 0, START)
    unit.apply(unit.update(42, config="[log]\nlevel = 'debug'\n"))
    unit.releases.start()
    on_trial = desk(unit)
    for n in range(20):
        on_trial.step(well(n, link_up=False), 0, START + n * S)
    assert (unit.folder / "confirmed").exists() is not had_link


def test_agent_restarts_into_update_when_quiet(unit):
    running = desk(unit)
    running.step(well(0), 0, START)
    unit.apply(unit.update(42, config="[log]\nlevel = 'debug'\n"))
    sightings = [min(n, 50) for n in range(200)]  # plates until the 50th second
    ends = [running.step(well(n), sightings[n], START + n * S) for n in range(200)]
    assert 80 <= ends.index(True) <= 86
    assert running.gauges()["update.pending"] == 1


def test_unwritable_confirmation_is_not_fatal(unit):
    unit.apply(unit.update(42, config="[log]\nlevel = 'debug'\n"))
    (unit.folder / "full").touch()
    on_trial = desk(unit, confirm=unit.folder / "full" / "confirmed")
    for n in range(10):
        on_trial.step(well(n), 0, START + n * S)
    (unit.folder / "full").unlink()
    on_trial.step(well(10), 0, START + 10 * S)
    assert (unit.folder / "full" / "confirmed").read_text() == "42", "it is tried again"


def test_without_releases_nothing_happens(tmp_path):
    nobody = UpdateReporter(UpdateTable(home=tmp_path / "none"), tmp_path / "state")
    assert not nobody.step(well(0), 0, START)
    assert set(nobody.gauges().values()) | set(nobody.counters().values()) == {0}
    assert nobody.report("unit-07", bytes(16), bytes(32), again=True) is None
    assert not (tmp_path / "state").exists()

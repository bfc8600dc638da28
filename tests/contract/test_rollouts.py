"""Roll-outs of signed files to groups of units: staged, never back, and it is known who has what; on every database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import WireError
from protocol.wire.codec import encode
from protocol.wire.control.transfer import UpdateReport
from protocol.wire.control.unit_state import Health
from protocol.wire.enums import UpdateState
from station.asker import Asker, Scope
from station.errors import StoreError
from station.rollout import Rollouts, chosen
from tests.builders import BOOT
from tests.contract.test_station_store import NOW_US, make, store  # noqa: F401 - fixtures

UNITS = [f"unit-{number:02}" for number in range(20)]


@pytest.fixture
def rollouts(store):  # noqa: F811
    made = Rollouts(store, Asker("clerk"), lambda: NOW_US)
    made.set_group("north", UNITS)
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "list.lprhot"
    path.write_bytes(b"a signed list")
    return path


def offered(store, kind="hotlist"):  # noqa: F811
    return {one.unit: one.file.release for one in store.offers() if one.file.kind == kind and one.file.release}


def told(store, unit, **gauges):  # noqa: F811
    health = Health(
        unit=unit, boot_id=BOOT, mono_us=1, utc_us=None, seq_high=1, counters={},
        gauges={name.replace("__", "."): value for name, value in gauges.items()},
    )  # fmt: skip
    with store.transaction():
        store.note_health(health, encode(health), NOW_US)


def test_share_grows_and_shrinks(store, rollouts, file):  # noqa: F811
    """The larger share contains the smaller one; units that fall out lose their offer."""
    assert rollouts.start("hotlist", "north", file, release=7, percent=10) == 2
    first = offered(store)
    assert rollouts.advance("hotlist", "north", 50) == 10
    assert set(first) < set(offered(store))
    assert rollouts.advance("hotlist", "north", 10) == 2
    assert offered(store) == first
    assert rollouts.advance("hotlist", "north", 100) == 20
    assert set(offered(store).values()) == {7}
    assert [entry.what for entry in store.audit_trail()] == ["set group", *["roll out"] * 4]


def test_unchanged_offers_are_not_made_again(store, rollouts, file):  # noqa: F811
    """A unit that is fetching goes on."""
    rollouts.start("hotlist", "north", file, release=7, percent=10)
    rollouts.advance("hotlist", "north", 100)
    assert {one.attempt for one in store.offers()} == {0}


def test_stopped_rollout_is_withdrawn(store, rollouts, file):  # noqa: F811
    rollouts.start("hotlist", "north", file, release=7, percent=100)
    assert rollouts.stop("hotlist", "north")
    assert offered(store) == {}
    with pytest.raises(StoreError, match="was stopped"):
        rollouts.advance("hotlist", "north", 10)
    assert rollouts.start("hotlist", "north", file, release=7, percent=10) == 2
    assert not rollouts.stop("policy", "north")


def test_older_version_is_refused(store, rollouts, file, tmp_path):  # noqa: F811
    """Units would refuse it; another file with the same number, too."""
    rollouts.start("hotlist", "north", file, release=7, percent=10)
    other = tmp_path / "other"
    other.write_bytes(b"another list")
    for path, release in ((file, 6), (other, 7)):
        with pytest.raises(StoreError, match="with a higher version"):
            rollouts.start("hotlist", "north", path, release=release, percent=100)
    assert len(offered(store)) == 2
    assert rollouts.start("hotlist", "north", other, release=8, percent=100) == 20


def test_who_has_which_version(store, rollouts, file):  # noqa: F811
    """By the units' own health and reports."""
    rollouts.start("hotlist", "north", file, release=7, percent=100)
    told(store, UNITS[0], files__hotlist__fetched=7)
    told(store, UNITS[1], files__hotlist__fetched=6)
    (state,) = rollouts.states()
    assert (state.offered, state.has) == (20, 1)
    assert [(unit.unit, unit.offered, unit.has) for unit in state.units[:3]] == [
        (UNITS[0], 7, 7), (UNITS[1], 7, 6), (UNITS[2], 7, None),
    ]  # fmt: skip
    rollouts.start("update", "north", file, release=3, percent=100)
    report = UpdateReport(
        unit=UNITS[4], boot_id=BOOT, running=3, committed=2, release=3, state=UpdateState.TRIAL, reason="",
        fetched_bytes=0, config_sha256=bytes(32),
    )  # fmt: skip
    with store.transaction():
        store.note_report(UNITS[4], encode(report))
    assert {state.rollout.kind: state.has for state in rollouts.states()} == {"hotlist": 1, "update": 1}


def test_groups_are_kept_and_checked(store, rollouts, file):  # noqa: F811
    rollouts.set_group("south", ["unit-99", "unit-98", "unit-99"])
    assert rollouts.groups()["south"] == ["unit-98", "unit-99"]
    rollouts.set_group("south", [])
    assert list(rollouts.groups()) == ["north"]
    with pytest.raises(StoreError, match="no name of a group"):
        rollouts.set_group("<b>", ["unit-1"])
    with pytest.raises(WireError):
        rollouts.set_group("south", ["unit/1"])
    with pytest.raises(StoreError, match="no group 'west'"):
        rollouts.start("hotlist", "west", file, release=1, percent=100)
    with pytest.raises(WireError):
        rollouts.start("no such kind!", "north", file, release=1, percent=100)
    assert offered(store) == {}


@pytest.mark.slow
def test_units_of_another_agency_are_neither_shown_nor_changed(store, rollouts, file):  # noqa: F811
    """Whatever the group is called."""
    other = Rollouts(store, Asker("other", scope=Scope(units=frozenset({"unit-99"}))), lambda: NOW_US)
    assert other.groups() == {}
    with pytest.raises(StoreError, match="another agency"):
        other.set_group("north", ["unit-99"])
    with pytest.raises(StoreError, match="another agency"):
        other.start("hotlist", "north", file, release=1, percent=100)
    assert other.states() == []
    assert rollouts.groups() == {"north": UNITS}


@given(st.sets(st.text("abc0123456789", min_size=1, max_size=6)), st.integers(1, 2**31), st.integers(0, 100))
def test_chosen_units_grow_with_the_share(units, release, percent):
    """At 100 all, above 0 at least one."""
    found = chosen(units, "hotlist", release, percent)
    assert set(found) <= set(chosen(units, "hotlist", release, 100)) == units
    assert bool(found) == (bool(units) and percent > 0)
    assert percent == 0 or set(chosen(units, "hotlist", release, percent - 1)) <= set(found)

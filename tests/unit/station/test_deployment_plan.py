"""Planning: what is refused, what is warned of, and lengths in real time when the clocks change."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.deployment.conflicts import Planner, Severity
from station.deployment.hours import HoursBy, sum_hours
from station.deployment.model import (
    Asset,
    Assignment,
    Checkpoint,
    Person,
    PlannedShift,
    Resources,
    Settings,
    check_asset,
    check_person,
    check_settings,
)
from station.deployment.roster import make_roster
from station.deployment.times import clock_s, parse_time, shown, typed
from station.deployment.zones import make_zone
from station.errors import DeploymentError

CHICAGO = ZoneInfo("America/Chicago")
H_US = 3600 * 1_000_000
SETTINGS = Settings(time_zone="America/Chicago")
NORTH = make_zone("north", "North", ((44, -100), (44, -99), (45, -99)))
RESOURCES = Resources(
    people=(
        Person("4711", "A. Example", training_until=dt.date(2027, 3, 20)),
        Person("4712", "B. Example"),
        Person("4713", "C. Example", active=False),
    ),
    zones=(NORTH,),
    checkpoints=(Checkpoint("cp-1", "Bridge", 440_000_000, -990_000_000),),
    assets=(
        Asset("unit-01", "vehicle", unit="unit-01"),
        Asset("unit-02", "vehicle", unit="unit-02"),
        Asset("unit-03", "vehicle", out_of_service="in the workshop"),
        Asset("rifle-3", "equipment"),
    ),
)


def shift(shift_id="s1", starts="2027-03-10 06:00", ends="2027-03-10 16:00", **other):
    starts_us, ends_us = parse_time(starts, CHICAGO), parse_time(ends, CHICAGO)
    part = {name: other.pop(name) for name in ("zone", "vehicle", "equipment", "task") if name in other}
    values = {
        "id": shift_id,
        "badge": "4711",
        "starts_us": starts_us,
        "ends_us": ends_us,
        "overtime_class": "regular",
        "hours": (("patrol", 3600),),
        "assignments": (Assignment(starts_us, **{"zone": "north", "vehicle": "unit-01", **part}),),
    }
    return PlannedShift(**{**values, **other})


def found(one, *others, settings=SETTINGS):
    conflicts = Planner(RESOURCES, settings, [one, *others]).conflicts(one)
    return [(conflict.severity.value, conflict.kind) for conflict in conflicts]


def test_shift_without_a_fault_has_no_conflict():
    assert found(shift()) == []


def test_officer_in_two_vehicles_at_once_is_refused_and_named():
    other = shift("s2", "2027-03-10 15:00", "2027-03-10 20:00", vehicle="unit-02")
    (conflict,) = Planner(RESOURCES, SETTINGS, [shift(), other]).conflicts(shift())
    assert conflict.severity is Severity.REFUSED
    assert (conflict.kind, conflict.other) == ("two_vehicles", "s2")
    assert conflict.text == "4711 would be in unit-01 and unit-02 at once"


def test_change_of_vehicle_within_a_shift_is_compared_part_by_part():
    """The vehicle is left before the other shift in it begins."""
    noon = parse_time("2027-03-10 12:00", CHICAGO)
    first = shift()
    moved = replace(first, assignments=(*first.assignments, Assignment(noon, vehicle="unit-02")))
    crew = [
        shift(f"crew{n}", "2027-03-10 13:00", "2027-03-10 15:00", badge=f"b{n}", vehicle="unit-01")
        for n in range(4)
    ]
    assert ("refused", "vehicle") in found(first, *crew)
    assert found(moved, *crew) == []


def test_same_person_twice_at_once_is_refused_in_one_vehicle_too():
    assert found(shift(), shift("s2", "2027-03-10 15:00", "2027-03-10 20:00")) == [("refused", "double")]


def test_overlap_of_two_people_in_one_vehicle_is_allowed():
    assert found(shift(), shift("s2", "2027-03-10 14:00", "2027-03-11 00:00", badge="4712")) == []


def test_same_equipment_at_once_is_warned_of():
    other = shift("s2", badge="4712", vehicle="unit-02", equipment=("rifle-3",))
    assert found(shift(equipment=("rifle-3",)), other) == [("warning", "equipment")]


def test_crew_in_one_vehicle_shares_its_equipment():
    other = shift("s2", badge="4712", equipment=("rifle-3",))
    assert found(shift(equipment=("rifle-3",)), other) == []


@pytest.mark.parametrize("text", ["2027-03-14 03:30", "2027-11-07T01:30-05:00", "2027-11-07T01:30-06:00"])
def test_time_is_shown_in_a_form_as_it_is_typed(text):
    assert typed(parse_time(text, CHICAGO), CHICAGO) == text


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        ("2027-03-20 08:00", "2027-03-20 18:00", []),
        ("2027-03-20 20:00", "2027-03-21 04:00", [("warning", "training")]),
        ("2027-03-21 00:00", "2027-03-21 08:00", [("refused", "training")]),
    ],
)
def test_training_is_valid_until_the_end_of_its_last_day(starts, ends, expected):
    assert found(shift("s1", starts, ends)) == expected


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"badge": "9999"}, "person"),
        ({"badge": "4713"}, "person"),
        ({"zone": "nowhere"}, "zone"),
        ({"vehicle": "unit-09"}, "vehicle"),
        ({"vehicle": "unit-03"}, "vehicle"),
        ({"equipment": ("rifle-9",)}, "equipment"),
        ({"task": "sleep"}, "task"),
        ({"overtime_class": "gold"}, "overtime"),
        ({"hours": (("yoga", 60),)}, "activity"),
        ({"hours": (("patrol", 11 * 3600),)}, "hours"),
        ({"ends": "2027-03-11 06:00"}, "length"),
        ({"ends": "2027-03-10 05:00"}, "times"),
    ],
)
def test_what_cannot_be_planned_is_refused(changed, kind):
    assert ("refused", kind) in found(shift(**changed))


def test_short_rest_and_long_week_are_warned_of():
    evening = shift("s2", "2027-03-10 20:00", "2027-03-11 02:00")
    assert found(shift(), evening) == [("warning", "rest")]
    week = [shift(f"d{day}", f"2027-03-{day:02} 06:00", f"2027-03-{day:02} 16:00") for day in (8, 9, 11, 12)]
    assert found(shift(), *week) == [("warning", "week")]
    assert found(shift(overtime_class="scheduled"), *week) == []


def test_night_in_which_the_clocks_go_forward_has_an_hour_less():
    night = shift("s1", "2027-03-13 22:00", "2027-03-14 06:00")
    assert night.length_s == 7 * 3600
    (conflict,) = Planner(RESOURCES, SETTINGS, [night]).conflicts(night)
    assert (conflict.severity, conflict.text) == (Severity.NOTE, "the clocks change: it takes 7 h, not 8 h")
    back = shift("s2", "2027-11-06 22:00", "2027-11-07 06:00", badge="4712")
    assert back.length_s == 9 * 3600


def test_activities_longer_than_the_real_night_are_refused():
    night = shift("s1", "2027-03-13 22:00", "2027-03-14 06:00", hours=(("patrol", 8 * 3600),))
    assert ("refused", "hours") in found(night)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2027-03-14 02:30", "does not exist in America/Chicago"),
        (
            "2027-11-07 01:30",
            "happens twice in America/Chicago, .* 2027-11-07T01:30-05:00 or 2027-11-07T01:30-06:00",
        ),
        ("tomorrow", "is no time"),
        ("0001-01-01 00:00", "cannot be planned"),
        ("9999-12-31 23:00", "cannot be planned"),
    ],
)
def test_times_that_are_none_are_refused(text, said):
    with pytest.raises(DeploymentError, match=said):
        parse_time(text, CHICAGO)


def test_time_that_happens_twice_is_taken_with_its_distance_from_utc():
    first, second = (parse_time(f"2027-11-07T01:30{offset}", CHICAGO) for offset in ("-05:00", "-06:00"))
    assert second - first == H_US
    assert shown(first, CHICAGO) == "2027-11-07 01:30 -05:00"


@given(st.integers(0, 4_000_000_000_000_000), st.integers(0, 86_400_000_000))
def test_length_by_the_clock_and_real_length_differ_by_the_change_alone(starts_us, length_us):
    """Whole seconds apart, at most by the hour that the clocks change."""
    apart = clock_s(starts_us, starts_us + length_us, CHICAGO) - length_us / 1e6
    assert min(abs(apart - change) for change in (-3600, 0, 3600)) <= 0.5


def test_plan_becomes_a_roster_with_the_assignment_of_the_moment():
    noon = parse_time("2027-03-10 12:00", CHICAGO)
    first = shift()
    moved = replace(
        first, assignments=(*first.assignments, Assignment(noon, checkpoint="cp-1", vehicle="unit-02"))
    )
    roster = make_roster(RESOURCES, SETTINGS, [moved, replace(first, id="s9", cancelled=True)], first.starts_us)
    assert [(one.id, one.zone, one.vehicle) for one in roster.shifts] == [("s1", "north", "unit-01")]
    later = make_roster(RESOURCES, SETTINGS, [moved], noon)
    assert [(one.checkpoint, one.vehicle) for one in later.shifts] == [("cp-1", "unit-02")]
    assert [officer.badge for officer in roster.officers] == ["4711", "4712"]
    assert roster.vehicles == ("unit-01", "unit-02")
    expires = dt.datetime(2027, 3, 21, 0, tzinfo=CHICAGO)
    assert roster.officers[0].training_expires_s == round(expires.timestamp())


def test_missed_shifts_are_counted_once_they_have_ended():
    one = shift()
    (row,) = sum_hours([one], [], HoursBy.PERSON, CHICAGO, one.ends_us - 1)
    assert (row.planned, row.missed) == (1, 0)
    (row,) = sum_hours([one], [], HoursBy.PERSON, CHICAGO, one.ends_us)
    assert (row.name, row.missed, row.planned_s) == ("4711", 1, 36_000)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: check_person(Person("no spaces please", "A")),
        lambda: check_person(Person("1", "A\x1b[31m")),
        lambda: check_person(Person("1", "A", rights=("king",))),
        lambda: check_person(Person("1", "A", pin="1234")),
        lambda: check_asset(Asset("a", "boat")),
        lambda: check_asset(Asset("a", "equipment", unit="unit-01")),
        lambda: check_settings(Settings(time_zone="../../etc/passwd")),
        lambda: check_settings(Settings(time_zone="Mars/Base")),
        lambda: check_settings(Settings(overtime_classes=())),
        lambda: check_settings(Settings(activities=("Not a code",))),
    ],
)
def test_values_that_a_roster_could_not_have_are_refused(wrong):
    with pytest.raises(DeploymentError):
        wrong()


def test_hash_of_a_pin_is_not_in_the_text_of_a_person():
    assert "argon2" not in repr(Person("1", "A", pin="$argon2id$secret"))

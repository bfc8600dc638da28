"""What every back end of the station's store promises about searches."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.errors import StoreError
from station.store import find
from station.store.find import max_looked_at
from station.store.search import Circle, Polygon, ReadSearch, boxes, is_inside
from tests.builders import UTC_NS, WHERE, make_read_record
from tests.contract.test_station_store import (  # noqa: F401 - fixtures among them
    DAY_US,
    NO_TIME,
    NOW_US,
    UNIT,
    anchor,
    commands,
    make,
    store,
)
from tests.station_files import add

if TYPE_CHECKING:
    from station.store import Store

MADE_US = UTC_NS // 1000
PLATES = ("7ABC123", "7ABD123", "XYZ1", "A_B%C", "ABC")


def found(station: Store, *plates: str, limit: int = 50, **asked: object) -> list[int]:
    return [f.row.seq for f in station.find(ReadSearch(plates, **asked), limit=limit).reads]


@pytest.fixture
def filled(store: Store) -> Store:  # noqa: F811
    records = [
        make_read_record(number, seq=number, text=text, alternatives=(), pictures=())
        for number, text in enumerate(PLATES, start=1)
    ]
    add(store, *records, now_us=NOW_US)
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plates", "seqs"),
    [
        ((), [5, 4, 3, 2, 1]),
        (("7ABC123",), [1]),
        (("XYZ1", "ABC"), [5, 3]),
        (("*ABC*",), [5, 1]),
        (("7AB?123",), [2, 1]),
        (("?ABC*",), [1]),
        (("A_B%C",), [4]),
        (("A_B%*",), [4]),
        (("%",), []),
        (("_*",), []),
        (("abc",), []),
        (("*abc*",), []),
        (("ABC", "7*"), [5, 2, 1]),
    ],
)
def test_plates_are_found_whole_or_with_wildcards(filled, plates, seqs):
    """Only `*` and `?` are wildcards, whatever the database's own are."""
    assert sorted(found(filled, *plates), reverse=True) == seqs


def test_conditions_are_joined(store):  # noqa: F811
    """Region, unit, camera, confidence and time; each excludes what does not meet it."""
    fits = {"region": "US-NY", "camera": "rear", "confidence_e4": 9000}
    misfits = ({"region": "US-NJ"}, {"camera": "front"}, {"confidence_e4": 8999})
    records = [make_read_record(1, seq=1, **fits)]
    records += [make_read_record(n, seq=n, **{**fits, **other}) for n, other in enumerate(misfits, start=2)]
    records.append(make_read_record(1, seq=1, unit="unit-08", **fits))
    add(store, *records, now_us=NOW_US)
    asked = {"region": "US-NY", "camera": "rear", "min_confidence_e4": 9000, "unit": UNIT}
    made_us = records[0].body.utc_us
    assert found(store, **asked) == [1]
    assert found(store, **asked, since_us=made_us, until_us=made_us) == [1]
    assert found(store, **asked, since_us=made_us + 1) == found(store, **asked, until_us=made_us - 1) == []


def test_pages_are_whole_while_reads_come(store):  # noqa: F811
    """Also among reads of the same microsecond; a page starts after the last one found."""
    one = make_read_record(1).body
    records = [
        make_read_record(n, seq=n, utc_us=one.utc_us, mono_us=one.mono_us, pictures=()) for n in range(1, 24)
    ]
    add(store, *records, now_us=NOW_US)
    seqs, page = [], store.find(ReadSearch(), limit=5)
    while page.reads:
        seqs += [f.row.seq for f in page.reads]
        add(store, make_read_record(100 + len(seqs), seq=100 + len(seqs), pictures=()), now_us=NOW_US)
        if page.after is None:
            break
        page = store.find(ReadSearch(), limit=5, after=page.after)
    assert sorted(seqs) == list(range(1, 24))


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({}, lambda _: True),
        ({"unit": "unit-08"}, lambda n: n % 2 == 0),
        ({"area": Circle(WHERE.lat_deg, WHERE.lon_deg, 50.0)}, lambda n: n <= 30),
    ],
    ids=["all", "unit", "area"],
)
def test_several_plates_are_paged_in_either_order(store, ascending, asked, fits):  # noqa: F811
    """As for one: the other conditions, the order, and where the next page begins."""
    far = replace(WHERE, lat_deg=WHERE.lat_deg + 1.0)
    records = [
        make_read_record(
            n,
            seq=n,
            unit=f"unit-0{7 + (n % 2 == 0)}",
            text=PLATES[n % 5],
            where=WHERE if n <= 30 else far,
            pictures=(),
        )
        for n in range(1, 41)
    ]
    add(store, *records, now_us=NOW_US)
    search = ReadSearch(PLATES[:3], ascending=ascending, **asked)
    seqs, page = [], store.find(search, limit=4)
    while page.reads:
        seqs += [f.row.seq for f in page.reads]
        if page.after is None:
            break
        page = store.find(search, limit=4, after=page.after)
    assert seqs == sorted((n for n in range(1, 41) if n % 5 < 3 and fits(n)), reverse=not ascending)


def test_a_read_without_a_time_is_found_by_that_of_its_anchor(store):  # noqa: F811
    """By the time of receipt until then; a nearer anchor moves it again, and a purge deletes it."""
    undated = make_read_record(10, seq=10, when=NO_TIME, pictures=())
    mono_us = undated.body.mono_us
    add(store, undated, now_us=NOW_US)
    assert found(store, since_us=NOW_US, until_us=NOW_US) == [10]
    for number, distance_us in enumerate((900_000_000, 2_000_000)):
        add(store, anchor(number, mono_us + distance_us, MADE_US + 10 * distance_us), now_us=NOW_US)
        expected_us = MADE_US + 9 * distance_us
        assert found(store, since_us=expected_us, until_us=expected_us) == [10]
    add(store, make_read_record(11, seq=11, when=NO_TIME, pictures=()), now_us=NOW_US)
    assert found(store, until_us=MADE_US + 9 * 2_000_000 + 60_000_000) == [11, 10], "dated when it came"
    assert commands(store, NOW_US + 31 * DAY_US).purge(30).records == 2
    assert found(store) == []


def at(number: int, lat: float, lon: float):
    where = replace(WHERE, lat_deg=lat, lon_deg=lon)
    return make_read_record(number, seq=number, where=where, pictures=())


def test_places_are_found_by_circle_and_polygon(store):  # noqa: F811
    """The exact shape, not its bounds; also across the 180th meridian and around a pole."""
    add(
        store,
        at(1, 45.0, -100.0),
        at(2, 45.0009, -100.0),  # 100 m to the north
        at(3, 45.00085, -99.9988),  # within the bounds of 100 m, outside the circle
        at(4, 0.0, 179.9995),
        at(5, 0.0, -179.9995),
        at(6, 89.9999, 30.0),
        at(7, 89.9999, -150.0),
        make_read_record(8, seq=8, where=replace(WHERE, lat_deg=None, lon_deg=None), pictures=()),
        now_us=NOW_US,
    )
    assert found(store, area=Circle(45.0, -100.0, 101.0)) == [2, 1]
    assert found(store, area=Circle(45.0, -100.0, 150.0)) == [3, 2, 1]
    assert found(store, area=Circle(0.0, 180.0, 100.0)) == found(store, area=Circle(0.0, -180.0, 100.0)) == [5, 4]
    assert found(store, area=Circle(89.9999, 0.0, 30.0)) == [7, 6]
    triangle = Polygon(((44.99, -100.01), (45.01, -100.01), (45.0, -99.999)))
    assert found(store, area=triangle) == [2, 1]


TRIANGLE = Polygon(((44.0, -101.0), (46.0, -101.0), (44.0, -99.0)))
"""Of its bounds, the north-east is outside."""


@pytest.mark.parametrize("ascending", [False, True])
def test_a_page_of_an_area_looks_at_a_bounded_number_of_reads(store, monkeypatch, ascending):  # noqa: F811
    """It says up to which time it is complete, and the next one goes on: nothing is lost, whatever lies around."""
    monkeypatch.setattr(find, "_PAGE", 3)
    monkeypatch.setattr(find, "_MAX_LOOKED_AT", 10)
    inside = {1, 2, 20, 40}
    add(store, *(at(n, *((44.5, -100.8) if n in inside else (45.9, -99.1))) for n in range(1, 41)), now_us=NOW_US)
    looked_at = []
    keys = store._finder._keys
    monkeypatch.setattr(store._finder, "_keys", lambda *asked: looked_at.append(keys(*asked)) or looked_at[-1])
    search = ReadSearch(area=TRIANGLE, ascending=ascending)
    seqs, after, pages = [], None, 0
    while pages == 0 or after is not None:
        looked_at.clear()
        page = store.find(search, limit=2, after=after)
        assert sum(map(len, looked_at)) <= 10
        seqs += [f.row.seq for f in page.reads]
        assert page.is_cut == (len(page.reads) < 2 and page.after is not None)
        after, pages = page.after, pages + 1
    assert seqs == sorted(inside, reverse=not ascending)
    assert pages > 3


def test_a_page_that_was_cut_is_complete_up_to_its_end(store, monkeypatch):  # noqa: F811
    """Also if nothing was found."""
    monkeypatch.setattr(find, "_PAGE", 3)
    monkeypatch.setattr(find, "_MAX_LOOKED_AT", 4)
    add(store, *(at(n, 44.5, -100.8) if n == 1 else at(n, 45.9, -99.1) for n in range(1, 9)), now_us=NOW_US)
    first = store.find(ReadSearch(area=TRIANGLE), limit=5)
    assert (first.reads, first.is_cut) == ([], True)
    last = store.find(ReadSearch(), limit=4).reads[-1]
    assert first.after == (last.made_us, last.row.unit, last.row.record_id)
    second = store.find(ReadSearch(area=TRIANGLE), limit=5, after=first.after)
    assert [f.row.seq for f in second.reads] == [1]


def test_fewer_positions_are_compared_with_a_shape_of_many_corners():
    corners = tuple((45 + math.sin(n / 500 * math.pi), math.cos(n / 500 * math.pi)) for n in range(1000))
    assert max_looked_at(Polygon(corners)) == 2_000
    assert max_looked_at(TRIANGLE) == max_looked_at(Circle(0, 0, 5)) == 20_000


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(1, 100_000), st.floats(0, 1.0), st.floats(0, 6.2831853))
def test_bounds_of_a_circle_contain_it(lat, lon, radius_m, share, angle):
    """Whatever the index excludes lies outside."""
    area = Circle(lat, lon, radius_m)
    away = share * radius_m / 6_371_008.8
    lat0 = math.radians(lat)
    lat1 = math.asin(math.sin(lat0) * math.cos(away) + math.cos(lat0) * math.sin(away) * math.cos(angle))
    turn = math.atan2(
        math.sin(angle) * math.sin(away) * math.cos(lat0), math.cos(away) - math.sin(lat0) * math.sin(lat1)
    )
    lat_e7 = round(math.degrees(lat1) * 1e7)
    lon_e7 = round(((lon + math.degrees(turn) + 540) % 360 - 180) * 1e7)
    if is_inside(area, lat_e7, lon_e7):
        assert any(box.south <= lat_e7 <= box.north and box.west <= lon_e7 <= box.east for box in boxes(area))


def test_impossible_searches_are_errors(store):  # noqa: F811
    """With what to do."""
    for wrong in (lambda: Circle(91, 0, 1), lambda: Circle(0, 0, 1e6), lambda: Polygon(((0, 0), (1, 1)))):
        with pytest.raises(StoreError):
            wrong()
    with pytest.raises(StoreError, match="1 to 10,000"):
        store.find(ReadSearch(), limit=0)

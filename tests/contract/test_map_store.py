"""What every back end of the station's store promises about maps and hits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest

from protocol.wire.enums import DispositionAction, HitPriority, HitStage, TimeSource
from protocol.wire.parts import TimeQuality
from protocol.wire.records.track_point import TrackPoints
from station.asker import Asker, Scope
from station.query.clusters import cell_e7, clusters_of
from station.query.ledger import LedgerQuery
from station.query.maps import Bounds, MapQuery
from station.query.places import UnitPlaces
from station.store import map_finder
from station.store.hit_search import HitSearch
from station.store.map_search import MapWindow, PlacedRead
from station.store.postgres import map_finder as postgres_map_finder
from station.store.rows import AuditRow, AuditSearch
from station.store.search import Box
from tests.builders import UTC_NS, WHERE, make_read_record, make_record
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
from tests.hit_builders import make_disposition, make_hit_body
from tests.station_files import add

MADE_US = UTC_NS // 1000
EVERYWHERE = Bounds(-90, -180, 90, 180)
ACTION = DispositionAction


def hit_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def records(*bodies, unit=UNIT, first=1):
    return [make_record(body, seq=seq, unit=unit) for seq, body in enumerate(bodies, first)]


def states(station, **asked):
    found = station.find_hits(HitSearch(**asked), limit=100)
    return [(int.from_bytes(one.hit_id, "big"), one.state) for one in found]


def a_hit(number: int, *, at_us: int = MADE_US, **other):
    return make_hit_body(hit_id=hit_id(number), utc_us=at_us + number, **other)


# What became of hits


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_hit_ends_alike_in_any_order_of_arrival(store, order):  # noqa: F811
    """Stages and decisions may come in any order, and one by one."""
    made = records(
        a_hit(1), a_hit(1, stage=HitStage.FINAL, list_version=18),
        make_disposition(ACTION.ACKNOWLEDGED, hit_id=hit_id(1)), make_disposition(ACTION.REJECTED, hit_id=hit_id(1)),
    )  # fmt: skip
    for place in order:
        add(store, made[place], now_us=NOW_US)
    (found,) = store.find_hits(HitSearch(), limit=10)
    assert (found.state, found.reason, found.list_version) == ("rejected", "misread", 18)
    (whole,) = store.hit_records([found])
    assert [row.seq for row in (*whole.stages, *whole.decisions)] == [1, 2, 3, 4]


def test_decisions_without_a_hit_are_kept_for_it(store):  # noqa: F811
    """The hit may come days later."""
    add(store, *records(make_disposition(hit_id=hit_id(1)), first=2), now_us=NOW_US)
    assert states(store) == []
    add(store, *records(a_hit(1)), now_us=NOW_US + DAY_US)
    assert states(store) == [(1, "confirmed")]


def test_equal_ids_of_two_units_are_two_hits(store):  # noqa: F811
    add(store, *records(a_hit(1)), *records(a_hit(1), unit="unit-08"), now_us=NOW_US)
    add(store, *records(make_disposition(hit_id=hit_id(1)), unit="unit-08", first=2), now_us=NOW_US)
    assert states(store, unit=UNIT) == [(1, "new")]
    assert states(store, unit="unit-08") == [(1, "confirmed")]


@pytest.fixture
def filled(store):  # noqa: F811
    """Six hits of two lists: 1 new, 2 acknowledged, 3 confirmed and recovered, 4 rejected, 5 withdrawn, 6 expired."""
    other = {
        "list_id": "county",
        "list_name": "County",
        "list_owner": "Example County",
        "priority": HitPriority.LOW,
    }
    bodies = [
        a_hit(1), a_hit(2), a_hit(3), a_hit(4, **other), a_hit(5, stage=HitStage.WITHDRAWN, **other), a_hit(6, **other),
        make_disposition(ACTION.ACKNOWLEDGED, hit_id=hit_id(2)), make_disposition(hit_id=hit_id(3)),
        make_disposition(ACTION.OUTCOME, hit_id=hit_id(3)), make_disposition(ACTION.REJECTED, hit_id=hit_id(4)),
        make_disposition(ACTION.EXPIRED, hit_id=hit_id(6)),
    ]  # fmt: skip
    add(store, *records(*bodies), now_us=NOW_US)
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"list_id": "county"}, [6, 5, 4]),
        ({"list_owner": "Example State Police"}, [3, 2, 1]),
        ({"states": ("new", "acknowledged")}, [2, 1]),
        ({"outcome": "recovered"}, [3]),
        ({"reason": "misread"}, [4]),
        ({"unit": "unit-08"}, []),
        ({"since_us": MADE_US + 3, "until_us": MADE_US + 4}, [4, 3]),
        ({"boxes": (Box(449_000_000, -1_001_000_000, 451_000_000, -999_000_000),)}, [6, 5, 4, 3, 2, 1]),
        ({"boxes": (Box(0, 0, 1, 1),)}, []),
        ({"list_id": "' OR 1=1 --"}, []),
    ],
)
def test_hits_are_found_by_what_became_of_them(filled, asked, numbers):
    assert [number for number, _ in states(filled, **asked)] == numbers


def test_pages_of_hits_are_whole(filled):
    found, after = [], None
    while page := filled.find_hits(HitSearch(), limit=4, after=after):
        found += [one.hit_id for one in page]
        after = page[-1].place
    assert found == [hit_id(number) for number in (6, 5, 4, 3, 2, 1)]


def test_ledger_counts_hits_by_list_and_owner(filled):
    """Each hit once, whatever number of records it has."""
    query = LedgerQuery(filled, Asker("tester"), lambda: NOW_US)
    county, stolen = sorted(query.yields(HitSearch()), key=lambda one: one.list_id)
    assert (stolen.hits, stolen.undecided, stolen.wrong, stolen.outcomes) == (3, 2, 0, Counter(recovered=1))
    assert (county.hits, county.undecided, county.wrong, county.reasons) == (3, 0, 2, Counter(misread=1))
    assert county.states == Counter(rejected=1, withdrawn=1, expired=1)
    assert query.audit_trail()[-1].what == "count hits"


@pytest.mark.slow
def test_one_hit_is_shown_with_its_records(filled):
    query = LedgerQuery(filled, Asker("tester"), lambda: NOW_US)
    found = query.hit_file(UNIT, hit_id(3))
    assert (found.hit.state, found.hit.outcome, len(found.stages), len(found.decisions)) == (
        "confirmed", "recovered", 1, 2,
    )  # fmt: skip
    assert query.hit_file(UNIT, hit_id(99)) is None
    foreign = LedgerQuery(filled, Asker("other", scope=Scope(frozenset({"Other"}))), lambda: NOW_US)
    assert foreign.hit_file(UNIT, hit_id(3)) is None, "what may not be seen looks as if it were not there"
    assert foreign.hit_page(HitSearch(), limit=10).hits == []
    assert foreign.yields(HitSearch()) == []


def test_a_hit_without_a_time_moves_with_its_time_anchor(store):  # noqa: F811
    undated = a_hit(1).model_copy(
        update={"utc_us": None, "time": TimeQuality(source=TimeSource.NONE, uncertainty_ms=None)}
    )
    add(store, *records(undated), now_us=NOW_US)
    assert store.find_hits(HitSearch(), limit=1)[0].made_us == NOW_US
    add(store, anchor(50, undated.mono_us, MADE_US + 77), now_us=NOW_US)
    assert store.find_hits(HitSearch(), limit=1)[0].made_us == MADE_US + 77


def test_a_purge_deletes_what_became_of_a_hit(filled):
    """The newer ones stay."""
    add(filled, *records(a_hit(9, at_us=NOW_US + 20 * DAY_US), first=50), now_us=NOW_US + 20 * DAY_US)
    commands(filled, NOW_US + 31 * DAY_US).purge(30)
    assert states(filled) == [(9, "new")]


def test_rows_are_made_when_the_type_becomes_known(make):  # noqa: F811
    """A station that did not know hits has stored them as they are."""
    from protocol.wire.registry import Registry  # noqa: PLC0415 - of this test alone

    old = make(registry=Registry(()))
    add(old, *records(a_hit(1), make_disposition(hit_id=hit_id(1))), now_us=NOW_US)
    old.close()
    assert states(make()) == [(1, "confirmed")]


# Reads on a map


def at(number: int, lat: float, lon: float, **other):
    where = replace(WHERE, lat_deg=lat, lon_deg=lon)
    return make_read_record(number, seq=number, where=where, pictures=(), **other)


def window(*boxes, since_us=0, until_us=2**60):
    return MapWindow(boxes or EVERYWHERE.boxes(), since_us, until_us)


@pytest.fixture
def spread(store):  # noqa: F811
    add(
        store, at(1, 45.0, -100.0), at(2, 45.1, -100.1), at(3, -10.0, 179.9), at(4, -10.0, -179.9),
        at(5, 45.0, -100.0, unit="unit-08"),
        make_read_record(6, seq=6, where=replace(WHERE, lat_deg=None, lon_deg=None), pictures=()), now_us=NOW_US,
    )  # fmt: skip
    return store


def numbers(found):
    return [int.from_bytes(read.record_id, "big") for read in found.reads]


@pytest.fixture(params=["by place", "by time"])
def way(request, monkeypatch):
    """A box with more reads than may be looked at by place is searched by time."""
    if request.param == "by time":
        monkeypatch.setattr(map_finder, "_MAX_BY_PLACE", 0)
        monkeypatch.setattr(postgres_map_finder, "_MAX_BY_PLACE", 0)


def test_reads_are_found_by_place_and_time(spread, way):
    """Reads without a position are nowhere; a box may cross the 180th meridian."""
    assert numbers(spread.reads_in(window(), limit=10)) == [5, 4, 3, 2, 1]
    here = Bounds(44.9, -100.05, 45.05, -99.9).boxes()
    assert numbers(spread.reads_in(window(*here), limit=10)) == [5, 1]
    across = Bounds(-11, 179, -9, -179).boxes()
    assert numbers(spread.reads_in(window(*across), limit=10)) == [4, 3]
    assert numbers(spread.reads_in(window(), limit=10, scope=Scope(units=frozenset({"unit-08"})))) == [5]
    assert numbers(spread.reads_in(window(), limit=10, scope=Scope(frozenset({"Other"})))) == []
    second = 1_000_000
    found = spread.reads_in(window(since_us=MADE_US + 2 * second, until_us=MADE_US + 3 * second), limit=10)
    assert numbers(found) == [3, 2]
    assert found.complete_since_us is None


def test_too_many_reads_are_the_latest_and_it_is_said_since_when(spread, way):
    found = spread.reads_in(window(), limit=2)
    assert numbers(found) == [5, 4]
    assert found.complete_since_us == MADE_US + 4_000_000


def test_a_purged_read_is_not_on_the_map(spread, way):
    commands(spread, NOW_US + 31 * DAY_US).purge(30)
    assert numbers(spread.reads_in(window(), limit=10)) == []


def test_a_map_shows_few_reads_and_clusters_of_many(spread, monkeypatch):
    """With the error of each position."""
    query = MapQuery(spread, Asker("tester", "patrol", "26-1"), lambda: NOW_US, UnitPlaces(spread, lambda: NOW_US))
    few = query.map_reads(EVERYWHERE, since_us=0, until_us=NOW_US)
    assert [(read.text, read.error_m) for read in few.reads] == [("7ABC123", 4.5)] * 5
    monkeypatch.setattr("station.query.maps.MAX_POINTS", 2)
    many = query.map_reads(EVERYWHERE, since_us=0, until_us=NOW_US)
    assert many.reads == []
    assert sorted(cluster.count for cluster in many.clusters) == [1, 1, 3]
    entry = query.audit_trail()[-1]
    assert (entry.what, entry.count, entry.purpose, entry.case_number) == (
        "show map of reads",
        5,
        "patrol",
        "26-1",
    )
    assert entry.filter == f"area={EVERYWHERE} since_us=0 until_us={NOW_US}"


# Where units are


def test_units_are_where_they_were_last(store):  # noqa: F811
    """By reads and track points, whichever is later; a unit without either is known all the same."""
    add(store, at(1, 45.0, -100.0), at(2, 45.2, -100.2), at(3, 44.0, -99.0, unit="unit-08"), now_us=NOW_US)
    track = TrackPoints(
        shift_id=None, utc_us=MADE_US + 60_000_000, time=TimeQuality(source=TimeSource.GNSS, uncertainty_ms=100),
        mono_us=60_000_000,
        points=((0, 441_000_000, -991_000_000, 500, None), (1000, 442_000_000, -992_000_000, 600, 1500)),
        retention={"policy_class": "track"},
    )  # fmt: skip
    add(store, make_record(track, seq=4, unit="unit-08"), now_us=NOW_US)
    with store.transaction():
        store.note_seen(["unit-07", "unit-08", "unit-09"], NOW_US)
    now = lambda: NOW_US + 1_000_000  # noqa: E731 - a clock
    query = MapQuery(store, Asker("tester"), now, UnitPlaces(store, now))
    seventh, eighth, ninth = query.unit_places()
    assert (seventh.lat_deg, seventh.source, seventh.error_m) == (45.2, "read", 4.5)
    assert seventh.utc_us == MADE_US + 2_000_000
    assert (eighth.lat_deg, eighth.source, eighth.error_m, eighth.speed_mps) == (44.2, "track_point", 6.0, 15.0)
    assert eighth.utc_us == MADE_US + 61_000_000
    assert (ninth.lat_deg, ninth.utc_us, ninth.seen_us) == (None, None, NOW_US)
    assert query.audit_trail()[-1].what == "show places of units"


def test_cells_stay_where_they_are_when_the_map_moves():
    """The same reads are the same clusters."""
    reads = [PlacedRead("u", bytes(16), 0, n, 450_000_000 + 1000 * n, -1_000_000_000) for n in range(100)]
    one, other = (cell_e7(Bounds(45.0 + d, -100.5 + d, 45.1 + d, -100.2 + d).boxes()) for d in (0, 0.0123))
    assert one == other
    assert sum(cluster.count for cluster in clusters_of(reads, one)) == 100


def test_hits_and_entries_of_the_trail_are_paged_in_either_order(store):  # noqa: F811
    """Each once, also those of one moment."""
    add(store, *records(*(a_hit(n, at_us=MADE_US - n * (n % 2)) for n in range(1, 8))), now_us=NOW_US)
    with store.transaction():
        for number in range(7):
            store.audit(AuditRow(NOW_US, "clerk", "look", str(number), 0))
    for ascending in (False, True):
        hits, after = [], None
        while page := store.find_hits(HitSearch(ascending=ascending), limit=2, after=after):
            hits += [one.place for one in page]
            after = page[-1].place
        assert hits == sorted(hits, reverse=not ascending)
        assert len(set(hits)) == 7
        entries, before = [], None
        while found := store.audit_page(AuditSearch(who="clerk", ascending=ascending), limit=3, before=before):
            entries += [int(row.filter) for _, row in found]
            before = found[-1][0]
        assert entries == sorted(range(7), reverse=not ascending)

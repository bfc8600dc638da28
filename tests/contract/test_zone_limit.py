"""An account that is limited to zones: what was made elsewhere does not exist for it, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from protocol.seal import KeyRing
from protocol.wire.enums import DispositionAction, HitStage, PictureKind
from protocol.wire.records.track_point import TrackPoints
from station.accounts.accounts import Accounts
from station.accounts.passwords import Passwords
from station.asker import EVERYTHING, Asker, Scope
from station.deployment.model import Checkpoint
from station.deployment.zones import make_zone
from station.errors import AccountError, ScopeError
from station.planning import Planning
from station.query import Query
from station.query.deployment import DeploymentQuery
from station.query.evidence import EvidenceOf
from station.query.ledger import LedgerQuery
from station.query.maps import Bounds, MapQuery
from station.query.places import UnitPlaces
from station.query.trail import Trail
from station.store import open_store
from station.store.hit_search import HitSearch
from station.store.rows_accounts import AccountRow, ExportRow
from station.store.scope import scope_columns, scope_of
from station.store.search import Circle, Polygon, ReadSearch
from tests.builders import UTC_NS, WHERE, make_picture, make_read_record, make_record, place_of
from tests.hit_builders import make_disposition, make_hit_body
from tests.shift_builders import make_coverage, make_incident, make_track_points
from tests.station_files import add
from tests.station_web import CHEAP

MADE_US = UTC_NS // 1000
NOW_US = MADE_US + 60_000_000
UNIT = "unit-07"
HOME = make_zone("home", "Home", ((44.9, -100.1), (44.9, -99.9), (45.1, -99.9), (45.1, -100.1)))
TRIANGLE = make_zone("triangle", "Triangle", ((46.0, -100.0), (46.0, -99.0), (47.0, -100.0)))
IN_TRIANGLE, IN_ITS_BOUNDS, FAR = (46.2, -99.9), (46.9, -99.1), (47.5, -101.0)
EVERYWHERE = Bounds(-90, -180, 90, 180)
WHY = ("stolen vehicle", "26-014")


def at(lat_deg: float, lon_deg: float):
    return replace(WHERE, lat_deg=lat_deg, lon_deg=lon_deg)


def hit_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def places():
    """Where the reads 1 to 6 were made: two at home, one in the triangle, one near it, one far away, one nowhere."""
    return (
        WHERE,
        WHERE,
        at(*IN_TRIANGLE),
        at(*IN_ITS_BOUNDS),
        at(*FAR),
        replace(WHERE, lat_deg=None, lon_deg=None),
    )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def store(request, tmp_path):
    is_file = request.param == "sqlite"
    opened = open_store(tmp_path / "station.db" if is_file else request.getfixturevalue("postgres").new_database())
    records = [
        make_read_record(
            number, seq=number, text="7ABC123", alternatives=(), where=where,
            pictures=(make_picture(PictureKind.PLATE, content=b"x"),) if number == 5 else (),
        )
        for number, where in enumerate(places(), 1)
    ]  # fmt: skip
    for number, where in enumerate(places()[:5], 1):
        hit = make_hit_body(
            hit_id=hit_id(number), read_id=hit_id(100 + number), stage=HitStage.FINAL, place=place_of(where),
            pictures=(), utc_us=MADE_US + number,
        )  # fmt: skip
        # The officer decides somewhere else.
        made = make_disposition(DispositionAction.CONFIRMED, hit_id=hit_id(number), place=place_of(at(*FAR)))
        records += [make_record(hit, seq=20 + number), make_record(made, seq=40 + number)]
    add(opened, *records, now_us=NOW_US)
    does = Planning(opened, Asker("sergeant", *WHY), lambda: NOW_US)
    does.put_zones([HOME, TRIANGLE])
    yield opened
    opened.close()


def asker(*zones: str) -> Asker:
    return Asker("jane", *WHY, scope=Scope(zones=frozenset(zones)), must_say_why=True)


def seqs(query: Query, limit: int = 50, **asked) -> list[int]:
    """All pages of a search."""
    found, after = [], None
    while True:
        page = query.search(ReadSearch(**asked), limit=limit, after=after)
        found += [one.seq for one in page.records]
        if page.after is None:
            return found
        after = page.after


def clock() -> int:
    return NOW_US


@pytest.mark.parametrize(
    ("zones", "expected"),
    [(("home",), [2, 1]), (("triangle",), [3]), (("home", "triangle"), [3, 2, 1]), (("gone",), []), ((), [])],
)
def test_a_search_finds_what_was_made_in_the_zones(store, zones, expected):
    """A zone that is not there contains nothing; a read without a position is in none."""
    query = Query(store, asker(*zones), clock)
    assert sorted(seqs(query)) == sorted(expected)
    assert sorted(seqs(query, limit=1, plates=("7ABC123",))) == sorted(expected)
    assert [one.seq for one in query.records()] == sorted(expected)
    assert {one.seq for one in query.export_found("csv", ReadSearch())} == set(expected)


def test_an_area_outside_of_the_zones_finds_nothing_and_tells_no_place_to_go_on(store):
    """The token of a next page would say that there is a read, and when."""
    query = Query(store, asker("home"), clock)
    for area in (Circle(*FAR, 5_000), Polygon(((46, -102), (48, -102), (48, -98)))):
        page = query.search(ReadSearch(area=area), limit=1)
        assert (page.records, page.after) == ([], None)
    page = Query(store, asker("triangle"), clock).search(ReadSearch(area=Circle(*IN_ITS_BOUNDS, 500)), limit=1)
    assert (page.records, page.after) == ([], None)
    assert sorted(seqs(query, area=Circle(45.0, -100.0, 500))) == [1, 2]


def test_a_read_outside_its_pictures_and_its_evidence_do_not_exist(store):
    query = Query(store, asker("home", "triangle"), clock)
    whole = Query(store, Asker("jane", *WHY), clock)
    for number in (4, 5, 6):
        assert query.record(UNIT, hit_id(number)) is None
        stored = whole.record(UNIT, hit_id(number))
        assert query.pictures(stored) == []
        assert query.crops([stored]) == {}
    assert query.picture(UNIT, make_picture(PictureKind.PLATE, content=b"x").sha256) is None
    assert query.record(UNIT, hit_id(3)).seq == 3
    for number, there in ((1, True), (4, False), (5, False), (101, True), (105, False)):
        evidence = EvidenceOf(store, asker("home"), clock, Trail(store, asker("home"), clock))
        package = evidence.package(hit_id(number), KeyRing())
        assert (package is not None) == there, number


def test_hits_outside_are_neither_found_nor_counted(store):
    """A decision that was made elsewhere belongs to its hit."""
    query = LedgerQuery(store, asker("home", "triangle"), clock)
    page = query.hit_page(HitSearch(), limit=2)
    rest = query.hit_page(HitSearch(), limit=2, after=page.after)
    found = [*page.hits, *rest.hits]
    assert [int.from_bytes(one.hit.hit_id, "big") for one in found] == [3, 2, 1]
    assert {one.state for one in found} == {"confirmed"}
    assert rest.after is None
    (yields,) = query.yields(HitSearch())
    assert yields.states == Counter(confirmed=3)
    assert query.hit_file(UNIT, hit_id(5)) is None
    assert len(query.hit_file(UNIT, hit_id(3)).decisions) == 1
    assert query.hit_picture(UNIT, hit_id(5), bytes(32)) is None
    nothing = LedgerQuery(store, asker("gone"), clock)
    assert (nothing.hit_page(HitSearch(), limit=5).hits, nothing.yields(HitSearch())) == ([], [])


def test_a_map_shows_what_is_in_the_zones(store):
    where = UnitPlaces(store, clock)
    span = {"since_us": MADE_US - 10**9, "until_us": NOW_US}
    for zones, reads, hits in ((("home",), {1, 2}, {1, 2}), (("home", "triangle"), {1, 2, 3}, {1, 2, 3})):
        query = MapQuery(store, asker(*zones), clock, where)
        found = query.map_reads(EVERYWHERE, **span)
        assert ({int.from_bytes(one.record_id, "big") for one in found.reads}, found.total) == (reads, len(reads))
        told = query.map_hits(EVERYWHERE, **span)
        assert {int.from_bytes(one.hit_id, "big") for one in told} == hits
        assert {int.from_bytes(one.hit_id, "big") for one in query.latest_hits()} == hits
    outside = MapQuery(store, asker("gone"), clock, where)
    assert outside.map_reads(EVERYWHERE, **span).total == 0
    assert outside.map_hits(EVERYWHERE, **span) == []
    with store.transaction():
        store.note_seen([UNIT], NOW_US)
    seen = {name: [one.unit for one in MapQuery(store, asker(name), clock, where).unit_places()] for name in
            ("home", "triangle")}  # fmt: skip
    assert sum(map(len, seen.values())) <= 1


def test_deployment_is_that_of_the_zones(store):
    """Incidents, coverage by zone, zones; whereabouts, plan and hours are for accounts without a limit."""
    bodies = [make_incident(incident_id=hit_id(n), place=place_of(where)) for n, where in enumerate(places(), 1)]
    add(store, *(make_record(body, seq=60 + n) for n, body in enumerate(bodies)), now_us=NOW_US)
    add(store, make_record(make_coverage(), seq=80), now_us=NOW_US)
    Planning(store, Asker("sergeant", *WHY), clock).put_checkpoint(Checkpoint("gate", "Gate", 475_000_000, 0))
    query = DeploymentQuery(store, asker("home"), clock)
    shown = query.incidents(0, 2**62).rows
    assert {int.from_bytes(row.incident_id, "big") for row in shown} == {1, 2}
    assert query.incident(hit_id(5)) is None
    assert query.incident(hit_id(1)) is not None
    assert {row.name for row in query.coverage(0, 2**62)} <= {"home"}
    assert [zone.id for zone in query.places().resources.zones] == ["home"]
    assert query.places().resources.checkpoints == ()
    for ask in (
        lambda: query.coverage(0, 1, "unit"), lambda: query.coverage(0, 1, "day"),
        lambda: query.where(UNIT, 0, 1), query.people, lambda: query.plan(0, 1), lambda: query.hours(0, 1),
    ):  # fmt: skip
        with pytest.raises(ScopeError):
            ask()


def test_a_track_that_leaves_the_zones_is_not_shown(store):
    """Its points are one record."""
    inside = (0, 450_000_000, -1_000_000_000, 500, None)
    add(
        store,
        make_record(make_track_points(points=(inside,)), seq=90),
        make_record(make_track_points(points=(inside, (1000, 475_000_000, -1_010_000_000, 500, None))), seq=91),
        now_us=NOW_US,
    )
    assert [one.seq for one in Query(store, asker("home"), clock).records(TrackPoints.SCHEMA)] == [90]


def test_zones_are_kept_with_the_account_and_its_exports(store):
    scope = Scope(units=frozenset({UNIT}), zones=frozenset({"home"}))
    export = ExportRow("x", "jane", "csv", "{}", *WHY, NOW_US, "requested", scope=scope)
    with store.transaction():
        store.accounts.put(AccountRow("jane", "Jane", "analyst", scope, NOW_US))
        store.exports.add(export)
    assert store.accounts.get("jane").scope == scope
    assert store.exports.get("x").scope == scope


def test_an_account_needs_zones_that_are_there(store):
    accounts = Accounts(store, clock, Passwords(CHEAP), second_factor=False)
    by = Asker("admin")
    accounts.add(by, "jane", full_name="Jane", role="analyst", scope=Scope(zones=frozenset({"home"})))
    misspelt = Scope(zones=frozenset({"hmoe"}))
    with pytest.raises(AccountError, match="no zone 'hmoe'"):
        accounts.add(by, "joe", full_name="Joe", role="analyst", scope=misspelt)
    with pytest.raises(AccountError, match="no zone"):
        accounts.change(by, "jane", full_name="Jane", role="analyst", scope=misspelt, subject=None)
    assert store.audit_trail()[-1].filter == "account=jane role=analyst zones=home"


def test_a_scope_with_zones_is_within_one_without_and_not_the_other_way_round():
    some, all_places = Scope(zones=frozenset({"a"})), Scope(units=frozenset({UNIT}))
    assert some.is_within(EVERYTHING)
    assert not EVERYTHING.is_within(some)
    assert not all_places.is_within(some)
    assert not some.is_all
    assert some.meet(all_places) == Scope(units=frozenset({UNIT}), zones=frozenset({"a"}))


def test_an_earlier_program_sees_nothing_of_an_account_with_zones():
    """It takes the column for a list of units: none has such a name, and no place is shown by mistake."""
    columns = scope_columns(Scope(zones=frozenset({"home"})))
    assert frozenset(json.loads(columns["units"])) == {"units", "zones"}
    assert scope_of(**columns) == Scope(zones=frozenset({"home"}))
    assert scope_of(**scope_columns(Scope(units=frozenset({UNIT})))) == Scope(units=frozenset({UNIT}))

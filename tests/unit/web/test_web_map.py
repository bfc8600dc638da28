"""Map and leads over HTTP: what each answer has, who gets it, and what strangers may send."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest

from station.asker import Asker, Scope
from station.query.maps import Following
from station.query.places import UnitPlaces
from station.store.map_search import LastPlaces
from station.web.pages.maps import MAX_STREAMS_OF_ONE
from station.web.settings import WebSettings
from tests.station_map import HOSTILE, MADE_US, fill_hostile, fill_map, hit_id, jpeg
from tests.station_web import open_web

ID = "1".rjust(32, "0")
VIEW = {
    "south": -90, "west": -180, "north": 90, "east": 180, "since_us": MADE_US - 10**13, "until_us": MADE_US + 10**13,
}  # fmt: skip
TILES = b"PMTiles\x03" + bytes(500)


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr("station.web.pages.maps.MAX_STEPS", 2)
    monkeypatch.setattr("station.web.pages.maps.STEP_S", 0)
    return open_web(tmp_path / "station.db", fill=fill_map)


def events(answer):
    """Names and contents."""
    parts = [part.split("\n") for part in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def whats(web):
    return [entry.what for entry in web.store.audit_trail()]


@pytest.mark.slow
def test_units_and_leads_are_live(web):
    """An entry at the beginning and one at the end, not one for each look."""
    officer = web.logged_in("officer", why=False)
    (first, told), (second, _) = events(officer.get("/api/1/map/live"))
    assert (first, second) == ("update", "still")
    assert [unit["unit"] for unit in told["units"]] == ["unit-01", "unit-02", "unit-03", "unit-04"]
    assert all(unit["error_m"] == 4.5 and unit["source"] == "read" for unit in told["units"])
    assert whats(web)[-2:] == ["follow map begins", "follow map"]


def test_one_person_does_not_take_all_places_of_maps_that_follow(web):
    officer, other = (web.logged_in("officer", name=name, why=False) for name in ("jane", "joe"))
    officer.get("/map")
    places = web.app.state.unit_places
    for _ in range(MAX_STREAMS_OF_ONE):
        places.enter("jane")
    assert officer.get("/api/1/map/live").status_code == 503
    assert other.get("/api/1/map/live").status_code == 200
    places.leave("jane")
    assert officer.get("/api/1/map/live").status_code == 200
    assert places.followers == MAX_STREAMS_OF_ONE - 1


def test_a_map_is_counted_while_the_database_is_asked_for_places():
    """The event loop counts: all requests would wait for the database with it."""
    counted = []

    class Store:
        def last_places(self, *_):
            counting = threading.Thread(target=lambda: counted.append(places.enter("jane")), daemon=True)
            counting.start()
            counting.join(10)
            return LastPlaces((), ())

    places = UnitPlaces(Store(), lambda: MADE_US)
    assert places.look(Scope()) == []
    assert counted == [None]


def test_a_map_that_nobody_touches_does_not_keep_the_session(web):
    """The page opens its stream again by itself, and asks for leads that have changed."""
    officer = web.logged_in("officer", why=False)
    for _ in range(4):
        web.clock.move(9 * 60)
        officer.get("/api/1/map/live")
        last = officer.get("/api/1/map/hits", params=VIEW, headers={"x-unattended": "yes"})
    assert last.status_code == 401
    assert officer.get("/").status_code == 303


@pytest.mark.parametrize("act", ["disable", "reset", "log out"])
def test_a_map_ends_with_its_session(web, monkeypatch, act):
    monkeypatch.setattr("station.web.pages.maps.MAX_STEPS", 50)
    officer = web.logged_in("officer", name="jane", why=False)
    ends = {
        "disable": lambda: web.accounts.disable(Asker("boss"), "jane"),
        "reset": lambda: web.accounts.reset(Asker("boss"), "jane"),
        "log out": lambda: web.app.state.desk.log_in.log_out(
            web.app.state.desk.log_in.person(officer.cookies["station"])
        ),
    }
    step = Following.step

    def once(following):
        found = step(following)
        ends[act]()
        return found

    monkeypatch.setattr(Following, "step", once)
    assert [name for name, _ in events(officer.get("/api/1/map/live"))] == ["update"]


@pytest.mark.slow
def test_leads_on_the_map_have_no_plate(web):
    officer = web.logged_in("officer", why=False)
    answer = officer.get("/api/1/map/hits", params=VIEW)
    hits = answer.json()["hits"]
    assert [hit["state"] for hit in hits] == [
        "new",
        "acknowledged",
        "confirmed",
        "rejected",
        "expired",
        "withdrawn",
    ]
    assert "7ABC123" not in answer.text
    assert hits[0]["path"] == f"/hits/unit-01/{ID}"


@pytest.mark.slow
def test_reads_are_shown_after_a_purpose(web):
    officer = web.logged_in("officer", why=False)
    assert officer.get("/api/1/map/reads", params=VIEW).status_code == 403
    officer.give_purpose()
    told = officer.get("/api/1/map/reads", params=VIEW).json()
    assert (told["total"], len(told["reads"]), told["complete_since_us"]) == (60, 60, None)
    entry = web.store.audit_trail()[-1]
    assert (entry.what, entry.who, entry.case_number) == ("show map of reads", "a-officer", "26-014")


@pytest.mark.slow
def test_others_agencies_and_units_are_not_on_the_map(web):
    analyst = web.logged_in("analyst", scope=Scope(units=frozenset({"unit-02"})))
    assert {unit["unit"] for unit in analyst.get("/api/1/map/units").json()["units"]} == {"unit-02"}
    assert analyst.get("/api/1/map/hits", params=VIEW).json()["hits"] == []
    assert {read["unit"] for read in analyst.get("/api/1/map/reads", params=VIEW).json()["reads"]} == {"unit-02"}
    assert analyst.get(f"/hits/unit-01/{ID}").status_code == 404
    stranger = web.logged_in("analyst", scope=Scope(frozenset({"Other"})), name="stranger")
    for path, name in (("units", "units"), ("hits", "hits"), ("reads", "reads")):
        assert stranger.get(f"/api/1/map/{path}", params=VIEW).json()[name] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"south": 91}, {"west": -181}, {"north": "nan"}, {"east": "inf"}, {"since_us": "x"}, {"until_us": 2**70},
        {"south": 10, "north": 9}, {"south": None},
    ],
)  # fmt: skip
def test_a_part_of_a_map_that_is_none_is_refused(web, change):
    officer = web.logged_in("officer")
    view = {name: value for name, value in {**VIEW, **change}.items() if value is not None}
    for path in ("hits", "reads"):
        assert officer.get(f"/api/1/map/{path}", params=view).status_code == 422


@pytest.mark.slow
def test_leads_are_counted_by_list_and_found_by_filters(web):
    analyst = web.logged_in("analyst")
    (ledger,) = analyst.get("/api/1/hits/lists").json()["lists"]
    assert (ledger["hits"], ledger["undecided"], ledger["reasons"], ledger["outcomes"]) == (
        6, 2, {"misread": 1}, {"recovered": 1},
    )  # fmt: skip
    page = analyst.get("/hits", params={"state": "undecided"}).text
    assert "2 leads on this page" in page
    assert "State Police" in page
    for query, count in (({"reason": "misread"}, 1), ({"list": "none"}, 0), ({"outcome": "recovered"}, 1)):
        assert len(analyst.get("/api/1/hits", params=query).json()["hits"]) == count
    assert analyst.get("/hits", params={"state": "x"}).status_code == 422


@pytest.mark.slow
def test_pages_of_leads_follow_each_other(web):
    analyst = web.logged_in("analyst")
    found, after = [], ""
    while after is not None:
        told = analyst.get("/api/1/hits", params={"limit": 4, "after": after}).json()
        found += [hit["hit_id"] for hit in told["hits"]]
        after = told["after"]
    assert found == [hit_id(number).hex() for number in range(1, 7)]
    for wrong in ("x", "1.2", f"{2**63}.{ID}.unit-01", "1.zz.unit-01"):
        assert analyst.get("/hits", params={"after": wrong}).status_code == 422


@pytest.mark.slow
def test_a_lead_is_shown_with_evidence_and_decisions(web):
    analyst = web.logged_in("analyst")
    page = analyst.get(f"/hits/unit-01/{hit_id(3).hex()}").text
    for said in (
        "confirmed by Example State Police",
        "recovered",
        "version 17",
        "1 h when the plate was seen",
        "±4 m",
    ):
        assert said in page, said
    assert analyst.get(f"/hits/unit-01/{hit_id(99).hex()}").status_code == 404


@pytest.mark.slow
def test_pictures_of_a_lead_are_its_own(web):
    """A hash that the lead does not name is not served by it, even if the picture is there."""
    analyst = web.logged_in("analyst")
    sha = hashlib.sha256(jpeg()).hexdigest()
    answer = analyst.get(f"/hits/unit-01/{ID}/pictures/{sha}")
    assert (answer.content, answer.headers["content-type"]) == (jpeg(), "image/jpeg")
    assert analyst.get(f"/hits/unit-01/{hit_id(2).hex()}/pictures/{sha}").status_code == 404
    assert analyst.get(f"/hits/unit-02/{ID}/pictures/{sha}").status_code == 404


@pytest.mark.slow
def test_hostile_texts_are_texts(tmp_path):
    web = open_web(tmp_path / "station.db", fill=fill_hostile)
    analyst = web.logged_in("analyst")
    (hit,) = analyst.get("/api/1/hits").json()["hits"]
    for path in ("/hits", f"/hits/unit-07/{hit['hit_id']}", "/map"):
        page = analyst.get(path)
        assert page.status_code == 200
        assert "<img src=x" not in page.text
    assert HOSTILE in analyst.get("/api/1/hits/lists").json()["lists"][0]["owner"]


@pytest.mark.slow
def test_the_agencys_map_is_served_in_ranges(tmp_path):
    tiles = tmp_path / "county.pmtiles"
    tiles.write_bytes(TILES)
    web = open_web(tmp_path / "station.db", settings=WebSettings(map_tiles=tiles))
    officer = web.logged_in("officer", why=False)
    answer = officer.get("/map/tiles.pmtiles", headers={"range": "bytes=0-6"})
    assert (answer.status_code, answer.content) == (206, b"PMTiles")
    assert web.browser().get("/map/tiles.pmtiles").status_code == 303
    tiles.unlink()
    assert officer.get("/map/tiles.pmtiles").status_code == 404


@pytest.mark.slow
def test_only_the_maps_page_may_start_a_worker(web):
    officer = web.logged_in("officer")
    assert "worker-src 'self'" in officer.get("/map").headers["content-security-policy"]
    assert "worker-src" not in officer.get("/hits").headers["content-security-policy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("area", "found"),
    [
        ("44.02,-100.35,50000", True), ("43,-101;45,-101;45,-99;43,-99", True), ("10,10,500", False),
        ("44.02,-100.35,nan", None), ("44.02,-100.35", None), ("91,0,5", None), ("1,1;2,2", None), ("", None),
        ("a,b,c", None), ("1,2,3;4,5,6;7,8,9", None), ("44.02,-100.35,1e9", None),
    ],
)  # fmt: skip
def test_an_area_is_handed_to_the_search(web, area, found):
    """No place stands in an address."""
    analyst = web.logged_in("analyst")
    answer = analyst.post("/map/search", {"area": area, "seconds": "86400"})
    if found is None:
        assert answer.status_code in {400, 422}
        return
    assert answer.status_code == 303
    assert "44.02" not in answer.headers["location"]
    assert ("ABC0" in analyst.get(answer.headers["location"]).text) is found


@pytest.mark.slow
def test_an_area_that_was_drawn_stays_when_the_search_is_refined(web):
    """It had been dropped without a word: the form had no field for it."""
    analyst = web.logged_in("analyst")
    drawn = "43.0,-101.0;45.0,-101.0;45.0,-99.0;43.0,-99.0"
    address = analyst.post("/map/search", {"area": drawn, "seconds": "86400"}).headers["location"]
    page = analyst.get(address).text
    assert f'name="drawn" value="{drawn}" checked' in page
    refined = analyst.post("/search", {"drawn": drawn, "plates": "1ABC*"})
    assert drawn in analyst.get(refined.headers["location"]).text
    assert analyst.get(refined.headers["location"]).text.count('class="plate" href') > 0
    entry = next(row for row in reversed(web.store.audit_trail()) if row.what == "search reads")
    assert "plates=1ABC*" in entry.filter
    assert "area=43.000000,-101.000000;45.000000" in entry.filter
    elsewhere = analyst.post("/search", {"drawn": "1,1;2,1;2,2", "plates": "1ABC*"}).headers["location"]
    assert "No read meets" in analyst.get(elsewhere).text
    assert "drawn" not in analyst.get(analyst.post("/search", {"plates": "1ABC*"}).headers["location"]).text


@pytest.mark.parametrize(
    "drawn", ["x", "1", "1,2,3;4,5,6", "nan,0;1,1;2,2", "91,0;1,1;2,2", "1,1;2,2", "1,1;" * 1200]
)
def test_an_area_that_is_none_is_refused_with_the_reason(web, drawn):
    answer = web.logged_in("analyst").post("/search", {"drawn": drawn})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text

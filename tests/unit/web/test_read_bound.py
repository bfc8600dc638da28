"""What one person may look at in a day: pages, map and programs together; more needs an export and a second person."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from station.accounts.rights import RIGHTS, Right, Role
from station.asker import Asker, Scope
from station.errors import BoundError, ScopeError
from station.query import Query, ReadSearch
from station.query.bound import DEFAULT_READS, MAX_READS, MIN_READS, ReadBound
from station.store import NewRecord
from station.web.worker import search_of
from tests.builders import make_record
from tests.contract.test_station_store import make, store
from tests.shift_builders import INCIDENT_ID, make_incident
from tests.station_people import NOW_US, read_of
from tests.station_web import Web

__all__ = ["make", "store"]
pytestmark = pytest.mark.slow
SEARCH = "/api/1/reads/search"
READS = 120
WORLD = {"south": -90, "west": -180, "north": 90, "east": 180, "since_us": 0, "until_us": 2 * NOW_US}


@pytest.fixture
def web(store):
    made = [read_of(n, text=f"7ABC{n:03}") for n in range(1, READS + 1)]
    with store.transaction():
        store.add_records([NewRecord(record) for record in made], NOW_US)
    web = Web(store)
    ReadBound(store, web.clock).set(Asker("test"), MIN_READS)
    return web


def ids_of(answer):
    assert answer.status_code == 200, answer.text
    return [read["read_id"] for read in answer.json()["reads"]]


def refused(answer):
    return answer.status_code == 403 and "request an export" in answer.text


def page(browser, limit, after=""):
    return browser.post_json(SEARCH, {"limit": limit, "after": after})


def test_a_program_cannot_page_through_all_reads(web):
    """It is told so, and each attempt is in the trail with what was asked for."""
    browser = web.logged_in("analyst")
    first = page(browser, 40)
    assert len(ids_of(first)) == 40
    answer = page(browser, 40, first.json()["next"])
    assert refused(answer)
    assert answer.json()["code"] == "bound"
    assert len(ids_of(page(browser, 10, first.json()["next"]))) == 10, "what is left"
    assert refused(page(browser, 1000))
    trail = [(row.who, row.count, row.case_number) for row in web.store.audit_trail() if "refused" in row.what]
    assert trail == [("a-analyst", 40, "26-014"), ("a-analyst", READS, "26-014")]


def test_pages_the_map_and_programs_count_together(web):
    """A read that was seen before is free: who turns the page back has seen nothing new."""
    browser = web.logged_in("analyst")
    address = browser.post("/search", {"plates": "7ABC00*"}).headers["location"]
    assert browser.get(address).text.count('class="plate"') == 9
    assert browser.get(address).status_code == 200
    seen = {"7ABC001", "7ABC020"}
    for text in seen:
        browser.post_json(SEARCH, {"plates": [text]})
    assert web.store.seen_reads.count("a-analyst") == 10
    assert browser.get("/api/1/map/reads", params=WORLD).json()["code"] == "bound"
    everything = browser.post("/search", {}).headers["location"]
    assert browser.get(everything).status_code == 403
    assert web.store.seen_reads.count("a-analyst") == 10
    unit, number = "unit-07", ids_of(browser.post_json(SEARCH, {"plates": ["7ABC001"]}))[0]
    assert browser.get(f"/reads/{unit}/{number}").status_code == 200, "seen before"


def test_a_page_that_is_refused_offers_the_export(web):
    browser = web.logged_in("analyst")
    page(browser, 50)
    answer = browser.get(browser.post("/search", {"oldest_first": "true"}).headers["location"])
    assert refused(answer)
    assert "/exports/new/" in answer.text
    assert 'class="plate"' not in answer.text
    officer = web.logged_in("officer")
    page(officer, 50)
    answer = officer.get(officer.post("/search", {"oldest_first": "true"}).headers["location"])
    assert refused(answer)
    assert "/exports/new/" not in answer.text


def test_a_single_read_counts(web):
    browser = web.logged_in("analyst")
    ids = ids_of(page(browser, 50))
    other = next(row.record_id.hex() for row in web.store.latest("read/1") if row.record_id.hex() not in ids)
    for path in (f"/reads/unit-07/{other}", f"/api/1/reads/unit-07/{other}"):
        assert refused(browser.get(path))
    assert browser.get(f"/api/1/reads/unit-07/{ids[0]}").status_code == 200


def test_reads_of_an_incident_count_for_whoever_sees_their_plates(web):
    """A unit may link as many reads as it likes; an auditor sees the incident without plates."""
    names = tuple(n.to_bytes(16, "big") for n in range(1, 13))
    with web.store.transaction():
        web.store.add_records([NewRecord(make_record(make_incident(reads=names, hits=()), seq=900))], NOW_US)
    address = f"/incidents/{INCIDENT_ID.hex()}"
    officer = web.logged_in("officer")
    assert officer.get(address).text.count('class="plate"') == 12
    assert web.store.seen_reads.count("a-officer") == 12
    analyst = web.logged_in("analyst")
    ids = ids_of(page(analyst, 50))
    assert not {name.hex() for name in names} & set(ids)
    assert refused(analyst.get(address))
    assert "show incident refused" in [row.what for row in web.store.audit_trail() if row.who == "a-analyst"]
    auditor = web.logged_in("auditor")
    assert 'class="plate"' not in auditor.get(address).text
    assert web.store.seen_reads.count("a-auditor") == 0


def test_a_token_and_a_session_of_one_person_count_together(web):
    browser = web.logged_in("analyst")
    ids_of(page(browser, 50))
    headers = {**browser.make_token("a-analyst"), "x-purpose": "stolen vehicle", "x-case-number": "26-9"}
    asked = {"oldest_first": True, "limit": 10}
    assert refused(web.browser().send("POST", SEARCH, json=asked, headers=headers))
    assert len(ids_of(page(web.logged_in("analyst", name="other"), 50))) == 50, "another person"


def test_after_a_day_reads_can_be_looked_at_again(web):
    """24 hours after each, not at midnight."""
    browser = web.logged_in("analyst")
    following = page(browser, 50).json()["next"]
    web.clock.move(24 * 3600 - 300)
    assert browser.log_in("a-analyst").status_code == 303
    browser.give_purpose()
    assert refused(page(browser, 1, following))
    web.clock.move(400)
    assert len(ids_of(page(browser, 50, following))) == 50
    assert ReadBound(web.store, web.clock).drop_old() == 0
    web.clock.move(24 * 3600)
    assert ReadBound(web.store, web.clock).drop_old() == 50


def test_requests_at_once_get_no_more(web):
    """Each of them alone would be allowed."""
    asker = Asker("a-analyst", "why", "1", must_say_why=True)
    web.add("a-analyst", "analyst")

    def look(number):
        try:
            query = Query(web.store, asker, web.clock)
            return query.search(ReadSearch((f"7ABC{number:02}*",)), limit=20).records
        except BoundError:
            return []

    with ThreadPoolExecutor(4) as pool:
        found = [stored.record_id for records in pool.map(look, range(12)) for stored in records]
    assert len(found) == len(set(found)) <= MIN_READS
    assert web.store.seen_reads.count("a-analyst") == len(found)


def test_clusters_have_no_plates_and_do_not_count(web, monkeypatch):
    monkeypatch.setattr("station.query.maps.MAX_POINTS", 20)
    browser = web.logged_in("analyst")
    answer = browser.get("/api/1/map/reads", params=WORLD)
    assert (answer.json()["reads"], answer.json()["total"]) == ([], READS)
    assert web.store.seen_reads.count("a-analyst") == 0


def test_an_export_that_was_approved_has_all_and_counts_nothing(web):
    requester, approver = web.logged_in("analyst", name="req"), web.logged_in("supervisor", name="app")
    made = requester.post_json("/api/1/exports", {"kind": "csv", "search": {}}).json()["export_id"]
    assert approver.post(f"/exports/{made}/approve").status_code == 303
    assert web.app.state.desk.exports.run_next(search_of)
    answer = requester.post(f"/exports/{made}/file")
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) == READS
    assert web.store.seen_reads.count("req") == 0


def test_whoever_has_the_database_is_not_bounded(web):
    """The command line: a bound would only look like one."""
    found = Query(web.store, Asker("clerk"), web.clock).search(ReadSearch(), limit=READS)
    assert len(found.records) == READS


@pytest.mark.parametrize("role", Role)
def test_only_an_administrator_changes_the_bound(web, role):
    browser = web.logged_in(role)
    answer = browser.post("/settings/look-ups", {"reads": 75})
    allowed = Right.SETTINGS in RIGHTS[role]
    assert answer.status_code == (303 if allowed else 403)
    assert ReadBound(web.store, web.clock).get() == (75 if allowed else MIN_READS)
    if allowed:
        assert 'value="75"' in browser.get("/settings").text
        told = [row for row in web.store.audit_trail() if row.what == "set bound of reads"]
        assert [(row.who, row.filter) for row in told][1:] == [(f"a-{role}", f"reads=75 before={MIN_READS}")]


@pytest.mark.parametrize("reads", [str(MIN_READS - 1), str(MAX_READS + 1), "0", "-5", "9" * 30, "many", ""])
def test_a_bound_that_is_none_is_refused(web, reads):
    answer = web.logged_in("administrator").post("/settings/look-ups", {"reads": reads})
    assert answer.status_code in {400, 422}
    assert ReadBound(web.store, web.clock).get() == MIN_READS


def test_an_administrator_of_a_part_does_not_change_it(web):
    part = web.logged_in("administrator", scope=Scope(units=frozenset({"unit-07"})))
    assert part.post("/settings/look-ups", {"reads": 75}).status_code == 404
    with pytest.raises(ScopeError, match="whole agency"):
        ReadBound(web.store, web.clock).set(Asker("x", scope=Scope(units=frozenset())), 75)
    assert ReadBound(web.store, web.clock).get() == MIN_READS


def test_the_bound_of_a_new_station_is_strict(make):
    assert ReadBound(make("new"), lambda: NOW_US).get() == DEFAULT_READS < MAX_READS

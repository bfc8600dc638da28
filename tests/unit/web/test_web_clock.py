"""What pages noted while the station's clock was years ahead ends when the clock is set."""

from __future__ import annotations

import pytest

from station.asker import EVERYTHING, Asker
from station.query.bound import MIN_READS, ReadBound
from station.searches import KeptSearches
from station.store import NewRecord
from station.web.worker import search_of
from tests.contract.test_station_store import make, store
from tests.station_people import NOW_US, read_of
from tests.station_web import Web
from tests.unit.web.test_web_attacks import ready

__all__ = ["make", "store"]
pytestmark = pytest.mark.slow
YEARS_S = 4_000 * 86_400


@pytest.fixture
def web(store):
    made = [read_of(n, text=f"7ABC{n:03}") for n in range(1, 121)]
    with store.transaction():
        store.add_records([NewRecord(record) for record in made], NOW_US)
    web = Web(store)
    web.clock.move(YEARS_S)
    return web


def again(web, name="a-analyst"):
    browser = web.browser()
    assert browser.log_in(name).status_code == 303
    browser.give_purpose()
    return browser


def test_a_session_and_a_token_end(web):
    """They would be valid for years."""
    browser = web.logged_in("analyst", name="jane")
    headers = browser.make_token("jane")
    assert web.browser().get("/api/1/me", headers=headers).status_code == 200
    web.clock.move(-YEARS_S)
    assert browser.get("/").status_code == 303
    assert web.browser().get("/api/1/me", headers=headers).status_code == 401
    web.add("kim", "analyst")
    web.browser().log_in("kim")
    assert web.store.accounts.count_sessions() == {"kim": 1}, "the row goes, too"


def test_the_link_of_an_account_ends(web):
    link = web.accounts.add(Asker("test"), "lou", full_name="Lou", role="officer", scope=EVERYTHING)
    assert web.accounts.of_link(link) is not None
    web.clock.move(-YEARS_S)
    assert web.accounts.of_link(link) is None


def test_a_block_ends(web):
    """Whoever mistyped would be locked out until an administrator resets the account."""
    web.add("jane", "analyst")
    browser = web.browser()
    for _ in range(5):
        browser.log_in("jane", "wrong password!")
    web.clock.move(-YEARS_S)
    assert browser.log_in("jane").status_code == 303


def test_reads_that_were_seen_count_for_a_day(web):
    """Else the bound would be used up for years; they are not forgotten at once either."""
    ReadBound(web.store, web.clock).set(Asker("test"), MIN_READS)
    browser = web.logged_in("analyst")
    found = browser.post_json("/api/1/reads/search", {"limit": MIN_READS})
    web.clock.move(-YEARS_S)
    browser = again(web)
    asked = {"limit": 1, "after": found.json()["next"]}
    assert browser.post_json("/api/1/reads/search", asked).json()["code"] == "bound"
    assert ReadBound(web.store, web.clock).drop_old() == 0
    web.clock.move(25 * 3600)
    assert again(web).post_json("/api/1/reads/search", asked).status_code == 200


def test_searches_and_files_of_exports_are_deleted(web):
    """They have plates."""
    browser = web.logged_in("analyst")
    address = browser.post("/search", {"plates": "7ABC00*"}).headers["location"]
    _, made = ready(web, "csv")
    assert list(web.store.exports.parts(made))
    web.clock.move(-YEARS_S)
    assert again(web).get(address).status_code == 404
    assert KeptSearches(web.store, web.clock).drop_old() == 1
    web.app.state.desk.exports.run_next(search_of)
    assert not list(web.store.exports.parts(made))

"""A purge between the keys of a page and its records: the page is shorter, and the search goes on behind it."""

from __future__ import annotations

import pytest

from protocol.wire.parts import Retention
from station.asker import Asker
from station.query import Query
from station.query.ledger import LedgerQuery
from station.store.hit_search import HitSearch
from station.store.search import Circle, ReadSearch
from tests.builders import WHERE, make_read_record, make_record
from tests.contract.test_station_store import NOW_US, commands, make, store
from tests.hit_builders import make_hit_body
from tests.station_files import add
from tests.station_web import Web

__all__ = ["make", "store"]
PAGE, READS = 5, 30
GONE = range(11, 21)
"""Two whole pages and parts of none."""
HERE = Circle(WHERE.lat_deg, WHERE.lon_deg, 500.0)


@pytest.fixture
def filled(store):
    made = [
        make_read_record(n, seq=n, utc_us=NOW_US + n, retention="hit" if n in GONE else "nonhit", pictures=())
        for n in range(1, READS + 1)
    ]
    add(store, *made, now_us=NOW_US + READS)
    return store


def purge_before_records(store, monkeypatch, *, page):
    """Purge what is of class ``hit`` when the records of a page are asked for, counted from 1."""
    rows, asked = store._finder.rows, []

    def late(keys, *schema):
        asked.append(1)
        if len(asked) == page:
            assert commands(store, NOW_US + 1_000_000).purge(0, retention="hit").records == len(GONE)
        return rows(keys, *schema)

    monkeypatch.setattr(store._finder, "rows", late)


@pytest.mark.slow
@pytest.mark.parametrize("page", [1, 3, 4, 6])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("area", [None, HERE])
def test_a_search_goes_on_behind_a_page_that_was_purged(filled, monkeypatch, page, ascending, area):
    """Whichever page it was; what stays is found once, in order."""
    purge_before_records(filled, monkeypatch, page=page)
    query = Query(filled, Asker("clerk"), lambda: NOW_US)
    search, after, found, sizes = ReadSearch(ascending=ascending, area=area), None, [], []
    while True:
        told = query.search(search, limit=PAGE, after=after)
        found += [stored.seq for stored in told.records]
        sizes.append(len(told.records))
        if told.after is None:
            break
        after = told.after
    stays = [n for n in range(1, READS + 1) if n not in GONE]
    assert [n for n in found if n not in GONE] == (stays if ascending else stays[::-1])
    assert len(found) == len(set(found))
    assert (sizes[page - 1] == 0) == (page in {3, 4})


@pytest.mark.parametrize("page", [1, 2])
def test_an_export_goes_on_behind_a_page_that_was_purged(filled, monkeypatch, page):
    monkeypatch.setattr("station.query.query._EXPORT_PAGE", 10)
    purge_before_records(filled, monkeypatch, page=page)
    found = [one.seq for one in Query(filled, Asker("clerk"), lambda: NOW_US).export_found("csv", ReadSearch())]
    assert [n for n in found if n not in GONE] == [n for n in range(READS, 0, -1) if n not in GONE]


def test_an_empty_page_leads_to_the_next_one_on_the_page_and_for_programs(filled, monkeypatch):
    """The latest ten are gone: the first page of a person, and of a program, has nothing but the way on."""
    more = [make_read_record(n, seq=n, utc_us=NOW_US + n, pictures=()) for n in range(31, 95)]
    add(filled, *more, now_us=NOW_US + READS)
    web = Web(filled)
    browser = web.logged_in("analyst")
    monkeypatch.setattr("station.web.pages.search.PAGE_SIZE", PAGE)
    address = browser.post("/search", {"until": "2100-01-01T00:00"}).headers["location"]
    monkeypatch.setattr(filled._finder, "rows", lambda keys, *_: [None] * len(keys))
    shown = browser.get(address).text
    assert "Nothing found yet" in shown
    assert f"{address}?after=" in shown
    told = browser.post_json("/api/1/reads/search", {"limit": PAGE}).json()
    assert told["reads"] == []
    assert told["next"]


def test_leads_go_on_behind_a_page_that_was_purged(store, monkeypatch):
    classes = {n: Retention(policy_class="hit" if n in GONE else "nonhit") for n in range(1, READS + 1)}
    made = [
        make_record(make_hit_body(hit_id=bytes([n]) * 16, utc_us=NOW_US + n, retention=kept), seq=n)
        for n, kept in classes.items()
    ]
    add(store, *made, now_us=NOW_US + READS)
    purge_before_records(store, monkeypatch, page=5)
    query, after, found = LedgerQuery(store, Asker("clerk"), lambda: NOW_US), None, []
    while True:
        told = query.hit_page(HitSearch(), limit=PAGE, after=after)
        found += [hit.record.seq for hit in told.hits]
        if told.after is None:
            break
        after = told.after
    assert [n for n in found if n not in GONE] == [n for n in range(READS, 0, -1) if n not in GONE]

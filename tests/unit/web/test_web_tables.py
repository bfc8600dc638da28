"""Tables with pages: every row once, in either order, whatever is in between."""

from __future__ import annotations

import re

import pytest

from station.web.shown import readable
from tests.station_map import fill_map
from tests.station_web import open_web


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr("station.web.pages.audit.PAGE_SIZE", 7)
    monkeypatch.setattr("station.web.pages.hits.PAGE_SIZE", 2)
    web = open_web(tmp_path / "station.db", fill=fill_map)
    yield web
    web.store.close()


def pages(browser, address, row):
    """What each page has of a pattern, and the tables' order, by following the links to the next page."""
    found, orders = [], set()
    while address:
        text = browser.get(address).text
        found += re.findall(row, text)
        orders |= set(re.findall(r'aria-sort="(\w+)"', text))
        link = re.search(r'rel="next" href="([^"]+)"', text)
        address = link[1].replace("&amp;", "&") if link else None
    return found, orders


def test_leads_come_in_either_order(web):
    browser = web.logged_in("analyst")
    latest, down = pages(browser, "/hits?days=0", r'href="(/hits/unit-01/\w+)"')
    oldest, up = pages(browser, "/hits?days=0&order=oldest", r'href="(/hits/unit-01/\w+)"')
    assert len(set(latest)) == 6
    assert oldest == latest[::-1]
    assert (down, up) == ({"descending"}, {"ascending"})
    told = browser.get("/api/1/hits", params={"days": 0, "order": "oldest", "limit": 4}).json()
    rest = browser.get("/api/1/hits", params={"days": 0, "order": "oldest", "after": told["after"]}).json()
    ids = [hit["hit_id"] for hit in (*told["hits"], *rest["hits"])]
    assert [f"/hits/unit-01/{one}" for one in ids] == oldest
    assert browser.get("/hits?order=random").status_code == 422


def test_the_trail_comes_in_either_order(web):
    browser = web.logged_in("auditor")
    for _ in range(20):
        browser.get("/units")
    latest, down = pages(browser, "/audit?kind=show+units", r'<tr><td class="number">([\d,]+)<')
    oldest, up = pages(browser, "/audit?kind=show+units&order=oldest", r'<tr><td class="number">([\d,]+)<')
    assert len(latest) == 20
    assert oldest == latest[::-1]
    assert (down, up) == ({"descending"}, {"ascending"})
    first = browser.get("/api/1/audit", params={"order": "oldest"}).json()
    second = browser.get("/api/1/audit", params={"order": "oldest", "before": first["before"]}).json()
    numbers = [entry["number"] for entry in (*first["entries"], *second["entries"])]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 14


def test_the_head_of_a_table_turns_its_order_and_keeps_the_conditions(web):
    browser = web.logged_in("auditor")
    text = browser.get("/audit?kind=log+in&who=a-auditor").text
    link = re.search(r'aria-sort="descending"><a href="([^"]+)"', text)[1].replace("&amp;", "&")
    assert sorted(link.partition("?")[2].split("&")) == ["kind=log+in", "order=oldest", "who=a-auditor"]
    back = re.search(r'aria-sort="ascending"><a href="([^"]+)"', browser.get(link).text)[1]
    assert "order" not in back


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("since_us=1778565600000000 by=zone", "since=2026-05-12 06:00:00 by=zone"),
        ("unit=x until_us=1778565600000000", "unit=x until=2026-05-12 06:00:00"),
        ("since_us=-5 limit=50", "since_us=-5 limit=50"),
        ("plates=1778565600000000", "plates=1778565600000000"),
        ("since_us=9999999999999999", "since=2286-11-20 17:46:39"),
    ],
)
def test_times_of_the_trail_are_for_people(asked, shown):
    assert readable(asked) == shown

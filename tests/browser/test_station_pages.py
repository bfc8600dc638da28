"""The station's pages in a real browser: complete, readable, without faults of accessibility, narrow and dark too."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from station.asker import EVERYTHING, Asker
from station.query.bulk import KEPT_US
from station.store import ExportRow
from station.web.search_body import SearchBody
from tests.station_browser import StationPages
from tests.station_people import NOW_US, PLATES, fill

pytestmark = pytest.mark.integration
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
READ = f"/reads/unit-07/{1:032x}"
WIDE, NARROW = (1280, 800), (400, 800)
PAGES = {
    None: ("/log-in",),
    "supervisor": ("/", "/purpose", "/search", READ, "/exports", "/units", "/units/unit-07", "/account"),
    "auditor": ("/audit",),
    "administrator": ("/accounts", "/accounts/jane-administrator"),
}


def plate_picture() -> bytes:
    """A drawn plate."""
    picture = np.full((88, 264, 3), (236, 240, 244), np.uint8)
    cv2.putText(picture, PLATES[0], (10, 62), cv2.FONT_HERSHEY_DUPLEX, 1.7, (70, 40, 20), 3, cv2.LINE_AA)
    return cv2.imencode(".jpg", picture)[1].tobytes()


@pytest.fixture
def station(tmp_path, browser):
    pages = StationPages(tmp_path / "station.db", browser, lambda store: fill(store, picture=plate_picture()))
    yield pages
    pages.close()


def axe(page):
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return {item["id"]: [node["html"] for node in item["nodes"]] for item in found["violations"]}


def is_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_is_readable(station, tmp_path, size, dark):
    station.desk.exports.request(
        Asker("jane-analyst", "stolen vehicle", "26-014"), "csv", SearchBody().model_dump_json()
    )
    for role, paths in PAGES.items():
        page = station.page(role, size=size, dark=dark)
        for path in paths:
            answer = page.goto(path)
            assert answer.status == 200, path
            assert axe(page) == {}, path
            assert not is_too_wide(page), path
            name = f"{role}{path.replace('/', '-')[:20]}-{size[0]}{'-dark' if dark else ''}.png"
            page.screenshot(path=tmp_path / name)


def test_a_person_logs_in_says_why_and_finds_a_read(station):
    """From the first page to a read and back, with the keyboard's forms."""
    station.page("analyst")
    page = station.page(None)
    page.goto("/search")
    page.fill("[name=name]", "jane-analyst")
    page.fill("[name=password]", "correct horse 42")
    page.click("text=Log in >> nth=-1")
    page.fill("[name=purpose]", "stolen vehicle")
    page.fill("[name=case_number]", "26-015")
    page.click("text=Continue")
    page.fill("[name=plates]", "7abc-123")
    page.check("[name=look_alike]")
    page.click("main button.main")
    assert page.locator("tbody tr").count() == 2, "7ABC123 and 7A8C123"
    assert "7ABC" not in page.url
    page.click("tbody a.plate >> nth=0")
    page.wait_for_selector("h2:text('Proof')")
    page.go_back()
    assert page.locator("tbody tr").count() == 2
    trail = station.store.audit_trail()
    assert {row.case_number for row in trail if row.what == "search reads"} == {"26-015"}


def test_an_export_takes_two_people(station):
    """Requested, approved, made, fetched once."""
    analyst, supervisor = station.page("analyst"), station.page("supervisor")
    analyst.goto("/search")
    analyst.click("main button.main")
    analyst.click("text=Export these")
    analyst.click("button:has-text('Request')")
    supervisor.goto("/exports")
    supervisor.click("button:has-text('Approve')")
    analyst.goto("/exports")
    analyst.wait_for_selector("button:has-text('Fetch')")
    with analyst.expect_download() as download:
        analyst.click("button:has-text('Fetch')")
    assert PLATES[1] in Path(download.value.path()).read_text(encoding="utf-8")
    analyst.goto("/exports")
    assert analyst.locator("button:has-text('Fetch')").count() == 0
    assert analyst.locator(".chip:text('fetched')").count() == 1


def waiting(station, number, state="requested"):
    """A request of the analyst; a later one has a larger number, and is shown above."""
    told = (f"{number:016x}", "jane-analyst", "csv", "{}", "stolen vehicle", "26-014", NOW_US + number, state)
    with station.store.transaction():
        until_us = station.desk.clock_us() + KEPT_US // 2
        station.store.exports.add(ExportRow(*told, until_us=until_us, scope=EVERYTHING))


def approve(number):
    return f"form[action='/exports/{number:016x}/approve'] button"


def test_a_page_that_renews_itself_moves_no_button_under_a_finger(station):
    """What is pressed must be the request that was read, with the keyboard and with the mouse."""
    waiting(station, 1, "running")
    waiting(station, 2)
    page = station.page("supervisor")
    page.goto("/exports")
    page.focus(approve(2))
    waiting(station, 3)
    page.wait_for_selector(approve(3))
    assert page.evaluate("document.activeElement.form.getAttribute('action')").endswith("2/approve")
    page.evaluate(
        "() => { const work = document.querySelector('[data-refresh]');"
        " new MutationObserver(() => work.querySelector('form button').click()).observe(work, { childList: true }); }"
    )
    waiting(station, 4)
    page.wait_for_selector(approve(4))
    assert page.url.endswith("/exports")
    assert {row.state for row in station.store.exports.all(account=None, limit=9)} == {"requested", "running"}


def test_a_page_that_answers_a_form_renews_the_page_of_the_form(station):
    """Two supervisors approve at once: the second one is told, and still sees the exports afterwards."""
    waiting(station, 1, "running")
    waiting(station, 2)
    page = station.page("supervisor")
    page.goto("/exports")
    station.desk.exports.decide(Asker("boss", "stolen vehicle", "26-014"), f"{2:016x}", approved=False)
    page.click(approve(2))
    page.wait_for_selector("text=already")
    waiting(station, 3)
    page.wait_for_selector(approve(3))
    assert page.locator("h1").inner_text() == "Exports"


def test_the_theme_is_remembered(station):
    page = station.page("analyst")
    page.goto("/")
    page.click("text=Dark")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.goto("/units")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(17, 22, 27)"

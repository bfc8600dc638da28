"""The pages about deployment and incidents in a real browser, with the simulated month."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from station.accounts.rights import Role
from station.asker import EVERYTHING, Asker
from station.planning import Planning
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.month.deploy import deploy
from tests.month.draw import make_month
from tests.month.fill import fill
from tests.month.world import SMALL
from tests.station_browser import log_in_by_form

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
PASSWORD = "correct horse 42"  # noqa: S105 - of tests
SIZES = {"wide": (1280, 800), "narrow": (400, 800)}
DAYS = f"first={SMALL.first}&days={SMALL.days + 1}"
PAGES = {
    "plan": "/deployment/plan?week=2027-03-08",
    "plan-officers": "/deployment/plan?week=2027-03-08&by=officer",
    "zones": "/deployment/zones",
    "people": "/deployment/people",
    "hours": f"/deployment/hours?{DAYS}",
    "coverage": f"/deployment/coverage?{DAYS}",
    "where": "/deployment/where?unit=unit-01&first=2027-03-13",
    "incidents": f"/incidents?{DAYS}&cell_m=2000",
}


@pytest.fixture(scope="module")
def month():
    return make_month(SMALL)


@pytest.fixture(scope="module")
def station(month, tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("station") / "station.db")
    deploy(Planning(store, Asker("test", "month"), lambda: month.last_us), month.truth)
    fill(store, month)
    ticks = itertools.count(month.last_us)
    server = WebServer(store, WebSettings(port=0, station="Example County"), lambda: next(ticks))
    for role in (Role.SUPERVISOR, Role.AUDITOR):
        link = server.accounts.add(Asker("test"), f"sam-{role}", full_name="Sam Doe", role=role, scope=EVERYTHING)
        server.accounts.set_up(link, PASSWORD, "")
    server.start()
    yield server
    server.close()
    store.close()


@pytest.fixture
def opened(station, browser):
    """Opens pages of somebody who is logged in; a script's error fails the test."""
    contexts, errors = [], []

    def page(role="supervisor", size=SIZES["wide"], *, dark=False):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, base_url=station.address, locale="en-US",
            color_scheme="dark" if dark else "light", timezone_id="UTC", accept_downloads=True,
        )  # fmt: skip
        context.set_default_timeout(60_000)
        contexts.append(context)
        made = context.new_page()
        made.on("pageerror", lambda error: errors.append(str(error)))
        made.on("console", lambda told: errors.append(told.text) if "Content Security" in told.text else None)
        log_in_by_form(made, station.address, f"sam-{role}", purpose="planning of the week", case_number="27-014")
        return made

    yield page
    for context in contexts:
        context.close()
    assert errors == []


def axe(page):
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return {item["id"]: [node["html"] for node in item["nodes"]] for item in found["violations"]}


def is_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_is_readable(opened, month, tmp_path, size, dark):
    page = opened(size=SIZES[size], dark=dark)
    incident = next(one for one in month.truth.incidents if one.hits)
    moved = next(one for one in month.truth.plan if len(one.parts) > 1)
    pages = PAGES | {
        "incident": f"/incidents/{incident.incident_id.hex()}",
        "shift": f"/deployment/plan/{moved.id}",
    }
    for name, path in pages.items():
        assert page.goto(path).status == 200, path
        page.screenshot(path=tmp_path / f"{name}-{size}{'-dark' if dark else ''}.png", full_page=True)
        assert axe(page) == {}, path
        assert not is_too_wide(page), path


def test_a_shift_is_planned_moved_and_cancelled(opened):
    page = opened()
    page.goto("/deployment/plan?week=2027-04-05")
    page.select_option("[name=badge]", "1010")
    page.fill("[name=starts]", "2027-04-05 06:00")
    page.fill("[name=ends]", "2027-04-05 16:00")
    page.select_option("[name=zone]", "town")
    page.select_option("[name=vehicle]", "unit-02")
    page.click("text=Plan >> nth=-1")
    page.click("a.shift")
    page.fill("[name=ends]", "2027-04-05 17:30")
    page.click("button:text('Change')")
    assert "11.50 h of real time" in page.inner_text("main")
    page.click("text=Cancel this shift")
    page.wait_for_selector("text=This shift is cancelled.")


def test_an_officer_in_two_vehicles_is_refused_on_the_page(opened):
    page = opened()
    for vehicle, hour in (("unit-01", "06"), ("unit-02", "12")):
        page.goto("/deployment/plan?week=2027-04-12")
        page.select_option("[name=badge]", "1000")
        page.fill("[name=starts]", f"2027-04-12 {hour}:00")
        page.fill("[name=ends]", "2027-04-12 18:00")
        page.select_option("[name=vehicle]", vehicle)
        page.click("text=Plan >> nth=-1")
    assert "1000 would be in unit-01 and unit-02 at once" in page.inner_text("[role=alert]")
    assert page.input_value("[name=starts]") == "2027-04-12 12:00", "what was typed is kept"


def test_a_zone_is_drawn_with_clicks(opened):
    page = opened()
    page.goto("/deployment/zones")
    page.fill("[name=name] >> nth=0", "drawn")
    box = page.locator("#zones").bounding_box()
    for x, y in ((0.70, 0.60), (0.90, 0.60), (0.90, 0.80)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert len(page.input_value("#corners").splitlines()) == 3
    page.click("form[action='/deployment/zones'] button.main")
    page.wait_for_selector("[aria-label='Delete zone drawn']")
    page.click("[aria-label='Delete zone drawn']")
    page.wait_for_selector("[aria-label='Delete zone drawn']", state="detached")


def test_an_auditor_reads_and_has_no_forms(opened):
    page = opened("auditor")
    page.goto("/deployment/plan?week=2027-03-08")
    assert page.locator("a.shift").count() > 10
    assert page.locator("main form[method=post]").count() == 0


def test_the_hours_are_downloaded(opened):
    page = opened()
    page.goto(f"/deployment/hours?{DAYS}")
    with page.expect_download() as download:
        page.click("a:text-is('CSV')")
    assert Path(download.value.path()).read_text(encoding="utf-8").startswith("name,planned_h")

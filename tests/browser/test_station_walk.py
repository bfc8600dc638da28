"""Every page of the station as every role, in a real browser, with the simulated month."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from station.accounts.rights import RIGHTS, Role
from station.asker import Asker
from station.planning import Planning
from station.rollout import Rollouts
from station.store.rows_accounts import SearchRow
from station.web.page_list import PAGES
from station.web.pages.search import KIND
from station.web.search_body import SearchBody
from station.web.visit import needs_of
from tests.month.deploy import deploy
from tests.month.draw import make_month
from tests.month.fill import fill
from tests.month.world import SMALL
from tests.station_browser import StationPages
from tests.station_web import DOWNLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from station.store import Store
    from tests.month.draw import Month

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE_FILE = Path(__file__).parent / "axe/axe.min.js"
AXE = AXE_FILE.read_text(encoding="utf-8")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 400, "height": 800}
SEARCH_ID = "a-search-of-the-month"
DAYS = f"first={SMALL.first}&days={SMALL.days + 1}"
NAVIGATION = {entry.path for module in PAGES for entry in module.navigation}
SIGNED_OFF = {"/log-in", "/set-up/{link}", "/oidc/start", "/oidc/callback"}
"""Before somebody is logged in."""


class Walk:
    """A station with a month, and the address of each of its pages."""

    def __init__(self, pages: StationPages, month: Month) -> None:
        self.pages, self.month = pages, month
        truth = month.truth
        read = next(one for one in truth.reads if one.read_id in month.pictures and not one.purged)
        hit = next(one for one in truth.hits if one.state == "confirmed")
        incident = next(one for one in truth.incidents if one.hits)
        self.addresses = {
            "/": "/",
            "/account": "/account",
            "/accounts": "/accounts",
            "/accounts/{name}": "/accounts/jane-administrator",
            "/alarms": "/alarms?period=2027-03",
            "/audit": "/audit",
            "/audit/log": "/audit/log",
            "/deployment/coverage": f"/deployment/coverage?{DAYS}",
            "/deployment/hours": f"/deployment/hours?{DAYS}",
            "/deployment/own": "/deployment/own?first=2027-03-12",
            "/deployment/people": "/deployment/people",
            "/deployment/plan": "/deployment/plan?week=2027-03-08",
            "/deployment/plan/{shift_id}": f"/deployment/plan/{truth.plan[0].id}",
            "/deployment/where": "/deployment/where?unit=unit-01&first=2027-03-13",
            "/deployment/zones": "/deployment/zones",
            "/evidence": "/evidence",
            "/exports": "/exports",
            "/exports/new/{search_id}": f"/exports/new/{SEARCH_ID}-ROLE",
            "/hits": "/hits?seconds=2592000",
            "/hits/{unit}/{hit_id}": f"/hits/{hit.unit}/{hit.hit_id.hex()}",
            "/holds": "/holds",
            "/incidents": f"/incidents?{DAYS}&cell_m=2000",
            "/incidents/{incident_id}": f"/incidents/{incident.incident_id.hex()}",
            "/lists": "/lists",
            "/lists/doctor": "/lists/doctor",
            "/map": "/map",
            "/purpose": "/purpose",
            "/reads/{unit}/{record_id}": f"/reads/{read.unit}/{read.read_id.hex()}",
            "/reports": "/reports?definition=general&period=2027-03",
            "/reports/definitions": "/reports/definitions",
            "/search": "/search",
            "/search/{search_id}": f"/search/{SEARCH_ID}-ROLE",
            "/settings": "/settings",
            "/units": "/units",
            "/units/{unit}": "/units/unit-01",
        }

    def address(self, path: str, role: Role) -> str:
        return self.addresses[path].replace("ROLE", role)


def prepare(store: Store, month: Month, *, keys: Path | None = None) -> None:
    """The month, a list that is rolled out, an export that waits, and a search of each role."""
    asker = Asker("jane-administrator")
    deploy(Planning(store, Asker("test", "month"), lambda: month.last_us), month.truth)
    fill(store, month, keys=keys)
    rollouts = Rollouts(store, asker, lambda: month.last_us)
    rollouts.set_group("north", [f"unit-0{n}" for n in (1, 2, 3)])
    rollouts.start("policy", "north", AXE_FILE, release=4, percent=50)
    with store.transaction():
        for role in Role:
            row = SearchRow(
                f"{SEARCH_ID}-{role}", f"jane-{role}", KIND, SearchBody().model_dump_json(), month.last_us
            )
            store.exports.add_search(row)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, drawing_browser: Browser) -> Iterator[Walk]:
    month = make_month(SMALL)
    ticks = itertools.count(month.last_us)
    path = tmp_path_factory.mktemp("station") / "station.db"
    pages = StationPages(path, drawing_browser, lambda store: prepare(store, month), lambda: next(ticks))
    body = SearchBody().model_dump_json()
    pages.desk.exports.request(Asker("jane-analyst", "stolen vehicle", "26-014"), "csv", body)
    yield Walk(pages, month)
    pages.close()


def routes() -> Iterator[tuple[str, bool, frozenset[Role]]]:
    """Each page and file: its path, whether it is public, and the roles that may open it."""
    for page in PAGES:
        for route in page.router.routes:
            if "GET" in route.methods and not route.path.startswith("/api/"):
                needs = needs_of(route)
                right = None if needs is None else needs.right
                yield (
                    route.path,
                    needs is None,
                    frozenset(role for role in Role if right is None or right in RIGHTS[role]),
                )


def faults(page: Page) -> dict[str, list[str]]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return {item["id"]: [node["html"] for node in item["nodes"]] for item in found["violations"]}


def is_too_wide(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_every_page_is_in_the_walk(walk: Walk) -> None:
    """A new page fails this test until it has an address here."""
    assert {path for path, _, _ in routes()} == {*walk.addresses, *DOWNLOADS, *SIGNED_OFF}


@pytest.mark.parametrize("role", Role)
def test_a_role_opens_its_pages_and_no_other(walk: Walk, role: Role) -> None:
    """Without an error of a script, a broken policy, a fault of accessibility, or a page wider than the window."""
    page = walk.pages.page(role)
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type in {"error", "warning"} else None)
    opened: set[str] = set()
    found: dict[tuple[str, str], list[str]] = {}
    for path, is_public, roles in sorted(routes(), key=lambda route: route[0]):
        if is_public or path in DOWNLOADS:
            continue
        address = walk.address(path, role)
        if role not in roles:
            assert page.context.request.get(address).status == 403, path
            continue
        page.set_viewport_size(WIDE)
        answer = page.goto(address)
        assert answer is not None
        assert (answer.status, page.url.endswith(address)) == (200, True), path
        opened.add(path)
        assert page.locator("nav.side [aria-current]").count() <= 1, path
        found |= {(path, name): nodes for name, nodes in faults(page).items()}
        assert not is_too_wide(page), path
        page.set_viewport_size(NARROW)
        assert not is_too_wide(page), f"{path}, narrow"
    assert found == {}
    assert complaints == []
    page.goto("/")
    links = [link.get_attribute("href") for link in page.locator("nav.side a").all()]
    assert sorted(map(str, links)) == sorted(opened & NAVIGATION)

"""The pictures of the station's documents: every page, drawn with the simulated month, written with --bless.

A person looks at what was written.  Without --bless each step must still work, and the documents show these files.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import UnitState
from station.accounts.rights import RIGHTS, Role
from station.asker import Asker
from station.planning import Planning
from station.retention.holds import HoldDesk, hold_scope
from station.web.page_list import PAGES
from station.web.search_body import SearchBody
from tests.browser.conftest import wait_for_pictures
from tests.browser.test_station_walk import SIGNED_OFF, Walk, prepare, routes
from tests.builders import BOOT
from tests.conftest import ROOT
from tests.month.draw import make_month
from tests.month.world import SMALL
from tests.station_browser import StationPages
from tests.station_web import DOWNLOADS
from tests.unit.web.test_lists_pages import OWNER_FILE, PLAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from station.store import Store
    from tests.month.draw import Month

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FOLDER = ROOT / "docs/pictures"
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
HIGH = 1150
_S = 1_000_000


def fill_search(page: Page, month: Month) -> None:
    """Plates whose pictures have come."""
    page.fill("[name=plates]", " ".join(sorted(set(month.pictures.values()))[:6]))
    page.check("[name=look_alike]")
    page.click("main button.main")
    page.wait_for_selector("a.plate")


def fill_doctor(page: Page, _: Month) -> None:
    """The list of docs/hotlists.md."""
    files = {"source": ("stolen.csv", OWNER_FILE), "plan": ("stolen.toml", PLAN)}
    for name, (file, text) in files.items():
        page.set_input_files(f"[name={name}]", {"name": file, "mimeType": "text/plain", "buffer": text.encode()})
    page.click("button:text('Check it')")
    page.wait_for_selector("h2:text('Alarm budget')")


def show_reads(page: Page, _: Month) -> None:
    page.wait_for_selector("#map[data-ready=yes][data-units]")
    page.click("#fit")
    page.select_option("#period", label="last 7 days")
    page.check("#show-reads")
    page.wait_for_selector("#map[data-reads-shown]:not([data-reads-shown='0'])")
    settle(page)


def show_coverage(page: Page, _: Month) -> None:
    page.wait_for_selector("#map[data-ready=yes][data-units]")
    page.select_option("#period", label="last 7 days")
    page.check("#show-coverage")
    page.wait_for_selector("#coverage-rows tr")
    settle(page)


def settle(page: Page) -> None:
    """Until the map looks the same twice."""
    before = b""
    for _ in range(40):
        now = page.locator("#map").screenshot()
        if now == before:
            return
        before = now
    raise AssertionError("the map never came to rest")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: whose page, and what is done on it first."""

    name: str
    role: Role
    path: str
    """The route; its address is that of the walk."""
    act: Callable[[Page, Month], None] = field(default=lambda *_: None)
    dark: bool = False
    height: int = 800


PICTURES = (
    Picture("log-in", Role.OFFICER, "/log-in"),
    Picture("purpose", Role.OFFICER, "/purpose"),
    Picture("start", Role.SUPERVISOR, "/"),
    Picture("search", Role.ANALYST, "/search", fill_search),
    Picture("found", Role.ANALYST, "/search/{search_id}", dark=True),
    Picture("read", Role.ANALYST, "/reads/{unit}/{record_id}", height=HIGH),
    Picture("map-day", Role.OFFICER, "/map", show_reads),
    Picture("map-night", Role.OFFICER, "/map", show_reads, dark=True),
    Picture("map-coverage", Role.SUPERVISOR, "/map", show_coverage),
    Picture("leads", Role.ANALYST, "/hits"),
    Picture("lead", Role.ANALYST, "/hits/{unit}/{hit_id}", height=HIGH),
    Picture("incidents", Role.SUPERVISOR, "/incidents", height=HIGH),
    Picture("incident", Role.OFFICER, "/incidents/{incident_id}"),
    Picture("plan", Role.SUPERVISOR, "/deployment/plan", height=HIGH),
    Picture("shift", Role.SUPERVISOR, "/deployment/plan/{shift_id}"),
    Picture("zones", Role.SUPERVISOR, "/deployment/zones"),
    Picture("people", Role.SUPERVISOR, "/deployment/people"),
    Picture("hours", Role.SUPERVISOR, "/deployment/hours"),
    Picture("coverage", Role.SUPERVISOR, "/deployment/coverage"),
    Picture("whereabouts", Role.SUPERVISOR, "/deployment/where"),
    Picture("own-shifts", Role.OFFICER, "/deployment/own"),
    Picture("units", Role.OFFICER, "/units"),
    Picture("unit", Role.ADMINISTRATOR, "/units/{unit}"),
    Picture("lists", Role.ADMINISTRATOR, "/lists", height=HIGH),
    Picture("doctor", Role.ADMINISTRATOR, "/lists/doctor", fill_doctor),
    Picture("reports", Role.SUPERVISOR, "/reports"),
    Picture("definitions", Role.SUPERVISOR, "/reports/definitions"),
    Picture("alarms", Role.ANALYST, "/alarms"),
    Picture("evidence", Role.ANALYST, "/evidence"),
    Picture("export-new", Role.ANALYST, "/exports/new/{search_id}"),
    Picture("exports", Role.SUPERVISOR, "/exports"),
    Picture("holds", Role.SUPERVISOR, "/holds"),
    Picture("audit", Role.AUDITOR, "/audit"),
    Picture("audit-log", Role.AUDITOR, "/audit/log"),
    Picture("accounts", Role.ADMINISTRATOR, "/accounts"),
    Picture("account-form", Role.ADMINISTRATOR, "/accounts/{name}"),
    Picture("settings", Role.ADMINISTRATOR, "/settings"),
    Picture("account", Role.ANALYST, "/account"),
)


def furnish(store: Store, month: Month, keys: Path) -> None:
    """The month of the walk; units that are on and say what they have; an officer with an account; a hold."""
    prepare(store, month, keys=keys)
    now_us = month.last_us
    does = Planning(store, Asker("sergeant", "plan of March"), lambda: now_us)
    does.put_people([replace(store.deployment.resources().people[0], account="jane-officer")])
    with store.transaction():
        for number, unit in enumerate(("unit-01", "unit-02", "unit-03"), 1):
            status = Status(
                unit=unit, boot_id=BOOT, state=UnitState.ONLINE, reason="", software="patrol-lpr 0.2.0", models=()
            )
            store.note_status(status, now_us)
            health = Health(
                unit=unit, boot_id=BOOT, mono_us=1, utc_us=now_us, seq_high=1,
                counters={"reads.kept": 40 * number, "frames.processed": 80_211 * number, "hits.raised": 3},
                gauges={"outbox.reads": 0, "files.policy.fetched": 4 - number % 2, "files.hotlist.fetched": 17},
            )  # fmt: skip
            store.note_health(health, encode(health), now_us)
        store.note_seen(["unit-01", "unit-02", "unit-03"], now_us - 20 * _S)
    plate = next(one.plate for one in month.truth.reads if not one.purged)
    desk = HoldDesk(store, Asker("jane-supervisor"), lambda: now_us)
    desk.place(hold_scope(plate=plate), case_number="27-031", reason="discovery")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, drawing_browser: Browser) -> Iterator[Walk]:
    month = make_month(SMALL)
    ticks = itertools.count(month.last_us)
    folder = tmp_path_factory.mktemp("station")
    path, keys = folder / "station.db", folder / "keys"
    pages = StationPages(
        path, drawing_browser, lambda store: furnish(store, month, keys), lambda: next(ticks), keys=keys
    )
    body = SearchBody(plates=["7ABC*"]).model_dump_json()
    pages.desk.exports.request(Asker("jane-analyst", "stolen vehicle", "26-014"), "csv", body)
    yield Walk(pages, month)
    pages.close()


def test_every_page_has_a_picture() -> None:
    """A new page fails this test until it has one, and each is taken of somebody who may see the page."""
    wanted = {path for path, _, _ in routes()} - DOWNLOADS - SIGNED_OFF | {"/log-in"}
    assert {picture.path for picture in PICTURES} == wanted
    may_see = {path: roles for path, is_public, roles in routes() if not is_public}
    for picture in PICTURES:
        assert picture.path == "/log-in" or picture.role in may_see[picture.path], picture.name
    assert {picture.role for picture in PICTURES} == set(RIGHTS)
    assert len(PAGES) > 20


def test_the_documents_show_these_pictures_and_no_others() -> None:
    shown = {
        name for path in DOCUMENTS for name in re.findall(r"\(pictures/(station-[a-z-]+\.jpg)\)", path.read_text())
    }
    assert shown == {f"station-{picture.name}.jpg" for picture in PICTURES}
    assert {path.name for path in FOLDER.glob("station-*.jpg")} == shown


@pytest.mark.parametrize("picture", PICTURES, ids=[picture.name for picture in PICTURES])
def test_a_picture_shows_the_page_as_it_is(walk: Walk, picture: Picture, bless: bool, tmp_path: Path) -> None:
    role = None if picture.path == "/log-in" else picture.role
    page = walk.pages.page(role, size=(1280, picture.height), dark=picture.dark)
    address = walk.addresses.get(picture.path, picture.path).replace("ROLE", picture.role)
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 200
    picture.act(page, walk.month)
    wait_for_pictures(page, "img")
    page.mouse.move(0, 0)
    target = FOLDER if bless else tmp_path
    (target / f"station-{picture.name}.jpg").write_bytes(page.screenshot(type="jpeg", quality=80))
    page.close()

"""The import doctor in a real browser: how far a check is, what it found, and how it is stopped."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from station.accounts.rights import Role
from station.lists import checks
from tests.conftest import ROOT
from tests.station_browser import REFRESH, StationPages, hold_refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
LISTS = (ROOT / "docs/hotlists.md").read_text(encoding="utf-8")
PLAN = re.search(r"```toml\n(.*?)```", LISTS, flags=re.DOTALL)[1]
OWNER_FILE = b"plate,make\n" + b"".join(b"%07d,FORD\n" % n for n in range(200_000))
SIZES = ((1280, 800), (400, 800))


class Pauses:
    """The check stands still after the first part of the file until it may go on."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def check_list(self, *paths: Path, on_bytes: Callable[[int], None], **values: object) -> object:
        def each(read: int) -> None:
            on_bytes(read)
            self.reached.set()
            self.go_on.wait()

        return self.really(*paths, on_bytes=each, **values)

    really = staticmethod(checks.check_list)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pauses]:
    made = Pauses()
    monkeypatch.setattr(checks, "check_list", made.check_list)
    yield made
    made.go_on.set()


@pytest.fixture
def pages(tmp_path: Path, browser: Browser, pauses: Pauses) -> Iterator[StationPages]:
    made = StationPages(tmp_path / "station.db", browser, lambda _: None)
    yield made
    pauses.go_on.set()
    made.close()


def begin(page: Page) -> None:
    page.goto("/lists/doctor")
    for name, file, data in (("source", "stolen.csv", OWNER_FILE), ("plan", "stolen.toml", PLAN.encode())):
        page.set_input_files(f"[name={name}]", {"name": file, "mimeType": "text/plain", "buffer": data})
    page.click("button:text('Check it')")


def following(pages: StationPages, pauses: Pauses) -> Page:
    """A page that shows a check at its pause, and asks by itself how far it is."""
    page = pages.page(Role.ADMINISTRATOR)
    hold_refresh(page)
    begin(page)
    assert pauses.reached.wait(60)
    page.unroute(REFRESH)
    page.reload()
    return page


def look(page: Page, folder: Path, name: str) -> None:
    """Nothing for axe to find, and nothing wider than the window."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(AXE)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)


@pytest.mark.parametrize("dark", [False, True])
def test_page_shows_how_far_the_check_is_then_by_itself_what_it_found(pages, pauses, tmp_path, dark):
    page = pages.page(Role.ADMINISTRATOR, dark=dark)
    hold_refresh(page)
    begin(page)
    assert pauses.reached.wait(60)
    page.reload()
    bar = page.get_by_role("progressbar", name="Share that is done")
    share = float(bar.get_attribute("value"))
    assert 0 < share < 1
    assert f"{int(100 * share)} % of the file is read" in page.inner_text("main")
    assert page.get_by_role("button", name="Check it").count() == 0
    look(page, tmp_path, "running")
    page.unroute(REFRESH)
    page.reload()
    pauses.go_on.set()
    page.wait_for_selector("h2:text('Alarm budget')")
    assert "200,000" in page.inner_text("main")
    look(page, tmp_path, "done")
    with page.expect_download() as download:
        page.click("button:text('Download the draft')")
    assert download.value.suggested_filename == "list.draft"
    page.click("button:text('Delete it')")
    assert page.get_by_role("button", name="Check it").is_visible()
    assert page.get_by_text("Alarm budget").count() == 0


def test_page_that_asks_by_itself_keeps_neither_the_session_nor_takes_the_focus(pages, pauses):
    page = following(pages, pauses)
    page.evaluate("document.querySelector('progress').value = 0")
    page.focus("button:text('Stop')")
    with page.expect_response("**/lists/doctor") as asked:
        page.wait_for_selector("progress:not([value='0'])")
    assert asked.value.request.headers["x-unattended"] == "yes"
    assert asked.value.request.resource_type == "xhr"
    assert page.evaluate("document.activeElement.textContent") == "Stop"
    pauses.go_on.set()
    page.wait_for_selector("h2:text('Alarm budget')")


def test_page_keeps_what_it_shows_while_the_station_does_not_answer(pages, pauses):
    page = following(pages, pauses)
    lost = []
    page.route("**/lists/doctor", lambda route: (lost.append(route.request.resource_type), route.abort()))
    with page.expect_event("requestfailed"):
        pass
    assert lost == ["xhr"]
    assert page.get_by_role("progressbar").is_visible()
    page.unroute("**/lists/doctor")
    pauses.go_on.set()
    page.wait_for_selector("h2:text('Alarm budget')")


def test_check_is_stopped_on_the_page_and_another_one_is_made(pages, pauses):
    page = pages.page(Role.ADMINISTRATOR)
    hold_refresh(page)
    begin(page)
    assert pauses.reached.wait(60)
    page.reload()
    page.click("button:text('Stop')")
    assert page.get_by_role("button", name="Check it").is_visible()
    pauses.go_on.set()
    page.unroute(REFRESH)
    begin(page)
    page.wait_for_selector("h2:text('Alarm budget')")

"""The station's pages of evidence, reports and alarms in a real browser."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from protocol.seal import SigningKey
from protocol.wire.enums import DispositionAction, MatchRule
from station.accounts.rights import Role
from station.asker import EVERYTHING, Asker
from station.commands import Commands
from station.evidence.examine import examine_package
from station.reports.make import make_report
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.builders import UTC_NS
from tests.hit_builders import make_disposition, make_hit_body
from tests.signed_series import READ_ID, SignedUnit
from tests.station_browser import REFRESH, hold_refresh, log_in_by_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
PASSWORD = "correct horse 42"  # noqa: S105 - of tests
NOW_US = UTC_NS // 1000 + 3_600_000_000
SIZES = ((1280, 800), (400, 800))
HOSTILE = "<img src=x onerror=alert(1)>';--"
PAGES = (
    "/evidence",
    "/reports",
    "/reports?definition=virginia&period=2026",
    "/reports?definition=arkansas&period=2026-H1",
    "/alarms?period=2026-05&cars=2000000",
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[WebServer]:
    """A station with some hits, of lists that were offered with figures, and a supervisor."""
    store = open_store(tmp_path / "station.db")
    unit = SignedUnit(store, now_us=NOW_US)
    unit.hit_with_story()
    for number in range(24):
        hit_id = bytes([number + 1]) * 16
        rule = MatchRule.APPROXIMATE if number % 3 else MatchRule.EXACT
        name = HOSTILE if number % 5 == 0 else "Stolen vehicles"
        other = {"list_id": "county" if number % 5 == 0 else "stolen", "list_name": name, "rule": rule}
        unit.add(make_hit_body(f"8ABC{100 + number}", hit_id=hit_id, listed_text=f"BABC{100 + number}", **other))
        unit.add(make_disposition(DispositionAction.REJECTED, hit_id=hit_id, reason="misread"))
    ticks = itertools.count(NOW_US)
    package = tmp_path / "list.lprhot"
    package.write_bytes(b"x")
    Commands(store, Asker("clerk"), lambda: UTC_NS // 1000 - 30 * 86_400_000_000).offer_file(
        "unit-07", "hotlist", package, release=1, told="list=stolen version=1 exact=1 approximate=8"
    )
    server = WebServer(
        store, WebSettings(port=0), lambda: next(ticks), ring=unit.ring(receipts=SigningKey.generate())
    )
    link = server.accounts.add(
        Asker("test"), "sam", full_name="Sam Example", role=Role.SUPERVISOR, scope=EVERYTHING
    )
    server.accounts.set_up(link, PASSWORD, "")
    server.start()
    yield server
    server.close()
    store.close()


@pytest.fixture
def opened(served: WebServer, browser: Browser) -> Iterator[Callable[..., Page]]:
    """A logged-in page; a script's error fails the test."""
    contexts: list[Any] = []
    errors: list[str] = []

    def log_in(**options: Any) -> Page:
        context = browser.new_context(locale="en-US", timezone_id="UTC", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        log_in_by_form(page, served.address, "sam")
        return page

    yield log_in
    for context in contexts:
        context.close()
    assert errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible_and_fit(served, opened, theme, tmp_path):
    """At both widths: axe finds nothing, and nothing but a table is wider than the window."""
    page = opened(color_scheme=theme, bypass_csp=True)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for number, path in enumerate(PAGES):
            page.goto(served.address + path)
            page.evaluate(AXE)
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found["violations"]] == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            page.screenshot(path=tmp_path / f"{number}-{theme}-{width}.png", full_page=True)


def test_evidence_is_downloaded_and_verifies(served, opened, tmp_path):
    page = opened()
    page.goto(f"{served.address}/evidence")
    page.fill("[name=identity]", READ_ID.hex())
    for button in ("Archive (ZIP)", "Page alone (HTML)"):
        with page.expect_download() as download:
            page.click(f"text={button}")
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert examine_package(file.read_bytes()).is_right


def test_report_is_chosen_by_period_and_printed(served, opened, browser, tmp_path):
    """The printed page is one file without script and network; axe finds nothing in it."""
    page = opened()
    page.goto(f"{served.address}/reports")
    page.select_option("[name=definition]", "arkansas")
    page.fill("[name=period]", "2026-H1")
    page.click("text=Show")
    page.wait_for_selector("h2:text('Hits by list')")
    assert HOSTILE in page.inner_text("main")
    with page.expect_download() as download:
        page.click("text=Page to print")
    file = tmp_path / "report.html"
    download.value.save_as(file)
    for theme, width in (("light", 1280), ("dark", 400)):
        context = browser.new_context(
            offline=True, color_scheme=theme, viewport={"width": width, "height": 800}, bypass_csp=True
        )
        tab = context.new_page()
        tab.goto(file.as_uri())
        tab.evaluate(AXE)
        found = tab.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found["violations"]] == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.screenshot(path=tmp_path / f"printed-{width}.png", full_page=True)
        if theme == "light":
            tab.pdf(path=tmp_path / "printed.pdf")
        context.close()


def test_alarms_that_part_are_named(served, opened):
    """Far more false alarms than the figures of the offered list: the page warns, and says by how much."""
    page = opened()
    page.goto(f"{served.address}/alarms?period=2026-05&cars=100000")
    page.wait_for_selector("text=more than expected")
    text = page.inner_text("main")
    assert "part from what was expected" in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_long_count_is_shown_then_its_tables_or_it_is_stopped(served, opened, monkeypatch, tmp_path, theme):
    go_on, reached = threading.Event(), threading.Event()

    def slowly(*given, **named):
        tell = given[-1]

        def told(share):
            tell(share)
            if share > 0.5:
                reached.set()
                go_on.wait()

        return make_report(*given[:-1], told, **named)

    monkeypatch.setattr("station.web.pages.reports.make_report", slowly)
    monkeypatch.setattr("station.web.pages.reports.AT_ONCE_S", 0.0)
    page = opened(color_scheme=theme, bypass_csp=True)
    hold_refresh(page)
    address = f"{served.address}/reports?definition=general&period=2026-05"
    page.goto(address)
    assert reached.wait(60)
    page.reload()
    assert "60 % is counted." in page.inner_text("main")
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(AXE)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [v["id"] for v in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"counting-{theme}-{width}.png", full_page=True)
    page.click("text=Stop")
    page.wait_for_url(f"{served.address}/reports")
    assert page.get_by_role("button", name="Stop").count() == 0
    page.unroute(REFRESH)
    page.goto(address)
    go_on.set()
    page.wait_for_selector("h2:text('Hits by list')")

"""The station's pages of holds, of the audit log and of own report definitions in a real browser."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from protocol.merkle.checkpoint import sign_checkpoint
from protocol.seal import SigningKey
from station.accounts.rights import Role
from station.asker import EVERYTHING, Asker
from station.reports.own import OwnDefinitions
from station.retention.holds import HoldDesk, hold_scope
from station.retention.purges import Purger
from station.store import open_store
from station.store.rows import CheckpointRow, ConflictRow, PurgePlan, PurgeRule, WitnessRow
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.builders import UTC_NS, make_read_record
from tests.station_browser import log_in_by_form
from tests.station_files import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from station.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
PASSWORD = "correct horse 42"  # noqa: S105 - of tests
NOW_US = UTC_NS // 1000 + 3_600_000_000
SIZES = ((1280, 800), (400, 800))
HOSTILE = "<img src=x onerror=alert(1)>';--"
CLERK = Asker("pat.clerk", "court order", "26-014")
PAGES = {
    "sam": ("/holds", "/reports/definitions", "/reports/definitions?edit=general"),
    "ada": ("/audit/log",),
}
OWN = 'id = "county"\ntitle = "Use of readers in the county"\nperiod = "quarter"\ntimezone = "America/Chicago"\n'


def fill(store: Store) -> None:
    """Holds in force and released, two purges, a checkpoint with witnesses, and a unit that refuses the log."""
    records = [make_read_record(seq, seq=seq, text=f"7ABC{100 + seq}") for seq in range(1, 41)]
    add(store, *records, now_us=NOW_US)
    desk = HoldDesk(store, CLERK, lambda: NOW_US)
    named = tuple(record.envelope.record_id.hex() for record in records[:3])
    for scope in (
        hold_scope(ids=named),
        hold_scope(plate="7ABC13*", since_us=NOW_US - 7_200_000_000, until_us=NOW_US),
        hold_scope(case="26-009"),
        hold_scope(unit="unit-08"),
    ):
        desk.place(scope, case_number="26-014", reason=f"discovery, order of the court of May 12 {HOSTILE}")
    desk.release(3, case_number="26-014", reason="the case was closed")
    for seconds, reason in ((60, f"days=30 {HOSTILE}"), (120, "expiry of records, policies us-va/3")):
        clock_us = NOW_US + seconds * 1_000_000
        before_us = 2**60 if seconds > 60 else 1  # the first one finds nothing
        Purger(store, CLERK, lambda clock_us=clock_us: clock_us).run(
            PurgePlan((PurgeRule("nonhit", before_us),)), reason
        )
    note = sign_checkpoint(SigningKey.generate(), 90, bytes(range(32)))
    with store.transaction():
        store.log.add_checkpoint(CheckpointRow(7, note, NOW_US))
        for number in (7, 8, 12):
            store.log.add_witness(WitnessRow(f"unit-{number:02}", 7, "a line", NOW_US + number))
        store.log.add_conflict(ConflictRow("unit-12", 90, note, NOW_US))
    OwnDefinitions(store, CLERK, lambda: NOW_US).save(OWN)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[WebServer]:
    store = open_store(tmp_path / "station.db")
    fill(store)
    ticks = itertools.count(NOW_US + 200_000_000)
    server = WebServer(store, WebSettings(port=0), lambda: next(ticks))
    for name, role in (("sam", Role.SUPERVISOR), ("ada", Role.AUDITOR)):
        link = server.accounts.add(Asker("test"), name, full_name=f"{name} Example", role=role, scope=EVERYTHING)
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

    def log_in(name: str, **options: Any) -> Page:
        context = browser.new_context(locale="en-US", timezone_id="UTC", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        log_in_by_form(page, served.address, name)
        return page

    yield log_in
    for context in contexts:
        context.close()
    assert errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_accessible_and_fit(served, opened, theme, name, tmp_path):
    """At both widths: axe finds nothing, and nothing but a table is wider than the window."""
    page = opened(name, color_scheme=theme, bypass_csp=True)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for number, path in enumerate(PAGES[name]):
            page.goto(served.address + path)
            page.evaluate(AXE)
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found["violations"]] == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            current = page.locator("nav.side [aria-current]")
            assert current.evaluate_all("links => links.map(link => link.getAttribute('href'))") == [
                path.split("?")[0]
            ]
            page.screenshot(path=tmp_path / f"{name}-{number}-{theme}-{width}.png", full_page=True)


def test_a_hold_is_placed_and_released_on_the_page(served, opened):
    page = opened("sam")
    page.goto(f"{served.address}/holds")
    page.get_by_label("Plate").fill("7abc105")
    page.get_by_label("Reason", exact=True).fill("second order")
    page.get_by_label("Reason", exact=True).press("Enter")
    row = page.locator("tbody tr").first
    assert "7ABC105" in row.inner_text()
    page.get_by_label("Reason for the release of hold 5").fill("withdrawn")
    row.get_by_role("button", name="Release").click()
    assert "released" in page.locator("tbody tr").first.inner_text()
    page.get_by_label("Unit").fill("../x")
    page.get_by_label("Reason", exact=True).fill("r")
    page.get_by_role("button", name="Place the hold").click()
    assert "this cannot be held" in page.get_by_role("alert").inner_text()


def test_the_auditor_is_warned_and_downloads_a_certificate(served, opened, tmp_path):
    page = opened("ada")
    page.goto(f"{served.address}/audit/log")
    assert "unit-12 keeps a checkpoint" in page.get_by_role("alert").inner_text()
    with page.expect_download() as download:
        page.click("text=Certificate of purge 2")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert '"kind":"purge"' in file.read_text()


def test_a_definition_is_made_of_an_example_and_shown_as_a_report(served, opened, tmp_path):
    page = opened("sam")
    page.goto(f"{served.address}/reports/definitions")
    page.get_by_role("link", name="Copy of general").click()
    page.click("text=Check and save")
    page.get_by_label("Make the report own-general").click()
    page.get_by_role("button", name="Show").click()
    assert page.locator("[name=definition]").input_value() == "own-general"
    assert page.get_by_role("heading", name="Reads kept").count() == 1
    file = tmp_path / "own.toml"
    file.write_text(OWN.replace("quarter", "day"))
    page.goto(f"{served.address}/reports/definitions")
    page.get_by_label("Or a file, in place of the text").set_input_files(file)
    page.click("text=Check and save")
    assert "period: " in page.get_by_role("alert").inner_text()
    assert 'period = "day"' in page.locator("[name=text]").input_value()

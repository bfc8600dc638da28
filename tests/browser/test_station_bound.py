"""What a person sees at the bound of look-ups, and how a token is made, in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp
import pytest
from playwright.sync_api import expect

from station.asker import Asker
from station.query.bound import MIN_READS, ReadBound
from station.store import NewRecord
from tests.builders import UTC_NS
from tests.station_browser import StationPages
from tests.station_people import read_of
from tests.station_web import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from station.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
NOW_US = UTC_NS // 1000 + 3_600_000_000
SIZES = ((1280, 800), (400, 800))


def fill(store: Store) -> None:
    made = [read_of(n, text=f"7ABC{n:03}") for n in range(1, MIN_READS + 31)]
    with store.transaction():
        store.add_records([NewRecord(record) for record in made], NOW_US)
    ReadBound(store, lambda: NOW_US).set(Asker("test"), MIN_READS)


@pytest.fixture
def pages(tmp_path: Path, browser: Browser) -> Iterator[StationPages]:
    made = StationPages(tmp_path / "station.db", browser, fill)
    yield made
    made.close()


def has_no_faults(page: Page) -> None:
    page.evaluate(AXE)
    found = page.evaluate("axe.run().then(told => told.violations.map(one => one.id))")
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_that_would_be_more_says_so_and_offers_the_export(pages, tmp_path, size, dark):
    page = pages.page("analyst", size=size, dark=dark)
    page.goto("/search")
    page.click("main button.main")
    expect(page.locator("a.plate")).to_have_count(MIN_READS)
    page.click("text=Next")
    expect(page.locator("main")).to_contain_text("more than the 50 different reads")
    expect(page.locator("a.plate")).to_have_count(0)
    page.screenshot(path=tmp_path / "bound.png", full_page=True)
    has_no_faults(page)
    page.click("text=Export these")
    expect(page.locator("h1")).to_contain_text("export", ignore_case=True)


@pytest.mark.parametrize("size", SIZES)
def test_an_administrator_changes_the_bound(pages, tmp_path, size):
    page = pages.page("administrator", size=size)
    page.goto("/settings")
    page.fill("[name=reads]", "75")
    page.screenshot(path=tmp_path / "settings.png", full_page=True)
    has_no_faults(page)
    page.click("form[action='/settings/look-ups'] button")
    expect(page.locator("[name=reads]")).to_have_value("75")
    assert ReadBound(pages.store, lambda: NOW_US).get() == 75


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_a_token_is_made_with_password_and_code(pages, tmp_path, size, dark):
    page = pages.page("analyst", size=size, dark=dark)
    secret = pyotp.random_base32()
    account = pages.store.accounts.get("jane-analyst")
    assert account is not None
    with pages.store.transaction():
        pages.store.accounts.put(replace(account, totp=secret))
    page.goto("/account")
    page.fill("[name=label]", "script")
    page.fill("[name=days]", "366")
    page.fill("[action='/account/tokens'] [name=password]", PASSWORD)
    page.fill("[name=code]", pyotp.TOTP(secret).now())
    page.screenshot(path=tmp_path / "account.png", full_page=True)
    has_no_faults(page)
    page.click("text=Make a token")
    expect(page.locator("[role=status] .code")).to_contain_text("lpr_")

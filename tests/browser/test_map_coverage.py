"""Coverage on the map in a real browser: the layer, its legend, and the table that says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from station.asker import Asker
from station.deployment.zones import make_zone
from station.planning import Planning
from station.store.deployment.port import CoveragePeriod
from tests.station_browser import StationPages
from tests.station_map import RECEIVED_US, fill_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from station.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
NOW_US = RECEIVED_US + 30_000_000
HOUR_US = 3_600_000_000
MINUTE_MS = 60_000
HOSTILE = '<img src=x onerror=alert(1)>"&'
AREAS = {"east": ("East side", -100.345), "north": ("North", -100.375), "woods": (HOSTILE, -100.405)}
"""Rectangles of 0.025 by 0.03 degrees beside each other: name and western edge."""


def fill(store: Store) -> None:
    """Three zones, of which nobody was in one; coverage of the last two hours and of nine days ago."""
    fill_map(store)
    zones = [
        make_zone(name, title, ((44.0, west), (44.0, west + 0.03), (44.04, west + 0.03), (44.04, west)))
        for name, (title, west) in AREAS.items()
    ]
    Planning(store, Asker("test", "month"), lambda: NOW_US).put_zones(zones)
    now = [("north", 5_000, 100 * MINUTE_MS, 40), ("east", 800, 20 * MINUTE_MS, 3), ("", 100, 5 * MINUTE_MS, 1)]
    long_ago = [("east", 9_000, 300 * MINUTE_MS, 50)]
    with store.transaction():
        store.deployment.add_coverage(
            [period(1, NOW_US - HOUR_US, now), period(2, NOW_US - 9 * 24 * HOUR_US, long_ago)]
        )


def period(number: int, ends_us: int, zones: list[tuple[str, int, int, int]]) -> CoveragePeriod:
    distance_m, located_ms = sum(zone[1] for zone in zones), sum(zone[2] for zone in zones)
    return CoveragePeriod(
        "unit-01", bytes([number]) * 16, None, ends_us, tuple(zones), distance_m, located_ms, 0, 0, 0
    )


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, drawing_browser: Browser) -> Iterator[StationPages]:
    path = tmp_path_factory.mktemp("station") / "station.db"
    pages = StationPages(path, drawing_browser, fill, lambda: NOW_US)
    yield pages
    pages.close()


def opened(station: StationPages, role: str = "supervisor", **options: object) -> Page:
    page = station.page(role, **options)  # type: ignore[arg-type]
    page.goto("/map")
    page.wait_for_selector("#map[data-ready=yes][data-units]")
    return page


def rows(page: Page) -> dict[str, tuple[str, ...]]:
    found = [line.locator("th, td").all_text_contents() for line in page.locator("#coverage-rows tr").all()]
    return {name: tuple(others) for name, *others in found}


def canvas(page: Page) -> np.ndarray:
    shot = np.frombuffer(page.locator("#map canvas").screenshot(), np.uint8)
    return cv2.imdecode(shot, cv2.IMREAD_COLOR).astype(int)


def faults(page: Page) -> list[object]:
    page.evaluate(AXE)
    found: list[object] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return found


def test_zones_are_drawn_with_a_legend_and_a_table(station: StationPages, tmp_path: Path) -> None:
    page = opened(station)
    before = canvas(page)
    page.check("#show-coverage")
    page.wait_for_selector("#map[data-coverage='3']")
    changed = np.abs(canvas(page) - before).max(axis=2) > 12
    page.screenshot(path=tmp_path / "coverage.png")
    assert changed.mean() > 0.05, "the zones are on the map"
    assert rows(page) == {
        HOSTILE: ("0 min", "0"), "East side": ("20 min", "3"), "North": ("1 h 40 min", "40"),
        "outside all zones": ("5 min", "1"), "everything": ("2 h 5 min", "44"),
    }  # fmt: skip
    legend = page.locator("#coverage-legend li").all_text_contents()
    assert legend == ["no time", "up to 30 min", "up to 1 h", "up to 1 h 30 min", "up to 2 h"]
    assert faults(page) == []
    page.uncheck("#show-coverage")
    assert page.is_hidden("#coverage-panel")


def test_the_period_of_the_map_is_that_of_the_coverage(station: StationPages) -> None:
    page = opened(station, dark=True, size=(400, 800))
    page.check("#show-coverage")
    page.wait_for_selector("#coverage-rows tr")
    with page.expect_response("**/api/1/map/coverage?*") as answered:
        page.select_option("#period", label="last 30 days")
    assert answered.value.ok
    page.wait_for_selector("#coverage-rows td:text-is('5 h 20 min')")
    assert rows(page)["East side"] == ("5 h 20 min", "53")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, "not wider than the window"
    entry = [row for row in station.store.audit_trail() if row.what == "show coverage"][-1]
    since_us, until_us = (int(found) for found in re.findall(r"_us=(\d+)", entry.filter))
    assert (since_us % HOUR_US, (until_us - since_us) // (24 * HOUR_US)) == (0, 30)
    assert (entry.who, entry.case_number) == ("jane-supervisor", "26-014")


def test_coverage_needs_the_right_and_a_purpose(station: StationPages) -> None:
    """An officer sees the map without it."""
    asked = station.page("officer").context.request
    page = asked.get("/map")
    assert (page.status, "show-reads" in page.text(), "coverage" in page.text()) == (200, True, False)
    assert asked.get("/api/1/map/coverage?since_us=0&until_us=1").status == 403

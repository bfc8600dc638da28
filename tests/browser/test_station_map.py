"""Map and leads in a real browser: live, by role, after a purpose, without a network, with hostile texts."""

from __future__ import annotations

import io
import json
import re
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from station.asker import EVERYTHING, Asker
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.console_process import LARGE, PATIENCE_MS
from tests.station_map import HOSTILE, RECEIVED_US, fill_hostile, fill_map, hit_id
from tests.station_web import CHEAP, PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
NARROW = (400, 800)


class Station:
    """A served store, and people who look at it."""

    def __init__(self, server: WebServer, browser: Browser) -> None:
        self.server = server
        self._browser = browser
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def page(self, role: str, *, why: bool = True, size: tuple[int, int] = LARGE, dark: bool = False) -> Page:
        """A page of a person who is logged in; what its browser complains of, and asks for, is kept."""
        name = f"a-{role}-{len(self.requests)}"
        link = self.server.accounts.add(Asker("t"), name, full_name="Ana Example", role=role, scope=EVERYTHING)
        self.server.accounts.set_up(link, PASSWORD, "")
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.goto(f"{self.server.address}/log-in")
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_selector("nav.side")
        if why:
            page.goto(f"{self.server.address}/purpose")
            page.fill("[name=purpose]", "stolen vehicle")
            page.fill("[name=case_number]", "26-014")
            page.click("main button")
            page.wait_for_selector(".case strong")
        return page

    def map(self, role: str = "officer", **options) -> Page:
        page = self.page(role, **options)
        page.goto(f"{self.server.address}/map")
        page.wait_for_selector("#map[data-ready=yes][data-units]", timeout=4 * PATIENCE_MS)
        return page


@pytest.fixture
def serve(tmp_path, drawing_browser, monkeypatch):
    """Serves a store, filled first."""
    monkeypatch.setattr("station.web.app.argon2id", lambda: CHEAP)

    @contextmanager
    def serving(fill=fill_map, **settings):
        store = open_store(tmp_path / "station.db")
        fill(store)
        server = WebServer(store, WebSettings(port=0, **settings), lambda: RECEIVED_US + 30_000_000)
        server.start()
        station = Station(server, drawing_browser)
        try:
            yield station
        finally:
            for context in drawing_browser.contexts:
                context.close()
            server.close()
            store.close()
        assert station.complaints == []
        foreign = [url for url in station.requests if not url.startswith((server.address, "data:"))]
        assert foreign == [], "nothing is loaded from anywhere else"

    return serving


def axe(page: Page) -> dict[str, list[str]]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return {one["id"]: [node["html"][:200] for node in one["nodes"]] for one in found["violations"]}


def text(page: Page, selector: str) -> str:
    return page.text_content(selector) or ""


@pytest.mark.parametrize(("size", "dark"), [(LARGE, False), ((1280, 800), True), (NARROW, True)])
def test_map_shows_units_and_leads_to_everybody_who_may_see_them(serve, size, dark):
    """Without a purpose and without a network; nothing is wider than the window, and axe finds nothing."""
    with serve() as station:
        page = station.map(why=False, size=size, dark=dark)
        assert text(page, "#unit-count") == "4 units."
        assert page.locator("#unit-list li").count() == 4
        assert "Live. Station's time" in text(page, "#live-note")
        page.wait_for_selector("#hit-list li")
        states = page.locator("#hit-list .chip").all_text_contents()
        assert set(states) <= {"new", "acknowledged", "confirmed", "rejected", "withdrawn", "expired"}
        assert page.locator("#show-reads").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert axe(page) == {}


def test_a_unit_is_shown_with_age_and_error_of_its_position(serve):
    with serve() as station:
        page = station.map()
        page.click("#unit-list button >> nth=0")
        said = text(page, "#selected")
        assert "±4.5 m" in said
        assert re.search(r"3\d s ago", said)
        assert "from its last read" in said


def test_reads_are_drawn_after_a_purpose(serve):
    """Few are shown one by one."""
    with serve() as station:
        page = station.map()
        page.check("#show-reads")
        page.wait_for_selector("#map[data-reads-shown]:not([data-reads-shown='0'])")
        assert "reads in view" in text(page, "#view-note")


def test_an_area_that_is_drawn_is_handed_to_the_search(serve):
    with serve() as station:
        page = station.map()
        place = page.locator("#map canvas").bounding_box()
        middle = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2

        def click(right: int, down: int) -> None:
            page.mouse.click(middle[0] + right, middle[1] + down)

        page.click("#draw-circle")
        click(0, 0)
        click(80, 0)
        assert page.input_value("#draw-area").count(",") == 2, "a circle"
        page.click("#draw-clear")
        page.click("#draw-polygon")
        for right, down in ((-200, -200), (200, -200), (0, 200)):
            click(right, down)
        page.click("#draw-done")
        assert page.input_value("#draw-area").count(";") == 2, "three corners"
        page.click("#draw-search button")
        page.wait_for_selector("a.plate")
        assert "/search/" in page.url
        page.fill("[name=plates]", "1ABC*")
        page.click("main button.main")
        page.wait_for_selector("a.plate")
        assert page.is_checked("[name=drawn]"), "the area is still there"


def test_the_map_says_so_when_the_station_is_silent(serve):
    with serve() as station:
        page = station.map()
        # From here on the page's clock is ours.
        page.clock.install()
        page.reload()
        page.wait_for_selector("#map[data-live=yes]", timeout=4 * PATIENCE_MS)
        page.context.set_offline(True)
        station.server.close()
        page.clock.run_for(40_000)
        assert "NO CONNECTION" in text(page, "#live-note")
        station.complaints.clear()


@pytest.mark.parametrize("role", ["auditor", "administrator"])
def test_who_has_not_the_right_sees_neither_map_nor_leads(serve, role):
    with serve() as station:
        page = station.page(role)
        for path in ("/map", "/hits"):
            assert page.goto(f"{station.server.address}{path}").status == 403
        assert page.locator("nav.side a[href='/map'], nav.side a[href='/hits']").count() == 0
        station.complaints.clear()


@pytest.mark.parametrize(("size", "dark"), [((1280, 800), False), (NARROW, True)])
def test_leads_are_shown_with_their_ledger_and_evidence(serve, size, dark):
    with serve() as station:
        page = station.page("analyst", size=size, dark=dark)
        page.goto(f"{station.server.address}/hits")
        assert "misread 1" in text(page, "main")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert axe(page) == {}
        page.goto(f"{station.server.address}/hits/unit-01/{hit_id(1).hex()}")
        picture = page.locator("img.hit-picture")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert axe(page) == {}


def test_hostile_texts_stay_texts(serve):
    """In lists, popups and labels of the map, and on the pages of leads."""
    with serve(fill_hostile) as station:
        page = station.map()
        page.wait_for_selector("#hit-list li")
        assert HOSTILE in text(page, "#hit-list")
        page.check("#show-reads")
        page.click("#hit-list a")
        assert HOSTILE in text(page, "main")
        page.goto(f"{station.server.address}/hits")
        assert HOSTILE in text(page, "main")
        assert page.locator("img[src=x]").count() == 0


def test_the_agencys_own_map_is_drawn(serve, tmp_path):
    """A PMTiles file of one red tile, fetched in ranges."""
    tiles = tmp_path / "county.pmtiles"
    tiles.write_bytes(pmtiles(b'{"attribution":"<a href=x>The County</a>"}'))
    with serve(map_tiles=tiles) as station:
        page = station.map()
        assert text(page, "#attribution").endswith(" The County")
        assert page.is_hidden("#map-error")
        assert any(url.endswith("/map/tiles.pmtiles") for url in station.requests)


def pmtiles(metadata: bytes) -> bytes:
    """An archive of one PNG tile, the whole world (PMTiles version 3)."""
    from PIL import Image  # noqa: PLC0415 - slow to import

    out = io.BytesIO()
    Image.new("RGB", (256, 256), (200, 30, 30)).save(out, "PNG")
    tile = out.getvalue()
    directory = bytes([1, 0, 1, *varint(len(tile)), 1])
    json.loads(metadata)
    starts = (127, 127 + len(directory), 127 + len(directory) + len(metadata))
    header = b"PMTiles\x03" + struct.pack(
        "<11Q", starts[0], len(directory), starts[1], len(metadata), 0, 0, starts[2], len(tile), 1, 1, 1
    )
    header += bytes([1, 1, 1, 2, 0, 0]) + struct.pack(
        "<iiii", -1_800_000_000, -850_000_000, 1_800_000_000, 850_000_000
    )
    header += struct.pack("<Bii", 0, 0, 0)
    return header + directory + metadata + tile


def varint(number: int) -> list[int]:
    found = []
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return [*found, number]

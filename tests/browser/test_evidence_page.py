"""The page of an evidence package in a real browser, from a file, without a network."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.records import TimeTag
from protocol.seal import SigningKey
from protocol.wire.enums import DispositionAction, TimeSource
from station.asker import Asker
from station.evidence.make import make_package
from station.query.evidence import EvidenceOf
from station.query.trail import Trail
from station.store import open_store
from tests.builders import make_time_anchor
from tests.hit_builders import make_disposition, make_hit_body
from tests.signed_series import HIT_ID, NOW_US, READ_ID, SignedUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from station.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.slow]
AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
HOSTILE = "<img src=x onerror=alert(1)>';DROP TABLE reads;--"
NO_ED25519 = """const own = crypto.subtle.importKey.bind(crypto.subtle);
crypto.subtle.importKey = (form, key, algorithm, ...rest) => algorithm === "Ed25519"
    ? Promise.reject(new DOMException("unsupported", "NotSupportedError")) : own(form, key, algorithm, ...rest);"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "station.db")
    yield opened
    opened.close()


@pytest.fixture
def unit(store: Store) -> SignedUnit:
    return SignedUnit(store)


def rendered(signed: SignedUnit, own: SigningKey | None = None, identity: bytes = READ_ID) -> str:
    asker = Asker("clerk", "stolen vehicle", "2026-0042")
    trail = Trail(signed.store, asker, lambda: NOW_US)
    package = EvidenceOf(signed.store, asker, lambda: NOW_US, trail).package(identity, signed.ring())
    assert package is not None
    return make_package(package, own, None).page.decode()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a page from the disk with the network off, and waits for its verdict."""
    contexts = []

    def show(page: str, script: str = "", **options: Any) -> Page:
        context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_text(page, encoding="utf-8")
        tab = context.new_page()
        requested: list[str] = []
        tab.on("request", lambda request: requested.append(request.url))
        tab.on("dialog", lambda dialog: requested.append(dialog.message))
        if script:
            tab.add_init_script(script)
        tab.goto(file.as_uri())
        tab.wait_for_selector("html[data-result]")
        assert {url for url in requested if not url.startswith(("file:", "data:"))} == set()
        return tab

    yield show
    for context in contexts:
        context.close()


def problems(tab: Page) -> list[str]:
    assert tab.get_attribute("html", "data-result") == "altered"
    assert tab.inner_text("#verdict") == "NOT verified"
    return [
        line for line in tab.locator("#findings li").all_inner_texts() if line.startswith(("Altered", "Not", "A "))
    ]


@pytest.mark.parametrize("script", ["", NO_ED25519], ids=["own-ed25519", "noble"])
def test_page_verifies_itself(unit, opened, script):
    """With the browser's Ed25519, and with the page's copy where it has none, which it says."""
    unit.hit_with_story()
    tab = opened(rendered(unit, SigningKey.generate()), script)
    assert tab.get_attribute("html", "data-result") == "verified"
    assert tab.inner_text("#verdict") == "Verified"
    text = tab.inner_text("#findings")
    assert text.count("The unit signed this record") == 6
    assert "The station signed this export." in text
    assert ("noble-ed25519" in text) == bool(script)


def test_unsigned_export_verifies_and_says_so(unit, opened):
    unit.hit_with_story()
    tab = opened(rendered(unit))
    assert tab.get_attribute("html", "data-result") == "verified"
    assert "The station did not sign this export" in tab.inner_text("#findings")


def test_values_are_written_as_python_writes_them(unit, opened):
    """Extreme, absent and hostile values: the script's formats are those of values.py."""
    unit.read(
        1, text=HOSTILE[:32], raw=HOSTILE, read_id=READ_ID, pictures=(), confidence_e4=0, expires_utc_us=2**62,
        masked=True, alternatives=((HOSTILE, 10_000), ("é 車", 7)),
        when=TimeTag(None, TimeSource.NONE, None), text_hash=bytes(16),
    )  # fmt: skip
    unit.add(make_time_anchor(60_000_000_000))
    unit.add(
        make_hit_body("0", hit_id=HIT_ID, read_id=READ_ID, list_name=HOSTILE, list_as_of_us=None, pictures=())
    )
    unit.add(make_hit_body("0", hit_id=HIT_ID, read_id=READ_ID, list_version=2**63 - 1, utc_us=2**62, pictures=()))
    unit.add(
        make_disposition(hit_id=HIT_ID, note=f"{HOSTILE}</script><script>alert(1)</script>", reference="&amp;")
    )
    tab = opened(rendered(unit))
    assert tab.get_attribute("html", "data-result") == "verified", tab.inner_text("#findings")
    assert HOSTILE in tab.inner_text("main")


def test_altered_value_is_named_and_marked(unit, opened):
    unit.hit_with_story()
    tab = opened(rendered(unit).replace(">7ABC123</td>", ">7ABC128</td>", 1))
    assert problems(tab) == [
        'Altered text: "Plate text, from all frames" of read (record 1 of unit-07)',
        "Altered text on this page",
    ]
    assert tab.inner_text("td.altered") == "7ABC128"


def test_altered_picture_is_named_and_marked(unit, opened):
    unit.hit_with_story()
    page = rendered(unit)
    data = re.search(r'alt="Picture of the plate" src="data:image/jpeg;base64,([^"]+)"', page)[1]
    other = base64.b64encode(base64.b64decode(data)[:-1] + b"\0").decode()
    tab = opened(page.replace(data, other))
    assert problems(tab) == ["Altered picture: Picture of the plate"]
    assert tab.locator("img.altered").count() == 1


def test_altered_signature_is_named(unit, opened):
    unit.hit_with_story()
    page = rendered(unit)
    first = re.search(r'"signature": "([^"]+)"', page)[1]
    tab = opened(page.replace(first, base64.b64encode(bytes(64)).decode()))
    assert "Altered record, or not signed by its unit: read (record 1 of unit-07)" in problems(tab)


def test_record_altered_together_with_its_text_is_named(unit, opened):
    unit.hit_with_story()
    page = rendered(unit).replace(">7ABC123</td>", ">7ABC128</td>")
    record = re.search(r'"record": "([^"]+)"', page)[1]
    forged = base64.b64encode(base64.b64decode(record).replace(b"7ABC123", b"7ABC128")).decode()
    found = problems(opened(page.replace(record, forged)))
    assert "Altered record, or not signed by its unit: read (record 1 of unit-07)" in found


def test_altered_statement_of_the_station_is_noticed(unit, opened):
    """Who exported it is not signed by a unit; with the station's key it is by the station."""
    unit.hit_with_story()
    page = rendered(unit, SigningKey.generate()).replace('"exported_by": "clerk"', '"exported_by": "other"')
    assert problems(opened(page)) == ["Altered signature of the station, or altered contents of the export"]


def test_package_that_cannot_be_read_is_not_verified(unit, opened):
    unit.hit_with_story()
    page = re.sub(r'(id="package">)[^<]*<', r"\1{}<", rendered(unit))
    assert opened(page).get_attribute("html", "data-result") == "altered"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_page_is_accessible_and_fits(unit, opened, theme, width, tmp_path):
    """axe finds nothing, and nothing is wider than the window; also when something was altered."""
    unit.hit_with_story()
    unit.add(make_disposition(DispositionAction.REJECTED, hit_id=HIT_ID, note="W" * 250))
    page = rendered(unit, SigningKey.generate())
    for shown in (page, page.replace(">7ABC123</td>", ">7ABC128</td>", 1)):
        # The page's policy keeps foreign scripts out: the tests' own comes past it.
        tab = opened(shown, color_scheme=theme, viewport={"width": width, "height": 800}, bypass_csp=True)
        tab.evaluate(AXE)
        found = tab.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found["violations"]] == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.screenshot(
            path=tmp_path / f"{theme}-{width}-{tab.get_attribute('html', 'data-result')}.png", full_page=True
        )

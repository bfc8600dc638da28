"""The pictures of docs/console.md: drawn by a drive of the page, written with --bless, looked at by a person."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import SMALL, sign_on, wait_for_pictures
from tests.conftest import ROOT
from tests.fake_agent import a_hit, a_read

pytestmark = pytest.mark.integration
PICTURES = ROOT / "docs/pictures"
DOCUMENT = ROOT / "docs/console.md"


def test_pictures_of_the_document_show_the_page_as_it_is(agent, terminal, bless):
    """Every step must still work; the files are those that the document shows."""
    page, taken = terminal(SMALL), []

    def take(name):
        wait_for_pictures(page, "img")
        page.mouse.move(0, 0)
        taken.append(f"console-{name}.jpg")
        picture = page.screenshot(type="jpeg", quality=82)
        if bless:
            (PICTURES / taken[-1]).write_bytes(picture)

    take("now")
    sign_on(page)
    page.click("#nav-shift")
    take("shift")
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    take("hit-choose")
    page.click("#hit-choices button:text-is('6KYN051')")
    page.wait_for_selector("[data-check=characters][aria-pressed=true]")
    take("hit-compare")
    page.click("[data-check=region]")
    page.click("[data-check=vehicle]")
    page.wait_for_selector("#hit-callback:visible")
    take("hit-confirm")
    page.keyboard.type("NIC V123")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hit", state="hidden")
    agent.read(a_read(20, "7KYN052", mono_us=5_000_000_000))
    agent.hit(a_hit(20, "7KYN052", state="acknowledged", listed={**a_hit(1)["listed"], "text": "7KYN0S2"}))
    page.click("#nav-queue")
    page.wait_for_selector("#hits [data-state=acknowledged]")
    take("queue")
    page.click("#nav-unit")
    take("unit")
    page.click("#nav-settings")
    area = page.locator("#canvas svg")
    area.scroll_into_view_if_needed()
    wait_for_pictures(page, "#canvas img")
    box = area.bounding_box()
    for x, y in ((0.02, 0.8), (0.98, 0.8), (0.98, 0.98), (0.02, 0.98)):
        area.click(position={"x": box["width"] * x, "y": box["height"] * y})
    take("settings")
    page.click("#nav-now")
    agent.beats = False
    page.wait_for_selector("#alarm:visible")
    take("old")
    shown = re.findall(r"\(pictures/(console-[a-z-]+\.jpg)\)", DOCUMENT.read_text())
    assert sorted(shown) == sorted(taken)
    assert all((PICTURES / name).is_file() for name in taken)

"""Hits that come at a bad moment, are many, are decided twice, or carry texts that nobody expected."""

from __future__ import annotations

import threading
import time

import pytest

from tests.browser.conftest import LARGE, MEASURE, SMALL, sign_on, wait_for_hit, wait_until
from tests.fake_agent import LISTED, a_hit

pytestmark = pytest.mark.integration


def disposals(agent):
    return [asked for asked in agent.asked if asked["verb"] == "dispose"]


@pytest.fixture
def page(terminal):
    opened = terminal(SMALL)
    sign_on(opened)
    return opened


def drive(agent, page):
    """A hit is compared at once: while driving there is nothing to choose."""
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")


LONG = {
    **LISTED, "list_name": "Stolen and Felony Vehicles of the Joint Regional Auto Theft Force", "stale": True,
    "owner": "Example County Sheriff's Department, Records and Identification",
    "reason": "Stolen vehicle, armed robbery suspect, approach with caution", "note": "Seen with two children",
    "make": "Mercedes-Benz", "model": "Sprinter 3500 High Roof Extended Crew Van",
    "colour": "Metallic dark silver blue", "callback": "+1 555 0100 extension 4711, records, at all hours",
}  # fmt: skip


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("old", [False, True], ids=["fresh", "old"])
def test_long_entry_fits_and_its_list_and_age_stay_readable(agent, terminal, size, old):
    page = terminal(size)
    sign_on(page)
    agent.hit(a_hit(1, listed=LONG))
    page.click("#hit-none")
    wait_for_hit(page, "compare")
    if old:
        agent.beats = False
        page.wait_for_selector("#alarm:visible")
    found = page.evaluate(MEASURE)
    for what in ("outside", "smallTargets", "smallTexts"):
        assert not found[what], what
    assert [name for name in found["clipped"] if "hit-reason" not in name] == [], "what is cut says so by dots"
    assert found["scrolls"] == {"page": False, "front": False}
    assert page.inner_text("#hit-list").startswith("TOO OLD · list 3 h old · Stolen and Felony")
    assert page.inner_text("#hit-reason").endswith("caution · Seen with two children")
    assert "Mercedes-Benz" in page.inner_text("[data-check=vehicle]")
    for part in ("#hit-reason", "#hit-list", "[data-check=vehicle] b"):
        box = page.locator(part).bounding_box()
        assert box["width"] > 200, part
        assert box["x"] + box["width"] <= size[0], part


ENDS = """(name) => {
  const range = document.createRange();
  range.selectNodeContents(document.querySelector(name));
  return Math.max(...[...range.getClientRects()].map((box) => box.right));
}"""


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("text", ["1WWWWWWWW2", "1WWWWWWWWWW2", "1" + "W" * 30 + "2"], ids=len)
def test_no_picture_lies_on_the_end_of_a_long_text(agent, terminal, size, text):
    """Twelve characters are what a list can have; a board that was read as a plate can have more."""
    page = terminal(size, locale="es-MX")
    sign_on(page)
    agent.hit(a_hit(1, text=text, listed={**LISTED, "text": text[:11] + "*"}))
    page.click("#hit-none")
    wait_for_hit(page, "compare")
    figure = page.locator("#hit-pictures figure").first.bounding_box()
    for name in ("#hit-read", "#hit-listed"):
        assert page.evaluate(ENDS, name) <= figure["x"], name
    found = page.evaluate(MEASURE)
    for what in ("outside", "smallTargets", "smallTexts", "smallPlates", "clipped"):
        assert not found[what], what
    assert found["scrolls"] == {"page": False, "front": False}


def hold_time(page):
    """The page's clock stands until it is told to run, so that a slow machine is not too late."""
    page.clock.install()
    page.clock.pause_at(time.time() + 60)


def test_names_of_a_list_turn_no_other_text_round(agent, page):
    """Lists come from others: marks that change the order of what is shown, and names from right to left."""
    agent.hit(
        a_hit(1, listed={**LISTED, "list_name": "A\u202eB\u2066", "owner": "\u05de\u05e9\u05d8\u05e8\u05d4"})
    )
    page.click("#hit-none")
    wait_for_hit(page, "compare")
    assert page.inner_text("#hit-list") == "list 3 h old · A B · \u05de\u05e9\u05d8\u05e8\u05d4"
    assert page.locator("#hit-list bdi").count() == 3


def test_what_is_typed_when_a_hit_comes_up_does_not_decide_on_it(agent, page):
    """Letters and digits of a note are keys of the hit; so is the end of a code from a scanner."""
    page.click("#nav-shift")
    page.click("#incident-box summary")
    page.click("#incident [name=note]")
    page.keyboard.type("red v")
    hold_time(page)
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    page.keyboard.type("an near corner 2\n")
    page.clock.resume()
    wait_for_hit(page, "blind")
    assert [asked["verb"] for asked in agent.asked if asked["verb"] in {"acknowledge", "dispose"}] == []
    assert page.locator("[data-holds=no]").count() == 0
    page.keyboard.press("Escape")
    page.wait_for_selector("#hit", state="hidden")
    assert page.input_value("#incident [name=note]") == "red v"


def test_tap_that_was_meant_for_what_was_there_before_does_not_decide(agent, page):
    hold_time(page)
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    box = page.locator("#hit-choices button >> nth=0").bounding_box()
    page.mouse.click(box["x"] + 20, box["y"] + 20)
    assert page.locator("#hit").get_attribute("inert") is not None
    page.clock.resume()
    wait_for_hit(page, "blind")
    assert [asked["verb"] for asked in agent.asked if asked["verb"] == "acknowledge"] == []


def test_hit_takes_taps_also_while_something_lies_on_a_key_and_a_finger_taps_on(agent, page):
    hold_time(page)
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    page.keyboard.down("x")
    for _ in range(40):
        page.keyboard.down("x")  # the key repeats
        page.mouse.click(700, 300)
        page.clock.run_for(50)
        if page.locator("#hit").get_attribute("inert") is None:
            break
    else:
        raise AssertionError("it never took a tap")
    page.keyboard.up("x")


def test_late_answer_about_one_hit_does_not_close_the_next(agent, page):
    """The unit answers when the officer is at the next hit already."""
    asked, answered = threading.Event(), threading.Event()
    dispose = agent._do_dispose

    def slowly(request):
        answer = dispose(request)  # all terminals hear of it before the answer
        asked.set()
        answered.wait()
        return answer

    agent.answers["dispose"] = slowly
    drive(agent, page)
    agent.hit(a_hit(1))
    agent.hit(a_hit(2, "XUP9415", listed={**LISTED, "text": "XUP9415"}))
    wait_for_hit(page, "compare")
    page.click("#hit-reject")
    page.click("[data-reason=other]")
    page.click("#hit-over [data-close]")
    page.wait_for_selector("#hit-read:text-is('XUP9415')")
    with page.expect_response("**/commands/dispose"):
        answered.set()
    wait_for_hit(page, "compare")
    assert page.inner_text("#hit-read") == "XUP9415"
    assert len(disposals(agent)) == 1


def test_two_taps_on_a_reason_decide_once(agent, page):
    drive(agent, page)
    agent.hit(a_hit(1))
    wait_for_hit(page, "compare")
    page.click("#hit-reject")
    page.dblclick("[data-reason=other]")
    page.wait_for_selector("#hit", state="hidden")
    assert len(disposals(agent)) == 1
    assert page.locator("#message").is_hidden()


def test_hit_that_comes_while_a_reason_is_chosen_waits(agent, page):
    drive(agent, page)
    agent.hit(a_hit(1))
    wait_for_hit(page, "compare")
    page.click("#hit-reject")
    agent.hit(a_hit(2, "XUP9415", listed={**LISTED, "text": "XUP9415"}))
    page.wait_for_selector("#open-hits:text-is('2')", state="attached")
    page.click("[data-reason=other]")
    page.wait_for_selector("#hit-read:text-is('XUP9415')")
    (sent,) = disposals(agent)
    assert sent["hit_id"] == a_hit(1)["hit_id"]


def test_nobody_who_has_not_signed_on_sees_the_listed_text_by_an_answer(agent, terminal):
    """The answer does not count, so the choice stays; the hit can be put off."""
    page = terminal(SMALL)
    agent.hit(a_hit(1))
    wait_for_hit(page, "blind")
    page.click("#hit-choices button >> nth=0")
    page.wait_for_selector("#message:text-is('Sign on first')")
    assert page.locator("#hit-blind").is_visible()
    assert page.locator("#hit-listed").is_hidden()
    page.click("#hit-blind [data-later]")
    page.wait_for_selector("#hit", state="hidden")


def test_check_that_was_refused_is_taken_back(agent, terminal):
    page = terminal(SMALL)
    drive(agent, page)
    agent.hit(a_hit(1, checks={"characters": True, "region": True, "vehicle": None}))
    wait_for_hit(page, "compare")
    page.click("[data-check=vehicle]")
    page.wait_for_selector("#message:text-is('Sign on first')")
    page.wait_for_selector("#hit-compare [data-check=vehicle][aria-pressed=false]")


def test_two_officers_decide_at_once_and_the_second_is_told(agent, page):
    """The first decision counts; the other terminal has not heard of it yet."""
    already = {"ok": False, "error": "already_decided", "message": "rejected by 4712"}
    drive(agent, page)
    agent.hit(a_hit(1))
    wait_for_hit(page, "compare")
    agent.answers["dispose"] = lambda _: already
    page.click("#hit-reject")
    page.click("[data-reason=other]")
    page.wait_for_selector("#message:text-is('Already decided')")
    agent.hit(a_hit(1), state="rejected")
    page.wait_for_selector("#hit-over:visible")
    assert page.inner_text("#hit-state") == "Rejected"


def test_of_two_hundred_hits_those_that_wait_are_all_there(agent, page):
    """Decided ones, which are newer, push none out."""
    for number in range(40):
        agent.hit(a_hit(number, state="acknowledged"))
    for number in range(40, 240):
        agent.hit(a_hit(number, state="rejected"))
    page.wait_for_selector("#open-hits:text-is('40')", state="attached")
    page.click("#nav-queue")
    wait_until(page, lambda: page.locator("#hits li").count() == 240)
    assert page.locator("#hits li >> nth=39").get_attribute("data-state") == "acknowledged"
    page.click("#hits li >> nth=39 >> button >> nth=0")
    page.wait_for_selector("#hit:visible")


@pytest.mark.parametrize("panel", ["blind", "compare", "why", "callback"])
def test_reloading_in_any_step_loses_no_hit_and_no_answer(agent, page, panel):
    agent.hit(a_hit(1))
    wait_for_hit(page, "blind")
    if panel != "blind":
        page.click("#hit-choices button:text-is('6KYN051')")
        wait_for_hit(page, "compare")
    if panel == "callback":
        page.click("[data-check=region]")
        page.click("[data-check=vehicle]")
        wait_for_hit(page, "callback")
    if panel == "why":
        page.click("#hit-reject")
        wait_for_hit(page, "why")
    page.reload()
    page.wait_for_selector("#open-hits:text-is('1')", state="attached")
    if panel != "blind":  # nobody has seen it yet: it comes to the front again
        page.click("#nav-queue")
        page.click("#hits li button >> nth=0")
    wait_for_hit(page, "compare" if panel == "why" else panel)
    assert disposals(agent) == []

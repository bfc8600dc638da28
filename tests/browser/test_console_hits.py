"""A hit on the page: seen, verified, rejected, put off, confirmed; by finger, keyboard and button."""

from __future__ import annotations

import pytest

from tests.browser.conftest import SMALL, sign_on, wait_for_hit, wait_for_pictures
from tests.fake_agent import a_hit, hex_id

pytestmark = pytest.mark.integration


def disposals(agent):
    return [asked for asked in agent.asked if asked["verb"] == "dispose"]


@pytest.fixture
def page(terminal):
    opened = terminal(SMALL)
    sign_on(opened)
    return opened


def compare(page):
    """Show the comparison: while driving there is nothing to choose."""
    wait_for_hit(page, "compare")


def test_hit_comes_up_over_any_view(agent, page):
    page.click("#nav-unit")
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit:visible")
    wait_for_pictures(page, "#hit img")


def test_listed_text_is_hidden_until_the_officer_has_chosen(agent, page):
    """Blind first: standing, the officer says what the picture shows before anything of the list is on the screen."""
    agent.hit(a_hit(1, listed={**a_hit(1)["listed"], "text": "6KYN0S1"}, rule="approximate"))
    page.wait_for_selector("#hit-blind:visible")
    shown = page.inner_text("#hit")
    assert "Stolen vehicle" not in shown
    assert "Honda" not in shown
    assert page.locator("#hit-listed").is_hidden()
    choices = page.locator("#hit-choices button").all_inner_texts()
    assert len(set(choices)) == 4
    assert {"6KYN051", "6KYN0S1"} <= set(choices), "what was read and what is listed are among them"


@pytest.mark.parametrize(("chosen", "holds"), [("6KYN051", True), ("6KYN0S1", False), (None, False)])
def test_choice_answers_the_check_of_the_characters(agent, page, chosen, holds):
    agent.hit(a_hit(1, "6KYN0S1"))  # read with an S, listed with a 5
    page.wait_for_selector("#hit-blind:visible")
    if chosen is None:
        page.click("#hit-none")
    else:
        page.click(f"#hit-choices button:text-is('{chosen}')")
    page.wait_for_selector(
        f"#hit-checks [data-check=characters][{'aria-pressed=true' if holds else 'data-holds=no'}]"
    )


def test_moving_shows_the_comparison_at_once(agent, page):
    """No puzzle for a driver."""
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    agent.hit(a_hit(1))
    compare(page)


def test_passenger_chooses_also_while_driving(agent, page):
    page.click("#nav-settings")
    page.click("#passenger-yes")
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")


def test_rejection_takes_two_taps(agent, page):
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    agent.hit(a_hit(1))
    compare(page)
    page.click("#hit-reject")
    page.click("[data-reason=other_vehicle]")
    page.wait_for_selector("#hit", state="hidden")
    (sent,) = disposals(agent)
    assert sent["decision"] == "reject"
    assert sent["reason"] == "other_vehicle"
    assert sent["checks"] == {"characters": None, "region": None, "vehicle": False}
    assert [asked["verb"] for asked in agent.asked[-2:]] == ["acknowledge", "dispose"]


def test_wrong_characters_and_rejection_take_two_taps(agent, page):
    agent.hit(a_hit(1, "6KYN0S1"))
    page.wait_for_selector("#hit-blind:visible")
    page.click("#hit-choices button:text-is('6KYN0S1')")
    page.wait_for_selector("[data-check=characters][data-holds=no]")
    page.click("#hit-reject")
    page.wait_for_selector("#hit", state="hidden")
    assert disposals(agent)[0]["reason"] == "misread"


def test_verification_takes_three_taps_and_confirmation_the_owners_reference(agent, page):
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    page.click("#hit-choices button:text-is('6KYN051')")
    page.click("[data-check=region]")
    page.click("[data-check=vehicle]")
    page.wait_for_selector("#hit-callback:visible")
    assert "555-0100" in page.inner_text("#hit-callback")
    assert page.input_value("[name=confirming_agency]") == "Example Sheriff"
    page.keyboard.type("NIC V123")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hit", state="hidden")
    (sent,) = disposals(agent)
    assert sent["decision"] == "confirm"
    assert sent["checks"] == {"characters": True, "region": True, "vehicle": True}
    assert (sent["confirming_agency"], sent["reference"]) == ("Example Sheriff", "NIC V123")


def test_confirmation_without_a_reference_is_not_sent(agent, page):
    agent.hit(a_hit(1, checks={"characters": True, "region": True, "vehicle": True}))
    page.wait_for_selector("#hit-callback:visible")
    page.click("#hit-callback [type=submit]")
    assert page.locator("#hit").is_visible()
    assert disposals(agent) == []


def test_later_keeps_the_hit_in_the_queue(agent, page):
    agent.hit(a_hit(1))
    wait_for_hit(page, "blind")
    page.keyboard.press("Escape")
    page.wait_for_selector("#hit", state="hidden")
    page.wait_for_selector("#open-hits:text-is('1')")
    page.click("#nav-queue")
    page.wait_for_selector("#hits [data-state=acknowledged]")
    page.click("#hits li button")
    page.wait_for_selector("#hit:visible")


def test_hit_that_waited_shows_how_old_its_list_is_now(agent, page):
    agent.hit(a_hit(1))
    wait_for_hit(page, "blind")
    page.keyboard.press("Escape")
    agent.become(utc_us=agent.state["utc_us"] + 4 * 3_600_000_000)
    page.click("#nav-queue")
    page.click("#hits li button")
    page.click("#hit-choices button:text-is('6KYN051')")
    page.wait_for_selector("#hit-list bdi:text-is('list 7 h old')")


def test_next_hit_waits_until_the_officer_is_done(agent, page):
    """What is under a finger does not change."""
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    agent.hit(a_hit(2, "XUP9415", listed={**a_hit(1)["listed"], "text": "XUP9415"}))
    page.wait_for_selector("#open-hits:text-is('2')", state="attached")
    assert "XUP9415" not in page.inner_text("#hit")
    wait_for_hit(page, "blind")
    page.keyboard.press("Escape")
    page.wait_for_selector("#hit-choices button:text-is('XUP9415')")


def test_withdrawn_hit_cannot_be_decided(agent, page):
    """The final read was another text."""
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit:visible")
    agent.hit(a_hit(1), state="withdrawn", stage="withdrawn")
    page.wait_for_selector("#hit-over:visible")
    assert page.inner_text("#hit-state") == "Withdrawn"
    page.click("#hit-over [data-close]")
    page.wait_for_selector("#hit", state="hidden")


def test_hit_that_expired_stays_in_the_queue_and_the_next_one_comes_up(agent, page):
    agent.hit(a_hit(1), state="expired")
    agent.hit(a_hit(2))
    wait_for_hit(page, "blind")
    page.keyboard.press("Escape")
    page.click("#nav-queue")
    page.wait_for_selector("#hits .state:text-is('EXPIRED')")


def test_button_of_the_panel_acknowledges(agent, page):
    """The hardware key acts on the agent; the page follows."""
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit:visible")
    agent.hit(a_hit(1), state="acknowledged")
    page.click("#hit-none")
    page.wait_for_selector("[data-check=characters][data-holds=no]")
    assert "acknowledge" not in [asked["verb"] for asked in agent.asked]


def test_keyboard_alone_rejects(agent, page):
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    agent.hit(a_hit(1))
    compare(page)
    page.keyboard.press("c")
    page.wait_for_selector("[data-check=characters][aria-pressed=true]")
    page.keyboard.press("n")
    page.wait_for_selector("#hit-why:visible")
    page.keyboard.press("7")
    page.wait_for_selector("#hit", state="hidden")
    assert disposals(agent)[0]["reason"] == "other"


def test_outcome_of_a_confirmed_hit(agent, page):
    agent.hit(a_hit(1, state="confirmed"))
    page.click("#nav-queue")
    page.click("#hits li button:text-is('Outcome')")
    page.click("[data-outcome=none]")
    page.wait_for_selector("#outcome-sheet", state="hidden")
    assert agent.asked[-1]["code"] == "none"


def test_two_terminals_see_the_same(agent, console, terminal, page):
    """What one does, the other shows; only who has signed on decides."""
    other = terminal(SMALL)
    agent.hit(a_hit(1))
    for each in (page, other):
        each.wait_for_selector("#hit-blind:visible")
    page.click("#hit-none")
    other.wait_for_selector("[data-check=characters][data-holds=no]")
    page.click("[data-check=region]")
    other.wait_for_selector("[data-check=region][aria-pressed=true]")
    other.click("[data-check=vehicle]")
    other.wait_for_selector("#message:text-is('Sign on first')")
    page.click("#hit-reject")
    page.wait_for_selector("#hit", state="hidden")
    other.wait_for_selector("#hit-over:visible")
    assert len(disposals(agent)) == 1


def test_unit_without_pictures_says_so(agent, page):
    agent.hit(a_hit(1, pictures=[]))
    page.wait_for_selector("#hit:visible")
    captions = page.locator("#hit-pictures figcaption:visible").all_inner_texts()
    assert captions == ["no picture", "\u2013"]


def test_markup_in_a_list_is_shown_as_text(agent, page):
    """Lists come from other agencies."""
    evil = "<img src=x onerror=alert(1)>"
    agent.hit(a_hit(1, listed={**a_hit(1)["listed"], "reason": evil, "make": evil}))
    page.wait_for_selector("#hit:visible")
    page.click("#hit-none")
    page.wait_for_selector("#hit-compare:visible")
    assert page.inner_text("#hit-reason") == evil
    assert page.locator("#hit img").count() == 2


def test_reads_of_hits_are_marked(agent, page):
    agent.hit(a_hit(1, state="acknowledged"))
    page.wait_for_selector(f"#reads li.hit[data-key='{hex_id(1)}']")

"""The page says that its data are old; nothing it shows outlives what it is about."""

from __future__ import annotations

import pytest

from tests.browser.conftest import SMALL, run_console, sign_on, wait_for_pictures, wait_until
from tests.fake_agent import PIN, SHIFT, SIGN_ON_TOKEN, a_hit, a_read, hex_id

pytestmark = pytest.mark.integration


def test_feed_that_hangs_is_announced_within_five_seconds(agent, terminal):
    """Connected, but silent: the page counts by itself."""
    page = terminal(SMALL)
    agent.beats = False
    page.wait_for_selector("#alarm:visible")
    said = page.inner_text("#alarm")
    assert said.startswith("DATA OLD")
    assert int(said.split()[-2]) <= 5
    assert page.inner_text("#now .lamp") == "?", "nobody knows whether it still records"
    agent.beats = True
    page.wait_for_selector("#alarm", state="hidden")
    page.wait_for_selector("#now .lamp:text-is('RECORDING')")


def test_dead_agent_is_announced_and_its_return_is_noticed(agent, terminal):
    page = terminal(SMALL)
    agent.die()
    page.wait_for_selector("#alarm:text-is('NO CONNECTION TO THE UNIT')")
    assert page.locator("#reads li").count() > 0, "what was read stays on the screen"
    agent.read(a_read(77, "NEW777"))
    agent.start()
    page.wait_for_selector("#alarm", state="hidden")
    page.wait_for_selector(f"#reads [data-key='{hex_id(77)}']")


def test_agent_that_restarts_in_the_middle_of_a_hit_keeps_it_open(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    agent.hit(a_hit(1))
    page.wait_for_selector("#hit-blind:visible")
    agent.die()
    page.wait_for_selector("#alarm:visible")
    agent.start()
    page.wait_for_selector("#alarm", state="hidden")
    assert page.locator("#hit-blind").is_visible()
    page.click("#hit-none")
    page.wait_for_selector("[data-check=characters][data-holds=no]")


def test_dead_console_is_announced(agent, browser):
    """The page cannot be told: it must notice."""
    context = browser.new_context()
    page = context.new_page()
    with run_console(agent) as console:
        page.goto(console.address)
        page.wait_for_selector("#reads li")
        console.process.kill()
        page.wait_for_selector("#alarm:text-is('NO CONNECTION TO THE CONSOLE')")
        console.process.wait()
        console.process.returncode = 0
    context.close()


def test_restarted_console_gets_its_page_back(agent, browser):
    """A new console knows no session of the old one: the page loads itself again."""
    context = browser.new_context()
    page = context.new_page()
    with run_console(agent) as first:
        port = first.host.split(":")[1]
        page.goto(first.address)
        page.wait_for_selector("#reads li")
    page.wait_for_selector("#alarm:visible")
    with run_console(agent, "--port", port):
        page.wait_for_selector("#alarm", state="hidden")
        page.wait_for_selector("#reads li")
    context.close()


def test_lost_event_is_noticed(agent, terminal):
    """A gap in the numbers: the console connects again and has the whole state."""
    page = terminal(SMALL)
    agent._n += 3
    agent.read(a_read(88, "GAP888"))
    page.wait_for_selector(f"#reads [data-key='{hex_id(88)}']")


def test_entry_is_locked_while_driving(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-shift")
    agent.drive(20.0)
    page.wait_for_selector("#sign-on [name=badge]:disabled")
    assert "Locked while driving" in page.inner_text("#shift")
    agent.drive(0.5)
    page.wait_for_selector("#sign-on [name=badge]:enabled")


def test_sign_off_ends_every_terminal(agent, terminal):
    page, other = terminal(SMALL), terminal(SMALL)
    sign_on(page)
    sign_on(other)
    other.click("#nav-shift")
    page.click("#nav-shift")
    page.click("#sign-off")
    page.wait_for_selector("#sign-on:visible")
    # Nobody is on duty any more.
    other.wait_for_selector("#sign-on:visible")


def test_shift_that_ends_by_itself_ends_the_terminals_session(agent, terminal):
    """Ignition off, or nobody there for too long: the agent signs the officer off."""
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    agent.become(shift=None)
    page.wait_for_selector("#sign-on:visible")


def test_wrong_pin_is_refused_in_words(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-shift")
    page.fill("#sign-on [name=badge]", "4711")
    page.fill("#sign-on [name=pin]", "0000")
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#message:text-is('Wrong badge or PIN')")
    assert page.input_value("#sign-on [name=pin]") == ""


def test_live_picture_stops_while_driving(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-unit")
    page.click("#cameras button >> nth=0")
    wait_for_pictures(page, "#live img")
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    wait_until(page, lambda: page.evaluate("document.querySelector('#live img').naturalWidth") == 0)
    assert page.locator("#live .locked").is_visible()


def test_technician_draws_a_mask_and_turns_a_camera(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-settings")
    wait_for_pictures(page, "#canvas img")
    area = page.locator("#canvas svg")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    for x, y in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.4), (0.9, 0.4)):
        area.click(position={"x": box["width"] * x, "y": box["height"] * y})
    page.click("#mask-undo")
    page.click("#mask-save")
    page.wait_for_selector("#message:text-is('Saved')")
    page.click("#rotate")
    page.click("#rotate-save")
    page.wait_for_selector("#message:text-is('Saved')")
    mask, rotation = agent.asked[-2:]
    assert mask["camera"] == "front"
    assert [[round(x, 1), round(y, 1)] for x, y in mask["polygon"]] == [[0.1, 0.1], [0.5, 0.1], [0.5, 0.4]]
    assert (rotation["verb"], rotation["degrees"]) == ("set_rotation", 90)


def test_incident_is_saved_with_its_hit_and_closed_with_an_answer(agent, terminal):
    """Both questions have answers that count: also "none" and "unknown"."""
    page = terminal(SMALL)
    sign_on(page)
    agent.hit(a_hit(1, state="confirmed"))
    agent.hit(a_hit(2, state="confirmed"))
    page.click("#nav-queue")
    page.click(f"#hits [data-key='{a_hit(1)['hit_id']}'] button:text-is('Incident')")
    page.wait_for_selector("#incident-hit:visible")
    assert "6KYN051" in page.inner_text("#incident-hit")
    page.select_option("#incident [name=category]", "stolen-vehicle")
    page.fill("#incident [name=note]", "Two people")
    page.click("#incident [type=submit]")
    page.wait_for_selector("#message:text-is('Saved')")
    (draft,) = agent.incidents.values()
    assert (draft["hits"], draft["notes"]) == ([a_hit(1)["hit_id"]], ["Two people"])
    page.click("#incident-close")
    page.wait_for_selector("#message:text-is('Answer both questions')")
    page.select_option("#incident [name=contribution]", "located")
    page.select_option("#incident [name=outcome]", "unknown")
    page.click("#incident-close")
    page.wait_for_selector("#message:text-is('Closed')")
    (closed,) = [asked for asked in agent.asked if asked["verb"] == "incident_close"]
    assert (closed["contribution"], closed["outcome"]) == ("located", "unknown")


def test_open_incident_can_be_continued(agent, terminal):
    """Drafts are the agent's: a terminal that was restarted has them again."""
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.click("summary >> nth=0")
    page.fill("#incident [name=where]", "Bridge")
    page.click("#incident [type=submit]")
    page.wait_for_selector("#message:text-is('Saved')")
    page.reload()
    page.wait_for_selector("#signed-on:visible")
    page.click("summary >> nth=0")
    page.select_option("#incident-choice", index=1)
    assert page.input_value("#incident [name=where]") == "Bridge"


def test_language_is_chosen_and_kept(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-settings")
    with page.expect_navigation():
        page.click("[data-choice=es]")
    page.wait_for_selector("#nav-now:text-is('Ahora')")
    page.reload()
    page.wait_for_selector("#nav-now:text-is('Ahora')")


def test_officer_signs_on_by_token_without_badge_and_pin(agent, terminal):
    """A scanner types the code of a card into the field."""
    page = terminal(SMALL)
    page.click("#nav-shift")
    page.fill("#sign-on [name=token]", SIGN_ON_TOKEN)
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#signed-on:visible")
    (asked,) = [asked for asked in agent.asked if asked["verb"] == "sign_on"]
    assert (asked["badge"], asked["pin"], asked["token"]) == ("", "", SIGN_ON_TOKEN)
    assert page.input_value("#sign-on [name=token]") == ""


def test_supervisor_unlocks_a_badge(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-shift")
    page.click("summary:text-is('Unlock a badge')")
    page.fill("#unlock [name=badge]", "4711")
    page.click("#unlock [type=submit]")
    page.wait_for_selector("#message:text-is('Only a supervisor can unlock')")
    page.fill("#unlock [name=supervisor]", "9001")
    page.fill("#unlock [name=pin]", PIN)
    page.click("#unlock [type=submit]")
    page.wait_for_selector("#message:text-is('Unlocked')")
    asked = [asked for asked in agent.asked if asked["verb"] == "unlock"][-1]
    assert (asked["badge"], asked["supervisor"], asked["pin"]) == ("4711", "9001", PIN)
    assert page.input_value("#unlock [name=pin]") == ""


def test_watched_plates_are_listed_with_their_end_and_can_be_ended(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.click("summary:text-is('Watch a plate')")
    page.wait_for_selector("#no-watched:visible")
    page.fill("#watch [name=text]", "7abc123")
    page.select_option("#watch [name=hours]", "2")
    page.fill("#watch [name=reason]", "<b>Seen</b> at the scene")
    page.click("#watch [type=submit]")
    page.wait_for_selector("#watched li")
    shown = page.inner_text("#watched li")
    assert "7ABC123" in shown
    assert "until 19:46" in shown
    assert "<b>Seen</b> at the scene" in shown
    page.click("#watched button")
    page.wait_for_selector("#watched li", state="detached")
    assert agent.watched == {}


def test_all_open_shifts_are_shown(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    relief = {**SHIFT, "shift_id": hex_id(0x5418), "badge": "4712", "role": "relief", "zone": "South"}
    agent.become(shifts=[*agent.state["shifts"], relief])
    page.click("#nav-shift")
    page.wait_for_selector("#shifts li >> nth=1")
    first, second = page.locator("#shifts li").all_inner_texts()
    assert "4711" in first
    assert "4712 · Relief · South" in second
    # The other officer's shift goes on; this terminal acts for nobody any more.
    agent.become(shift=relief)
    page.wait_for_selector("#sign-on:visible")


def test_what_one_officer_has_typed_is_not_there_for_the_next(agent, terminal):
    """One terminal, two officers: neither reads the other's notes, or saves them as their own."""
    page = terminal()
    sign_on(page)
    page.click("#nav-shift")
    page.click("#incident-box summary")
    page.fill("#incident [name=note]", "white van")
    page.fill("#incident [name=case_number]", "26-1")
    page.click("#sign-off")
    page.wait_for_selector("#sign-on:visible")
    sign_on(page, "4712")
    page.click("#nav-shift")
    assert page.input_value("#incident [name=note]") == ""
    assert page.input_value("#incident [name=case_number]") == ""

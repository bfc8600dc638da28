"""Sign-on, shifts, incidents, watched plates and lockouts on the page."""

from __future__ import annotations

import pytest

from tests.browser.conftest import SMALL, sign_on, wait_for_hit, wait_until
from tests.fake_agent import PIN, ROSTER, SHIFT, SIGN_ON_TOKEN, TOKEN, a_hit, hex_id

pytestmark = pytest.mark.integration


def save_incident(page):
    page.click("#incident [type=submit]")
    page.wait_for_selector("#message:text-is('Saved')")


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
    save_incident(page)
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
    save_incident(page)
    page.reload()
    page.wait_for_selector("#signed-on:visible")
    page.click("summary >> nth=0")
    page.select_option("#incident-choice", index=1)
    assert page.input_value("#incident [name=where]") == "Bridge"


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


def test_plate_that_is_typed_and_on_a_list_is_said_to_be(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.click("summary:text-is('Watch a plate')")
    page.fill("#watch [name=text]", "6kyn051")
    page.fill("#watch [name=reason]", "Seen at the scene")
    page.click("#watch [type=submit]")
    page.wait_for_selector("#message:text-is('Added. THIS PLATE IS ON A LIST')")
    (shown,) = page.locator("#watch-matches li").all_inner_texts()
    for part in (
        "6KYN051",
        "US-CA",
        "Stolen vehicle",
        "Blue 2014 Honda Civic",
        "Stolen vehicles",
        "Example Sheriff",
    ):
        assert part in shown
    page.fill("#watch [name=text]", "7abc123")
    page.fill("#watch [name=reason]", "Seen at the scene")
    page.click("#watch [type=submit]")
    page.wait_for_selector("#message:text-is('Added')")
    assert page.locator("#watch-matches li").count() == 0


def test_refusal_is_gone_when_the_next_try_succeeds(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-shift")
    page.fill("#sign-on [name=badge]", "4711")
    page.fill("#sign-on [name=pin]", "000000")
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#message:text-is('Wrong badge or PIN')")
    page.fill("#sign-on [name=pin]", PIN)
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#signed-on:visible")
    assert page.locator("#message").is_hidden()


def test_page_says_how_long_to_wait_after_too_many_attempts(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-shift")
    page.fill("#sign-on [name=badge]", "4711")
    for _ in range(6):
        page.fill("#sign-on [name=pin]", "000000")
        with page.expect_response("**/commands/sign_on"):
            page.click("#sign-on [type=submit]")
    page.wait_for_selector("#message:text-matches('^Wait [1-5] s before the next attempt$')")


def test_all_open_shifts_are_shown(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    relief = {**SHIFT, "shift_id": hex_id(0x5418), "badge": "4712", "role": "relief", "zone": "South"}
    agent.become(shifts=[*agent.state["shifts"], relief])
    page.click("#nav-shift")
    page.wait_for_selector("#shifts li >> nth=1")
    first, second = page.locator("#shifts li").all_inner_texts()
    assert "4711 · North · Patrol" in first, "by its name in the roster"
    assert "4712 · Relief · South" in second
    # The other officer's shift goes on; this terminal acts for nobody any more.
    agent.become(shift=relief)
    page.wait_for_selector("#sign-on:visible")


def test_relief_signs_on_at_the_same_terminal_while_the_shift_goes_on(agent, terminal):
    """Shifts overlap also where there is one terminal: nobody must sign off first."""
    page = terminal(SMALL)
    sign_on(page)
    agent.asked.clear()
    relief = {**SHIFT, "shift_id": hex_id(0x5418), "badge": "4712", "role": "relief"}

    def signed_on(_):
        agent.become(shifts=[*agent.state["shifts"], relief])
        return {"session": TOKEN, "badge": "4712", "name": "B. Example", "shift_id": relief["shift_id"]}

    agent.answers["sign_on"] = signed_on
    page.click("#nav-shift")
    page.click("#other-officer")
    page.fill("#sign-on [name=badge]", "4712")
    page.fill("#sign-on [name=pin]", PIN)
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#who b:text-is('4712 B. Example')")
    page.wait_for_selector("#sign-on", state="hidden")
    assert page.locator("#shifts li").count() == 2
    assert "sign_off" not in [asked["verb"] for asked in agent.asked]


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


def test_incident_links_reads_and_hits_by_a_tap(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    agent.hit(a_hit(1, state="confirmed"))
    page.click("#nav-shift")
    page.click("#incident-box summary")
    page.click("#incident-links button:has-text('6KYN051'):has-text('HIT')")
    page.click("#incident-links button:has-text('XUP9415')")
    page.click("#incident-links button:has-text('314RLZ')")
    page.click("#incident-links button:has-text('314RLZ')")  # a second tap takes it off
    page.fill("#incident [name=people]", "RMS 26-114, RMS 26-115")
    save_incident(page)
    (draft,) = agent.incidents.values()
    assert (draft["hits"], draft["reads"]) == ([a_hit(1)["hit_id"]], [hex_id(2)])
    assert draft["people"] == ["RMS 26-114", "RMS 26-115"]


def test_longest_note_comes_back_as_it_was_saved(agent, terminal):
    """The unit keeps lines of 256 characters; also ones that take four bytes, and what a word processor adds."""
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.click("#incident-box summary")
    page.fill("#incident [name=note]", "\u00f1\U0001f697" * 200 + "\nsoft\u00adhyphen\u00a0and\u200b space")
    save_incident(page)
    (draft,) = agent.incidents.values()
    assert [len(note) for note in draft["notes"]] == [256, 144, 20]
    assert draft["notes"][2] == "softhyphen and space"
    page.fill("#incident [name=note]", "\n".join("x" * 200 for _ in range(17)))
    page.click("#incident [type=submit]")
    page.wait_for_selector("#message:text-is('Too much text')")
    page.fill("#incident [name=note]", "\n".join("x" * 250 for _ in range(16)))
    save_incident(page)
    (draft,) = agent.incidents.values()
    assert [len(note) for note in draft["notes"]] == [250] * 16


def test_change_of_a_draft_is_saved_without_the_button(agent, terminal):
    """The supply can end at any time."""
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.click("#incident-box summary")
    page.select_option("#incident [name=category]", "amber")
    save_incident(page)
    page.fill("#incident [name=where]", "Bridge")
    page.locator("#incident [name=where]").blur()
    wait_until(page, lambda: [draft["where"] for draft in agent.incidents.values()] == ["Bridge"])


def test_draft_that_is_saved_twice_at_once_is_one(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.click("#incident-box summary")
    page.dblclick("#incident [type=submit]")
    wait_until(page, lambda: [asked["verb"] for asked in agent.asked].count("incident_save") == 2)
    page.wait_for_selector("#message:text-is('Saved')")
    assert len(agent.incidents) == 1


def test_planned_and_actual_hours_are_shown_by_activity(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.wait_for_selector("#hours:text-is('1:42 h on duty, 10:00 h planned')")
    shown = page.locator("#activities button").all_inner_texts()
    assert "Patrol\n1:30 / 7:00 h" in shown
    assert "Reports\n0:12 h" in shown
    assert "Break\n0:00 / 0:30 h" in shown


def test_roster_that_is_replaced_in_the_shift_changes_what_can_be_chosen(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-shift")
    page.wait_for_selector("#activities button >> nth=5")
    agent.roster = {**ROSTER, "version": 2, "activities": ["patrol", "escort"], "categories": ["other"]}
    page.click("#nav-now")
    page.click("#nav-shift")
    page.wait_for_selector("#activities button >> nth=2", state="detached")
    assert [text.split("\n")[0] for text in page.locator("#activities button").all_inner_texts()] == [
        "Patrol",
        "escort",
    ]
    # The new roster has no place for this officer: the agent ends the shift.
    agent.become(shift=None)
    page.wait_for_selector("#sign-on:visible")


def test_what_is_missing_is_said_in_the_language_of_the_page(agent, terminal):
    """The browser would say it in its own, in a white box."""
    page = terminal(SMALL)
    page.context.add_cookies([{"name": "language", "value": "es", "url": page.url}])
    page.reload()
    page.click("#nav-shift")
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#message:text-is('Falta: Placa de agente')")
    page.fill("#sign-on [name=badge]", "4711")
    page.keyboard.press("Enter")
    page.wait_for_selector("#message:text-is('Falta: PIN')")
    assert [asked["verb"] for asked in agent.asked if asked["verb"] == "sign_on"] == []


def test_sign_off_asks_for_the_answers_of_open_incidents(agent, terminal):
    page = terminal(SMALL)
    sign_on(page)
    agent.answers["sign_off"] = lambda _: {"ok": False, "error": "incidents_open", "message": "close them"}
    page.click("#nav-shift")
    page.click("#sign-off")
    page.wait_for_selector("#message:text-is('Close your incidents first')")
    assert page.locator("#incident-box[open]").count() == 1


def test_browser_keeps_nothing_of_a_plate(agent, terminal):
    """No address, title, storage or cache has one: what is on the screen is there on purpose."""
    page = terminal(SMALL)
    sign_on(page)
    agent.hit(a_hit(1))
    wait_for_hit(page, "blind")
    page.click("#hit-choices button:text-is('6KYN051')")
    wait_for_hit(page, "compare")
    kept = page.evaluate("""async () => JSON.stringify([document.title, location.href, document.cookie,
        {...localStorage}, {...sessionStorage}, self.caches ? await caches.keys() : [], await indexedDB.databases(),
        performance.getEntriesByType("resource").map((entry) => entry.name)])""")
    assert "6KYN051" not in kept
    assert "4711" not in kept
    assert PIN not in kept

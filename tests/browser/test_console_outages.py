"""The page says that its data are old; nothing it shows outlives what it is about."""

from __future__ import annotations

import pytest

from tests.browser.conftest import SMALL, fill, run_console, sign_on, wait_for_hit, wait_for_pictures, wait_until
from tests.fake_agent import NOW_US, FakeAgent, a_hit, a_read, hex_id

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
    wait_for_hit(page, "blind")
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


def test_live_picture_stops_while_driving(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-unit")
    page.click("#cameras button >> nth=0")
    wait_for_pictures(page, "#live img")
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    wait_until(page, lambda: page.evaluate("document.querySelector('#live img').naturalWidth") == 0)
    assert page.locator("#live .locked").is_visible()


def test_picture_for_the_mask_comes_when_the_vehicle_halts(agent, terminal):
    """While driving there is none, and no sign of a broken one."""
    page = terminal(SMALL)
    agent.drive(20.0)
    page.wait_for_selector("body[data-locked=yes]", state="attached")
    page.click("#nav-settings")
    page.wait_for_selector("#canvas img", state="hidden")
    agent.drive(0.0)
    page.wait_for_selector("#canvas img:visible")
    wait_for_pictures(page, "#canvas img")


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
    wait_until(page, lambda: agent.mountings["front"]["degrees"] == 90)
    mask, rotation = (asked for asked in agent.asked if asked["verb"].startswith("set_"))
    assert mask["camera"] == "front"
    assert [[round(x, 1), round(y, 1)] for x, y in mask["polygon"]] == [[0.1, 0.1], [0.5, 0.1], [0.5, 0.4]]
    assert (rotation["verb"], rotation["degrees"]) == ("set_rotation", 90)


def test_technician_sees_what_is_set_and_turns_the_picture_on_from_there(agent, terminal):
    """Saving without a look must not remove an area, nor turn a camera back that hangs upside down."""
    area = [[0.1, 0.7], [0.9, 0.7], [0.9, 1.0]]
    agent.mountings["front"].update(degrees=180, polygon=area)
    page = terminal(SMALL)
    sign_on(page)
    page.click("#nav-settings")
    page.wait_for_selector("#rotate b:text-is('180°')")
    assert page.get_attribute("#canvas polygon", "points") == "0.1,0.7 0.9,0.7 0.9,1"
    assert page.locator("#canvas img").evaluate("(image) => image.style.transform") == ""
    page.click("#mask-save")
    page.wait_for_selector("#message:text-is('Saved')")
    assert agent.mountings["front"]["polygon"] == area
    page.click("#rotate")
    page.wait_for_selector("#rotate b:text-is('270°')")
    assert page.locator("#canvas img").evaluate("(image) => image.style.transform") == "rotate(90deg)"
    page.click("#rotate-save")
    wait_until(page, lambda: agent.mountings["front"]["degrees"] == 270)
    wait_until(page, lambda: page.locator("#canvas img").evaluate("(image) => image.style.transform") == "")
    assert page.get_attribute("#canvas polygon", "points") == "", "the area belonged to the picture as it was"
    page.select_option("#mask-camera", "rear")
    page.wait_for_selector("#rotate b:text-is('0°')")


def test_language_is_chosen_and_kept(agent, terminal):
    page = terminal(SMALL)
    page.click("#nav-settings")
    with page.expect_navigation():
        page.click("[data-choice=es]")
    page.wait_for_selector("#nav-now:text-is('Ahora')")
    page.reload()
    page.wait_for_selector("#nav-now:text-is('Ahora')")


def test_console_that_starts_before_the_agent_gets_its_reads_and_its_roster(tmp_path, browser):
    """As when the unit is switched on: the page is open before anything answers."""
    agent = FakeAgent(tmp_path)
    context = browser.new_context(viewport={"width": SMALL[0], "height": SMALL[1]})
    with run_console(agent) as console:
        page = context.new_page()
        page.goto(f"{console.address}#shift")
        page.wait_for_selector("#alarm:text-is('NO CONNECTION TO THE UNIT')")
        with agent:
            fill(agent)
            page.wait_for_selector("#alarm", state="hidden")
            page.wait_for_selector("#sign-on [name=zone] option[value=north]", state="attached")
            sign_on(page)
            page.wait_for_selector("#reads li")
    context.close()


def test_page_whose_scripts_do_not_run_says_so(console, browser):
    """It would show nothing, and nobody would know why."""
    context = browser.new_context()
    page = context.new_page()
    page.route("**/js/main.js", lambda route: route.abort())
    page.goto(console.address)
    page.wait_for_selector("#alarm:visible")
    assert page.inner_text("#alarm") == "THE PAGE DOES NOT WORK: load it again"
    assert page.locator("#no-reads").is_hidden(), "nobody knows whether there are reads"
    context.close()


def test_page_whose_words_do_not_come_asks_again(console, browser):
    context = browser.new_context()
    page = context.new_page()
    asked = []

    def refuse_twice(route):
        asked.append(route)
        if len(asked) == 1:
            route.abort()
        elif len(asked) == 2:
            route.fulfill(status=429, body="too many requests")
        else:
            route.continue_()

    page.route("**/texts/*.json", refuse_twice)
    page.goto(console.address)
    page.wait_for_selector("#reads li")
    assert page.locator("#alarm").is_hidden()
    context.close()


def test_clock_that_jumps_by_hours_makes_no_data_old_and_ends_no_session(agent, terminal):
    """The first fix after a cold start sets the time; ages are measured by the monotonic clock."""
    page = terminal(SMALL)
    sign_on(page)
    before = page.inner_text("#reads li >> nth=0 >> .more")
    for hours in (7, -30):
        agent.become(utc_us=NOW_US + hours * 3_600_000_000)
        clock = "00:46" if hours > 0 else "11:46"
        page.wait_for_selector(f"#now .clock:text-is('{clock}')")
        assert page.locator("#alarm").is_hidden()
        assert page.inner_text("#reads li >> nth=0 >> .more").split(" · ")[1:] == before.split(" · ")[1:]
    page.click("#nav-shift")
    assert page.locator("#signed-on").is_visible()

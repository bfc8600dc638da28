"""A form that comes after the session, or after the hour of a purpose, has ended."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.routing import APIRoute

from station.web.app import PUBLIC
from station.web.page_list import PAGES
from station.web.visit import API

FORMS = [
    route.path
    for page in PAGES
    for route in page.router.routes
    if isinstance(route, APIRoute) and "POST" in route.methods and not route.path.startswith(API)
]
LATE = [path for path in FORMS if path not in PUBLIC]


@pytest.fixture(scope="module")
def web(shared_web):
    return shared_web


@pytest.fixture(scope="module")
def everybody(web):
    """A browser of each role."""
    return {role: web.logged_in(role) for role in ("supervisor", "analyst", "administrator", "officer")}


def sent_late(browser, path):
    """The path and query of where a form that came too late leads."""
    answer = browser.post(path.replace("{", "").replace("}", ""), csrf="of before")
    assert answer.status_code == 303
    return urlsplit(answer.headers["location"])


@pytest.mark.parametrize("path", LATE)
def test_after_logging_in_again_there_is_a_page(web, everybody, path):
    """Not "method not allowed": most forms are sent to what is no page."""
    led = sent_late(web.browser(), path)
    assert led.path == "/log-in"
    back = parse_qs(led.query)["next"][0]
    opened = [browser.get(back).status_code for browser in everybody.values()]
    assert 405 not in opened
    assert set(opened) & {200, 404}, "404 for an id that was made up"


def test_who_sent_a_form_too_late_is_told_that_it_was_not_done(web):
    browser = web.browser()
    led = sent_late(browser, "/exports/{export_id}/approve")
    assert parse_qs(led.query)["next"] == ["/exports"]
    assert "was not done" in browser.get(f"{led.path}?{led.query}").text
    plain = browser.get("/exports").headers["location"]
    assert "was not done" not in browser.get(plain).text


def test_who_gave_a_purpose_too_long_ago_is_told_that_it_was_not_done(web):
    browser = web.logged_in("supervisor", name="slow", why=False)
    answer = browser.post("/holds/7/release", {"reason": "over"})
    assert answer.headers["location"] == "/purpose?next=%2Fholds&unsent=yes"
    assert "was not done" in browser.get(answer.headers["location"]).text
    assert browser.get(browser.give_purpose().headers["location"]).status_code == 200


def test_the_theme_leads_back_from_a_refused_form_to_a_page(web, everybody):
    refused = everybody["supervisor"].post("/deployment/zones/import", {"geojson": "{"})
    assert refused.status_code == 400
    assert 'name="back" value="/deployment/zones"' in refused.text

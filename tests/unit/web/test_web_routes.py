"""Every route as every role and without a session.  A route that is not in the table fails the test."""

from __future__ import annotations

import re
from itertools import count

import pytest

from station.accounts.rights import RIGHTS, Right, Role
from station.web.app import PUBLIC
from station.web.page_list import PAGES
from station.web.visit import needs_of
from tests.station_web import open_web

ANYBODY = None
ROUTES = {
    # method, path: right that it needs, and whether purpose and case number come first
    ("GET", "/"): (ANYBODY, False),
    ("POST", "/log-out"): (ANYBODY, False),
    ("GET", "/purpose"): (ANYBODY, False),
    ("POST", "/purpose"): (ANYBODY, False),
    ("GET", "/holds"): (Right.HOLDS, True),
    ("POST", "/holds"): (Right.HOLDS, True),
    ("POST", "/holds/{number}/release"): (Right.HOLDS, True),
    ("GET", "/audit/log"): (Right.AUDIT, False),
    ("GET", "/audit/log/purges/{number}"): (Right.AUDIT, False),
    ("GET", "/account"): (ANYBODY, False),
    ("POST", "/account/password"): (ANYBODY, False),
    ("POST", "/account/tokens"): (ANYBODY, False),
    ("POST", "/account/tokens/{token_id}/drop"): (ANYBODY, False),
    ("GET", "/incidents"): (Right.INCIDENTS, True),
    ("GET", "/incidents/{incident_id}"): (Right.INCIDENTS, True),
    ("GET", "/deployment/plan"): (Right.DEPLOYMENT, True),
    ("POST", "/deployment/plan"): (Right.EDIT_DEPLOYMENT, True),
    ("GET", "/deployment/plan/{shift_id}"): (Right.DEPLOYMENT, True),
    ("POST", "/deployment/plan/{shift_id}"): (Right.EDIT_DEPLOYMENT, True),
    ("POST", "/deployment/plan/{shift_id}/assign"): (Right.EDIT_DEPLOYMENT, True),
    ("POST", "/deployment/plan/{shift_id}/cancel"): (Right.EDIT_DEPLOYMENT, True),
    ("GET", "/deployment/zones"): (Right.DEPLOYMENT, True),
    ("GET", "/deployment/zones.geojson"): (Right.DEPLOYMENT, True),
    ("POST", "/deployment/zones"): (Right.EDIT_DEPLOYMENT, True),
    ("POST", "/deployment/zones/import"): (Right.EDIT_DEPLOYMENT, True),
    ("POST", "/deployment/places"): (Right.EDIT_DEPLOYMENT, True),
    ("POST", "/deployment/drop"): (Right.EDIT_DEPLOYMENT, True),
    ("GET", "/deployment/people"): (Right.DEPLOYMENT, True),
    ("POST", "/deployment/people"): (Right.EDIT_DEPLOYMENT, True),
    ("GET", "/deployment/hours"): (Right.DEPLOYMENT, True),
    ("GET", "/deployment/coverage"): (Right.DEPLOYMENT, True),
    ("GET", "/deployment/where"): (Right.DEPLOYMENT, True),
    ("GET", "/deployment/own"): (Right.OWN_SHIFTS, False),
    ("GET", "/search"): (Right.SEARCH, True),
    ("POST", "/search"): (Right.SEARCH, True),
    ("GET", "/search/{search_id}"): (Right.SEARCH, True),
    ("POST", "/search/{search_id}/order"): (Right.SEARCH, True),
    ("POST", "/api/1/reads/search"): (Right.SEARCH, True),
    ("GET", "/reads/{unit}/{record_id}"): (Right.SEARCH, True),
    ("POST", "/reads/{unit}/{record_id}/same-plate"): (Right.SEARCH, True),
    ("GET", "/api/1/reads/{unit}/{record_id}"): (Right.SEARCH, True),
    ("GET", "/api/1/reads/{unit}/{record_id}/pictures/{kind}"): (Right.SEARCH, True),
    ("GET", "/exports"): (Right.EXPORT, False),
    ("GET", "/exports/new/{search_id}"): (Right.EXPORT, True),
    ("POST", "/exports/new/{search_id}"): (Right.EXPORT, True),
    ("POST", "/exports/{export_id}/approve"): (Right.APPROVE, False),
    ("POST", "/exports/{export_id}/refuse"): (Right.APPROVE, False),
    ("POST", "/exports/{export_id}/stop"): (Right.EXPORT, False),
    ("POST", "/exports/{export_id}/file"): (Right.EXPORT, False),
    ("POST", "/api/1/exports"): (Right.EXPORT, True),
    ("GET", "/api/1/exports/{export_id}"): (Right.EXPORT, False),
    ("POST", "/api/1/exports/{export_id}/file"): (Right.EXPORT, False),
    ("GET", "/units"): (Right.UNITS, False),
    ("GET", "/units/{unit}"): (Right.UNITS, False),
    ("GET", "/api/1/units"): (Right.UNITS, False),
    ("GET", "/api/1/units/{unit}"): (Right.UNITS, False),
    ("GET", "/api/1/units/{unit}/counters"): (Right.UNITS, False),
    ("GET", "/audit"): (Right.AUDIT, False),
    ("GET", "/api/1/audit"): (Right.AUDIT, False),
    ("GET", "/accounts"): (Right.ACCOUNTS, False),
    ("POST", "/accounts"): (Right.ACCOUNTS, False),
    ("GET", "/accounts/{name}"): (Right.ACCOUNTS, False),
    ("POST", "/accounts/{name}"): (Right.ACCOUNTS, False),
    ("POST", "/accounts/{name}/disable"): (Right.ACCOUNTS, False),
    ("POST", "/accounts/{name}/enable"): (Right.ACCOUNTS, False),
    ("POST", "/accounts/{name}/reset"): (Right.ACCOUNTS, False),
    ("GET", "/settings"): (Right.SETTINGS, False),
    ("POST", "/settings/incidents"): (Right.SETTINGS, False),
    ("POST", "/settings/look-ups"): (Right.SETTINGS, False),
    ("GET", "/api/1/me"): (ANYBODY, False),
    ("GET", "/lists"): (Right.LISTS, False),
    ("GET", "/api/1/rollouts"): (Right.LISTS, False),
    ("GET", "/lists/doctor"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/doctor"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/doctor/draft"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/doctor/stop"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/groups"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/start"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/advance"): (Right.EDIT_LISTS, False),
    ("POST", "/lists/stop"): (Right.EDIT_LISTS, False),
    ("GET", "/api/1/openapi.json"): (ANYBODY, False),
    ("GET", "/evidence"): (Right.EVIDENCE, True),
    ("POST", "/evidence"): (Right.EVIDENCE, True),
    ("GET", "/api/1/evidence/{identity}"): (Right.EVIDENCE, True),
    ("GET", "/reports"): (Right.REPORTS, False),
    ("POST", "/reports/stop"): (Right.REPORTS, False),
    ("GET", "/reports/print"): (Right.REPORTS, False),
    ("GET", "/reports/definitions"): (Right.EDIT_REPORTS, False),
    ("POST", "/reports/definitions"): (Right.EDIT_REPORTS, False),
    ("POST", "/reports/definitions/{identity}/delete"): (Right.EDIT_REPORTS, False),
    ("GET", "/reports/csv"): (Right.REPORTS, False),
    ("GET", "/api/1/reports/{definition}/{period}"): (Right.REPORTS, False),
    ("GET", "/alarms"): (Right.REPORTS, False),
    ("GET", "/map"): (Right.MAP, False),
    ("POST", "/map/search"): (Right.SEARCH, True),
    ("GET", "/map/tiles.pmtiles"): (Right.MAP, False),
    ("GET", "/api/1/map/live"): (Right.MAP, False),
    ("GET", "/api/1/map/units"): (Right.MAP, False),
    ("GET", "/api/1/map/hits"): (Right.HITS, False),
    ("GET", "/api/1/map/coverage"): (Right.DEPLOYMENT, True),
    ("GET", "/api/1/map/reads"): (Right.SEARCH, True),
    ("GET", "/hits"): (Right.HITS, True),
    ("GET", "/hits/{unit}/{hit_id}"): (Right.HITS, True),
    ("GET", "/hits/{unit}/{hit_id}/pictures/{sha256}"): (Right.HITS, True),
    ("GET", "/api/1/hits"): (Right.HITS, True),
    ("GET", "/api/1/hits/lists"): (Right.HITS, True),
}
IS_PUBLIC = {
    ("GET", "/log-in"),
    ("POST", "/log-in"),
    ("GET", "/set-up/{link}"),
    ("POST", "/set-up/{link}"),
    ("POST", "/theme"),
    ("GET", "/oidc/start"),
    ("GET", "/oidc/callback"),
}
ENDS_SESSION = {("POST", "/log-out"), ("POST", "/account/password")}


def routes():
    """Method, path and needs of every route of the application."""
    for page in PAGES:
        for route in page.router.routes:
            for method in sorted(route.methods - {"HEAD"}):
                yield (method, route.path), needs_of(route)


def test_the_table_names_every_route_with_its_right():
    """A new route is public, or for whom, only on purpose."""
    found = dict(routes())
    assert {key for key, needs in found.items() if needs is None} == IS_PUBLIC
    assert {path for _, path in IS_PUBLIC} == PUBLIC
    assert {key: (needs.right, needs.why) for key, needs in found.items() if needs is not None} == ROUTES


def some(path: str) -> str:
    """Well-formed values in the place of parameters."""
    return re.sub(r"\{[a-z_]+\}", "00000000000000000000000000000001", path)


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr("station.web.pages.maps.MAX_STEPS", 1)
    monkeypatch.setattr("station.web.pages.maps.STEP_S", 0)
    return open_web(tmp_path / "station.db")


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_each_role_opens_what_it_has_the_right_for(web, role):
    """And nothing else: a page refuses, a program is told so."""
    numbers = count()
    browser = web.logged_in(role, name=f"p{next(numbers)}")
    for (method, path), (right, _) in sorted(ROUTES.items()):
        if (method, path) in ENDS_SESSION:
            continue
        answer = browser.get(some(path)) if method == "GET" else browser.post(some(path))
        allowed = right is None or right in RIGHTS[role]
        assert (answer.status_code != 403) == allowed, (method, path, answer.status_code)
        if not allowed:
            assert "your role has not the right" in answer.text
        assert answer.status_code < 500, (method, path, answer.text)


@pytest.mark.slow
def test_without_a_session_every_route_but_the_public_ones_sends_to_the_log_in(web):
    browser = web.browser()
    for method, path in ROUTES:
        answer = browser.send(method, some(path))
        if path.startswith("/api/"):
            assert answer.status_code == 401
            assert answer.json()["code"] == "log_in"
        else:
            assert (answer.status_code, answer.headers["location"][:7]) == (303, "/log-in"), (method, path)


@pytest.mark.slow
def test_every_look_up_asks_why_first(web):
    """Without purpose and case number a page sends to the question, a program is told to send them."""
    browsers = {role: web.logged_in(role, why=False) for role in Role}
    for (method, path), (right, why) in ROUTES.items():
        if not why:
            continue
        role = next(role for role in Role if right in RIGHTS[role])
        browser = browsers[role]
        answer = browser.get(some(path)) if method == "GET" else browser.post(some(path))
        if path.startswith("/api/"):
            assert (answer.status_code, answer.json()["code"]) == (403, "purpose"), path
        else:
            assert (answer.status_code, answer.headers["location"][:8]) == (303, "/purpose"), path


@pytest.mark.slow
def test_no_form_is_taken_without_the_token_of_its_session(web):
    """Cross-site request forgery."""
    browser = web.logged_in("administrator")
    other = web.logged_in("analyst").csrf()
    for method, path in ROUTES:
        if method == "GET":
            continue
        for token in (None, "", "x", other):
            answer = browser.post(some(path), csrf=token)
            assert answer.status_code == 403, (path, token)
    assert browser.get("/account").status_code == 200


def test_every_right_belongs_to_somebody():
    assert set().union(*RIGHTS.values()) == set(Right)


def test_whoever_sees_plates_sees_neither_the_trail_nor_the_accounts():
    """Nobody can look and then decide who sees it."""
    for rights in RIGHTS.values():
        if Right.SEARCH in rights:
            assert not rights & {Right.AUDIT, Right.ACCOUNTS}

"""A token outlives the session in which it is made: its person proves again who they are."""

from __future__ import annotations

import pytest

from station.accounts.log_in import FRESH_US, MAX_PROVED_DAYS, MAX_TOKEN_DAYS
from station.accounts.rights import Role
from station.asker import EVERYTHING, Asker
from station.web.settings import WebSettings
from tests.station_web import PASSWORD, open_web

WRONG = "a guess at it"


@pytest.fixture
def web(tmp_path):
    """At an address of its machine alone: no second factor."""
    return open_web(tmp_path / "station.db")


@pytest.fixture
def fleet(tmp_path):
    """With TLS: everybody has a second factor."""
    settings = WebSettings("192.0.2.1", 8443, tls_cert=tmp_path / "c", tls_key=tmp_path / "k")
    return open_web(tmp_path / "station.db", settings=settings)


def ask(browser, days, **proof):
    return browser.post("/account/tokens", {"label": "script", "days": days, **proof})


def tokens(web, name):
    return web.store.accounts.tokens(name)


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_a_session_alone_makes_no_token(fleet, role):
    """Of no role, for no time; password or code alone are not enough, and neither is a code that was used."""
    browser = fleet.logged_in(role, name="jane")
    used = fleet.code_of("jane")
    assert ask(browser, 1, password=PASSWORD, code=used).status_code == 200
    for proof in (
        {},
        {"password": PASSWORD},
        {"password": PASSWORD, "code": used},
        {"code": fleet.code_of("jane")},
        {"password": WRONG, "code": fleet.code_of("jane")},
    ):
        fleet.clock.move(3600 * 0.4)  # past the block after failed attempts, within the session
        browser.get("/account")
        assert ask(browser, 1, **proof).status_code == 400, proof
    assert len(tokens(fleet, "jane")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_with_the_second_factor_a_token_is_valid_for_up_to_a_year(fleet, role):
    browser = fleet.logged_in(role, name="jane")
    headers = browser.make_token("jane", MAX_PROVED_DAYS)
    assert fleet.browser().get("/api/1/me", headers=headers).json()["role"] == role
    refused = ask(browser, MAX_PROVED_DAYS + 1, password=PASSWORD, code=fleet.code_of("jane"))
    assert refused.status_code == 400
    assert f"1 to {MAX_PROVED_DAYS} days" in refused.text
    fleet.clock.move((MAX_PROVED_DAYS - 1) * 86_400)
    assert fleet.browser().get("/api/1/me", headers=headers).status_code == 200
    fleet.clock.move(2 * 86_400)
    assert fleet.browser().get("/api/1/me", headers=headers).status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_without_a_second_factor_a_token_is_valid_for_a_month(web, role):
    browser = web.logged_in(role, name="jane")
    refused = ask(browser, MAX_TOKEN_DAYS + 1, password=PASSWORD)
    assert refused.status_code == 400
    assert "with a second factor" in refused.text
    assert ask(browser, MAX_TOKEN_DAYS, password=WRONG).status_code == 400
    assert tokens(web, "jane") == []
    assert ask(browser, MAX_TOKEN_DAYS, password=PASSWORD).status_code == 200
    assert [row.expires_us - row.created_us for row in tokens(web, "jane")] == [MAX_TOKEN_DAYS * 86_400_000_000]


def test_attempts_count_as_those_to_log_in(web):
    """A browser that was found does not find the password, and the attempts are in the trail."""
    browser = web.logged_in("analyst", name="jane")
    for _ in range(3):
        assert ask(browser, 1, password=WRONG).status_code == 400
    assert ask(browser, 1, password=PASSWORD).status_code == 400
    assert web.browser().log_in("jane").status_code == 303, "a minute later"
    assert web.store.accounts.get("jane").failures == 0
    assert ask(browser, 1, password=PASSWORD).status_code == 200
    told = [row.what for row in web.store.audit_trail() if row.what.startswith(("token", "log in refused"))]
    assert told == [*["token attempt"] * 3, "log in refused", "token attempt", "token add"]


def test_somebody_without_a_password_logs_in_again_at_the_agencys_service(web):
    """Their session must be young; nobody knows whether that service asked for a second factor."""
    web.accounts.add(Asker("t"), "jane", full_name="J", role="analyst", scope=EVERYTHING, subject="s-1")
    log_in = web.app.state.desk.log_in
    secret, person = log_in.log_in_subject("s-1")
    browser = web.browser()
    browser.cookies.set(web.app.state.desk.cookie, secret)
    assert "password again" not in browser.get("/account").text.lower()
    assert ask(browser, MAX_TOKEN_DAYS + 1).status_code == 400
    assert ask(browser, MAX_TOKEN_DAYS).status_code == 200
    web.clock.move(FRESH_US / 1e6)
    refused = ask(browser, 1)
    assert refused.status_code == 400
    assert "log in again" in refused.text
    assert len(tokens(web, person.account.name)) == 1


def test_a_program_makes_no_token(web):
    """Nor does it lengthen its own."""
    browser = web.logged_in("analyst", name="jane")
    headers = browser.make_token("jane")
    answer = web.browser().send(
        "POST", "/account/tokens", data={"label": "x", "days": 1, "password": PASSWORD}, headers=headers
    )
    assert answer.status_code == 303
    assert len(tokens(web, "jane")) == 1

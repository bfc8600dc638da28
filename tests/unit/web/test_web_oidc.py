"""Log-in with the agency's own accounts, against a service that this test plays."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from typer.testing import CliRunner

from cli.station import app
from station.accounts.oidc import OidcClient, OidcSettings
from station.asker import Asker, Scope
from station.errors import WebError
from station.store import open_store
from tests.station_web import Clock, Web

ISSUER = "https://login.example.org"
KEY, OTHER_KEY = RSAKey.generate_key(2048, {"kid": "a"}), RSAKey.generate_key(2048, {"kid": "a"})


class Service:
    """Answers as a provider; ``changes`` are made to the claims, ``key`` signs."""

    def __init__(self) -> None:
        self.nonce, self.changes, self.key, self.is_down = "", {}, KEY, False
        self.asked = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("down")
        path = request.url.path
        if path.endswith("openid-configuration"):
            names = ("authorization", "token")
            found = {f"{name}_endpoint": f"{ISSUER}/{name}" for name in names}
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", **found})
        if path == "/keys":
            return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})
        self.asked.append(parse_qs(request.content.decode()))
        now_s = self.clock() // 1_000_000
        claims = {
            "iss": ISSUER,
            "aud": "station",
            "sub": "s-1",
            "nonce": self.nonce,
            "exp": now_s + 60,
            **self.changes,
        }
        token = jwt.encode({"alg": "RS256", "kid": "a"}, claims, self.key)
        return httpx.Response(200, json={"access_token": "x", "token_type": "Bearer", "id_token": token})


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def web(tmp_path, service):
    service.clock = Clock()
    settings = OidcSettings(ISSUER, "station", "secret", "https://lpr.example.org")
    oidc = OidcClient(settings, service.clock, httpx.MockTransport(service.answer))
    made = Web(open_store(tmp_path / "s.db"), oidc=oidc)
    made.accounts.add(Asker("t"), "jane", full_name="Jane", role="analyst", scope=Scope(), subject="s-1")
    return made


def begin(browser, service):
    answer = browser.get("/oidc/start")
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    service.nonce = asked["nonce"][0]
    return asked


def test_a_known_person_comes_in_with_the_role_of_their_account(web, service):
    browser = web.browser()
    asked = begin(browser, service)
    assert (asked["code_challenge_method"], asked["response_type"]) == (["S256"], ["code"])
    answer = browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]})
    assert answer.status_code == 200
    assert browser.get("/api/1/me").json()["role"] == "analyst"
    assert service.asked[0]["code_verifier"][0]
    assert "log in by oidc" in [row.what for row in web.store.audit_trail()]


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "s-2"}, {"aud": "another"}, {"iss": "https://evil.example"}, {"nonce": "old"}, {"exp": 1}, {"sub": ""},
        {"aud": ["station", "another"]}, {"aud": ["station", "another"], "azp": "another"}, {"azp": "another"},
        {"aud": []}, {"azp": ["station"]}, {"key": True}, {"down": True}, {"disabled": True},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_log_in_with_an_invalid_answer_is_refused(web, service, changes):
    browser = web.browser()
    asked = begin(browser, service)
    service.key = OTHER_KEY if changes.pop("key", False) else KEY
    service.is_down = changes.pop("down", False)
    if changes.pop("disabled", False):
        web.accounts.disable(Asker("t"), "jane")
    service.changes = changes
    answer = browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]})
    assert answer.status_code == 403
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["station"]}, {"aud": ["station", "station"]}, {"azp": "station"},
        {"aud": ["another", "station"], "azp": "station"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_token_for_several_programs_says_that_it_was_made_for_this_one(web, service, changes):
    browser = web.browser()
    asked = begin(browser, service)
    service.changes = changes
    assert browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]}).status_code == 200
    assert browser.get("/api/1/me").json()["role"] == "analyst"


def test_a_log_in_that_another_browser_began_is_refused(web, service):
    """Nobody is logged in as somebody else by a link."""
    asked = begin(web.browser(), service)
    for browser in (web.browser(), web.browser()):
        answer = browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]})
        assert answer.status_code == 400
        begin(browser, service)
        assert browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]}).status_code == 400
    assert web.browser().get("/oidc/callback").status_code == 400


def test_without_a_service_there_is_no_way(tmp_path):
    browser = Web(open_store(tmp_path / "s.db")).browser()
    assert browser.get("/oidc/start").status_code == 404
    assert "/oidc/start" not in browser.get("/log-in").text


@pytest.mark.parametrize("issuer", ["http://login.example.org", "login.example.org", ""])
def test_a_service_without_tls_is_refused(tmp_path, issuer):
    """Whoever is on the way could say who somebody is."""
    secret = tmp_path / "secret"
    secret.write_text("s\n")
    named = ["--oidc-client", "c", "--oidc-secret-file", str(secret), "--oidc-address", "https://lpr.example.org"]
    done = CliRunner().invoke(app, ["--db", str(tmp_path / "s.db"), "web", "--oidc-issuer", issuer, *named])
    assert done.exit_code != 0
    assert isinstance(done.exception, WebError) or "must be https" in done.output

"""Log-in with the agency's own accounts, against a service that this test plays."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from typer.testing import CliRunner

from cli.station import app
from station.accounts.oidc import MAX_AT_ONCE, OidcClient, OidcSettings
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
        self.instead = {}
        """By path: what is answered in place of what the protocol has."""
        self.asked = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("down")
        path = request.url.path
        told = next((answer for end, answer in self.instead.items() if path.endswith(end)), None)
        if told is not None:
            return httpx.Response(200, content=told)
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


_FOUND = {
    "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/authorization", "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}  # fmt: skip
STRANGE = {
    "configuration is a list": ("openid-configuration", []),
    "configuration is null": ("openid-configuration", None),
    "configuration is a page": ("openid-configuration", b"<html>maintenance</html>"),
    "no authorization": ("openid-configuration", {"issuer": ISSUER}),
    "token is null": ("openid-configuration", {**_FOUND, "token_endpoint": None}),
    "keys have a line break": ("openid-configuration", {**_FOUND, "jwks_uri": "https://a\n"}),
    "keys are a list": ("/keys", []),
    "keys are a text": ("/keys", {"keys": "abc"}),
    "a key is empty": ("/keys", {"keys": [{}]}),
    "tokens are null": ("/token", None),
    "identity is null": ("/token", {"access_token": "x", "id_token": None}),
    "identity is a list": ("/token", {"access_token": "x", "id_token": ["a"]}),
    "identity is no token": ("/token", {"access_token": "x", "id_token": "a.b.c"}),
}


@pytest.mark.parametrize(("path", "told"), STRANGE.values(), ids=STRANGE)
def test_a_service_that_answers_something_else_is_told_and_nobody_is_in(web, service, path, told):
    """Such as the page of a proxy while the service is maintained: no error of the station's own."""
    browser = web.browser()
    asked = begin(browser, service)
    service.instead = {path: told if isinstance(told, bytes) else json.dumps(told).encode()}
    answer = browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]})
    assert answer.status_code == 403
    assert "the agency&#39;s log-in service" in answer.text
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    "told",
    [
        b"[]",
        b"null",
        b"<html>",
        json.dumps({"issuer": ISSUER}),
        json.dumps({**_FOUND, "authorization_endpoint": 5}),
    ],
)
def test_a_service_whose_configuration_is_something_else_is_told(web, service, told):
    service.instead = {"openid-configuration": told}
    answer = web.browser().get("/oidc/start")
    assert answer.status_code == 400
    assert "cannot be reached" in answer.text


@pytest.mark.parametrize("subject", ["s-1\0", "s-1\n"])
def test_a_subject_that_no_account_can_have_is_refused(web, service, subject):
    browser = web.browser()
    asked = begin(browser, service)
    service.changes = {"sub": subject}
    assert browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]}).status_code == 403


def test_strangers_who_begin_log_ins_take_no_thread_from_other_pages(tmp_path):
    """Each waits for a service that does not answer: all threads of the pages would wait with them."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(_: httpx.Request) -> httpx.Response:
        begun.release()
        go_on.wait(30)
        raise httpx.ReadTimeout("slow")

    settings = OidcSettings(ISSUER, "station", "secret", "https://lpr.example.org")
    web = Web(open_store(tmp_path / "s.db"), oidc=OidcClient(settings, Clock(), httpx.MockTransport(slow)))
    with ThreadPoolExecutor(MAX_AT_ONCE) as strangers:
        waiting = [strangers.submit(web.browser().get, "/oidc/start") for _ in range(MAX_AT_ONCE)]
        try:
            assert all(begun.acquire(timeout=30) for _ in waiting)
            busy = web.browser().get("/oidc/start")
            assert busy.status_code == 503
            assert "try again" in busy.text
        finally:
            go_on.set()
        assert {one.result().status_code for one in waiting} == {400}

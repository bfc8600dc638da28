"""Log-in, sessions, second factor, tokens, and what an account may see."""

from __future__ import annotations

import html
import queue
import re
import threading

import pyotp
import pytest
from argon2.exceptions import VerifyMismatchError

from station.accounts.log_in import IDLE_US, LONGEST_US, PURPOSE_US
from station.accounts.passwords import MAX_AT_ONCE, MAX_LOG_INS, Passwords
from station.asker import Asker, Scope
from station.deployment.zones import make_zone
from station.errors import AccountError, StoreError, WebError
from station.planning import Planning
from station.web.settings import WebSettings
from tests.station_people import NORTH, SOUTH, fill
from tests.station_web import PASSWORD, Web, open_web

S = 1e-6
READ_1 = f"/reads/unit-07/{1:032x}"
SOUTHERN = f"/reads/unit-20/{1:032x}"


@pytest.fixture
def web(tmp_path):
    return open_web(tmp_path / "station.db", fill=fill)


@pytest.fixture
def secure(tmp_path):
    """Under TLS, where every account has a second factor."""
    for name in ("cert", "key"):
        (tmp_path / name).write_text("")
    settings = WebSettings("192.0.2.1", 8443, tls_cert=tmp_path / "cert", tls_key=tmp_path / "key")
    return open_web(tmp_path / "station.db", fill=fill, settings=settings)


def search(browser, **fields):
    answer = browser.post("/search", fields)
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["location"])


class SlowHasher:
    """Verifies nothing until told."""

    def __init__(self):
        self.entered = queue.SimpleQueue()
        self.go = threading.Event()

    def hash(self, password):
        return password

    def verify(self, hash, password):  # noqa: A002 - argon2's name
        self.entered.put(password)
        self.go.wait()
        raise VerifyMismatchError


def test_few_passwords_are_hashed_at_once():
    hasher = SlowHasher()
    passwords = Passwords(hasher)
    threads = [threading.Thread(target=passwords.is_right, args=(None, str(n))) for n in range(MAX_AT_ONCE + 3)]
    for thread in threads:
        thread.start()
    for _ in range(MAX_AT_ONCE):
        hasher.entered.get()
    assert hasher.entered.empty()
    hasher.go.set()
    for thread in threads:
        thread.join()
    assert hasher.entered.qsize() == 3


def test_strangers_who_log_in_all_at_once_leave_threads_for_the_others(web, monkeypatch):
    """The log-ins that wait have a thread each, of which the application has forty."""
    web.add("jane", "officer")
    hasher, log_in, began = SlowHasher(), web.app.state.desk.log_in, queue.SimpleQueue()
    monkeypatch.setattr(log_in, "_passwords", Passwords(hasher))
    begin = log_in._begin_attempt
    monkeypatch.setattr(log_in, "_begin_attempt", lambda *told: began.put(told) or begin(*told))

    def stranger():
        with pytest.raises(AccountError):
            log_in.log_in("nobody", "x", "")

    threads = [threading.Thread(target=stranger) for _ in range(MAX_LOG_INS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        began.get()
    assert web.browser().log_in("jane").status_code == 503
    assert web.accounts.get("jane").failures == 0, "no attempt is counted"
    hasher.go.set()
    for thread in threads:
        thread.join()
    assert web.browser().log_in("jane").status_code == 403, "there is a place again"


@pytest.mark.slow
def test_log_in_needs_name_password_and_code(secure):
    secure.add("jane", "analyst")
    code = pyotp.TOTP(secure.secrets["jane"])
    secure.clock.move(60)
    browser = secure.browser()
    wrong = (("jane", "wrong password!", None), ("nobody", PASSWORD, None), ("jane", PASSWORD, ""))
    for name, password, given in (*wrong, ("jane", PASSWORD, "000000")):
        digits = code.at(secure.clock() // 10**6) if given is None else given
        answer = browser.post("/log-in", {"name": name, "password": password, "code": digits}, csrf=None)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        secure.clock.move(3600)
    assert browser.log_in("jane").status_code == 303


@pytest.mark.slow
def test_a_code_is_accepted_once(secure):
    """Whoever reads it over a shoulder is late."""
    secure.add("jane", "analyst")
    secure.clock.move(60)
    digits = pyotp.TOTP(secure.secrets["jane"]).at(secure.clock() // 10**6)
    fields = {"name": "jane", "password": PASSWORD, "code": digits}
    assert secure.browser().post("/log-in", fields, csrf=None).status_code == 303
    assert secure.browser().post("/log-in", fields, csrf=None).status_code == 403


@pytest.mark.slow
def test_failed_attempts_block_the_account_also_after_a_restart(web):
    """Three are free; the count is in the database."""
    web.add("jane", "analyst")
    browser = web.browser()
    for _ in range(4):
        assert browser.log_in("jane", "wrong password!").status_code == 403
        web.clock.move(4 - 60)
    again = Web(web.store)
    again.clock = web.clock
    assert web.browser().log_in("jane").status_code == 303, "sixty seconds later the block of ten is over"
    for _ in range(20):
        browser.log_in("jane", "wrong password!")
        web.clock.move(3600)
    browser.log_in("jane", "wrong password!")
    assert browser.log_in("jane").status_code == 403, "blocked for an hour"
    web.clock.move(3600)
    assert browser.log_in("jane").status_code == 303


def test_answers_do_not_tell_which_accounts_exist(web):
    web.add("jane", "analyst")
    answers = [web.browser().log_in(name, "wrong password!") for name in ("jane", "nobody")]
    assert len({re.sub(r"\s+", " ", answer.text) for answer in answers}) == 1


@pytest.mark.slow
def test_a_log_in_makes_a_new_session_and_ends_the_old_one(web):
    """Session fixation: what a browser had before is worth nothing afterwards."""
    browser = web.logged_in("analyst", name="jane")
    planted = "planted-by-somebody-else"
    browser.cookies.set("station", planted, domain="127.0.0.1")
    assert browser.get("/").status_code == 303
    browser.log_in("jane")
    new = browser.cookies.get("station")
    assert new not in {planted, None}
    old = web.browser()
    old.cookies.set("station", planted, domain="127.0.0.1")
    assert old.get("/").status_code == 303
    browser.log_in("jane")
    stale = web.browser()
    stale.cookies.set("station", new, domain="127.0.0.1")
    assert stale.get("/").status_code == 303


@pytest.mark.slow
def test_cookies_are_bound_to_host_and_page(web, secure):
    for one, name, account in ((web, "station", "kim"), (secure, "__Host-station", "lou")):
        one.add(account, "analyst")
        cookie = one.browser().log_in(account).headers["set-cookie"]
        assert cookie.startswith(f"{name}=")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Domain" not in cookie
        assert ("Secure" in cookie) == (one is secure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("idle_us", "steps"), [(IDLE_US + 2_000_000, 1), (IDLE_US - 60_000_000, LONGEST_US // IDLE_US + 3)]
)
def test_a_session_ends_when_it_is_idle_or_old(web, idle_us, steps):
    browser = web.logged_in("analyst")
    answers = []
    for _ in range(steps):
        web.clock.move(idle_us * S)
        answers.append(browser.get("/").status_code)
    assert answers[-1] == 303
    assert answers.count(200) == (0 if steps == 1 else answers.index(303))


@pytest.mark.slow
def test_purpose_and_case_hold_for_an_hour(web):
    browser = web.logged_in("analyst")
    assert browser.get("/search").status_code == 200
    for _ in range(3):
        web.clock.move(PURPOSE_US * S / 3)
        browser.get("/")
    assert browser.get("/search").headers["location"].startswith("/purpose")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["disable", "reset", "change"])
def test_sessions_and_tokens_end_with_the_account(web, what):
    browser = web.logged_in("analyst", name="jane")
    headers = browser.make_token("jane")
    assert web.browser().get("/api/1/me", headers=headers).json()["account"] == "jane"
    by = Asker("test")
    web.add("root", "administrator")
    if what == "disable":
        web.accounts.disable(by, "jane")
    elif what == "reset":
        web.accounts.reset(by, "jane")
    else:
        scope = Scope(frozenset({NORTH}))
        web.accounts.change(by, "jane", full_name="J", role="officer", scope=scope, subject=None)
    assert browser.get("/").status_code == 303
    assert web.browser().get("/api/1/me", headers=headers).status_code == 401


@pytest.mark.slow
def test_a_new_password_ends_all_sessions(web):
    browser, other = web.logged_in("analyst", name="jane"), web.browser()
    other.log_in("jane")
    fields = {"old": PASSWORD, "new": "another horse 43", "again": "another horse 43"}
    assert browser.post("/account/password", {**fields, "old": "no"}).status_code == 400
    assert browser.post("/account/password", fields).status_code == 303
    assert (browser.get("/").status_code, other.get("/").status_code) == (303, 303)
    assert browser.log_in("jane", "another horse 43").status_code == 303


def while_a_password_is_compared(monkeypatch, act):
    compare = Passwords.is_right

    def slow(self, stored, password):
        found = compare(self, stored, password)
        act()
        return found

    monkeypatch.setattr(Passwords, "is_right", slow)


def test_a_reset_while_the_password_is_compared_lets_nobody_in(web, monkeypatch):
    web.add("jane", "officer")
    while_a_password_is_compared(monkeypatch, lambda: web.accounts.reset(Asker("boss"), "jane"))
    assert web.browser().log_in("jane").status_code == 403
    assert web.store.accounts.count_sessions() == {}


def test_a_reset_while_a_password_is_changed_stays(web, monkeypatch):
    browser = web.logged_in("officer", name="jane")
    while_a_password_is_compared(monkeypatch, lambda: web.accounts.reset(Asker("boss"), "jane"))
    new = "another horse 43"
    browser.post("/account/password", {"old": PASSWORD, "new": new, "again": new})
    assert web.accounts.get("jane").password is None


@pytest.mark.slow
def test_whoever_finds_a_session_does_not_guess_the_password(web):
    browser = web.logged_in("analyst", name="jane")
    new = "another horse 43"

    def change(old):
        return browser.post("/account/password", {"old": old, "new": new, "again": new})

    for _ in range(3):
        assert "old password is wrong" in change("not this one").text
    assert "blocked" in change(PASSWORD).text
    assert web.browser().log_in("jane", new).status_code == 403
    web.clock.move(3601)
    browser.log_in("jane")
    assert change(PASSWORD).status_code == 303
    assert web.store.accounts.get("jane").failures == 0
    assert web.browser().log_in("jane", new).status_code == 303


@pytest.mark.slow
def test_a_token_works_for_programs_only(web):
    """With purpose and case number in headers, and never for a page."""
    browser = web.logged_in("analyst", name="jane")
    program, headers = web.browser(), browser.make_token("jane")
    asked = {"plates": ["7ABC123"]}
    refused = program.send("POST", "/api/1/reads/search", json=asked, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "purpose")
    why = {"x-purpose": "stolen vehicle", "x-case-number": "26-9"}
    found = program.send("POST", "/api/1/reads/search", json=asked, headers={**headers, **why})
    assert [read["plate"] for read in found.json()["reads"]] == ["7ABC123"]
    assert program.get("/", headers=headers).status_code == 303
    web.clock.move(10 * 86_400)
    assert program.get("/api/1/me", headers=headers).status_code == 401


def test_the_link_of_an_account_works_once(web):
    link = web.accounts.add(Asker("test"), "jane", full_name="J", role="analyst", scope=Scope())
    browser, path = web.browser(), f"/set-up/{link}"
    assert browser.get(path).status_code == 200
    for fields in ({"password": "short", "again": "short"}, {"password": PASSWORD, "again": "another"}):
        assert browser.post(path, fields, csrf=None).status_code == 400
    assert browser.post(path, {"password": PASSWORD, "again": PASSWORD}, csrf=None).status_code == 303
    assert browser.get(path).status_code == 404
    assert browser.log_in("jane").status_code == 303


@pytest.mark.slow
def test_the_last_administrator_stays(web):
    browser = web.logged_in("administrator", name="root")
    assert browser.post("/accounts/root/disable").status_code == 400
    fields = {"full_name": "Root", "role": "analyst"}
    assert "last administrator" in browser.post("/accounts/root", fields).text
    assert browser.get("/accounts").status_code == 200


def test_accounts_with_impossible_names_are_refused(web):
    for name in ("", "A", "1abc", "a b", "a" * 33, "x\n", "<b>"):
        with pytest.raises(AccountError):
            web.accounts.add(Asker("t"), name, full_name="N", role="analyst", scope=Scope())


@pytest.mark.slow
def test_another_agencys_records_do_not_exist(web):
    """Search, a read, its pictures, a unit, its counters: by their own addresses, for pages and programs."""
    north = web.logged_in("analyst", scope=Scope(frozenset({NORTH})), name="north")
    south = web.logged_in("analyst", scope=Scope(frozenset({SOUTH})), name="south")
    one = web.logged_in("analyst", scope=Scope(units=frozenset({"unit-20"})), name="one")
    for browser, own, others in ((north, READ_1, SOUTHERN), (south, SOUTHERN, READ_1), (one, SOUTHERN, READ_1)):
        assert browser.get(own).status_code == 200
        unit, other = own.split("/")[2], others.split("/")[2]
        assert browser.get(f"/units/{unit}").status_code == 200
        for path in (
            others, f"/api/1{others}", f"/api/1{others}/pictures/plate", f"/units/{other}", f"/api/1/units/{other}",
            f"/api/1/units/{other}/counters",
        ):  # fmt: skip
            assert browser.get(path).status_code == 404, path
        assert browser.post(f"{others}/same-plate").status_code == 404
        listed = browser.get("/units").text
        assert (unit in listed, other in listed) == (True, False)
        found = search(browser).text
        assert (own in found, others in found) == (True, False)
        body = browser.post_json("/api/1/reads/search", {"limit": 1000}).json()
        assert {read["unit"] for read in body["reads"]} == {unit}


@pytest.mark.slow
def test_what_was_made_outside_of_an_accounts_zones_does_not_exist(web):
    """As another agency's: a read, its pictures, a lead; on pages and for programs."""
    near = make_zone("near", "Near", ((44.9, -100.1), (44.9, -99.9), (45.1, -99.9), (45.1, -100.1)))
    far = make_zone("far", "Far", ((10.0, 10.0), (10.0, 11.0), (11.0, 11.0)))
    Planning(web.store, Asker("sergeant", "plan", "1"), web.clock).put_zones([near, far])
    inside = web.logged_in("analyst", scope=Scope(zones=frozenset({"near"})), name="inside")
    outside = web.logged_in("analyst", scope=Scope(zones=frozenset({"far"})), name="outside")
    for browser, status, count in ((inside, 200, 10), (outside, 404, 0)):
        for path in (READ_1, f"/api/1{READ_1}", SOUTHERN):
            assert browser.get(path).status_code == status, path
        body = browser.post_json("/api/1/reads/search", {"limit": 1000}).json()
        assert (len(body["reads"]), body["next"]) == (count, None)
        for path in ("/map", "/hits", "/units", "/search", "/exports"):
            assert browser.get(path).status_code == 200, path
        assert browser.get("/reports", params={"period": "2026-04"}).status_code == 400, "they count everything"
    assert outside.get("/api/1/me").json()["zones"] == ["far"]
    assert outside.post(f"{READ_1}/same-plate").status_code == 404


@pytest.mark.slow
def test_an_agency_has_spaces_in_its_name_and_a_changed_account_keeps_it(web):
    """The form had taken "Example Sheriff" for two agencies."""
    browser = web.logged_in("administrator")
    fields = {
        "full_name": "Jane",
        "role": "analyst",
        "agencies": 'Example Sheriff, north-pd, "Springfield, PD"',
        "units": "unit-07 unit-08",
    }
    assert browser.post("/accounts", {"name": "jane", **fields}).status_code == 200
    agencies = {"Example Sheriff", "north-pd", "Springfield, PD"}
    scope = Scope(frozenset(agencies), frozenset({"unit-07", "unit-08"}))
    assert web.accounts.get("jane").scope == scope
    form = browser.get("/accounts/jane").text
    told = {
        name: html.unescape(re.search(f'name="{name}" value="([^"]*)"', form)[1])
        for name in ("agencies", "units", "zones")
    }
    assert browser.post("/accounts/jane", {"full_name": "Jane D", "role": "officer", **told}).status_code == 303
    assert web.accounts.get("jane").scope == scope
    assert (
        browser.post("/accounts/jane", {"full_name": "J", "role": "officer", "zones": "nowhere"}).status_code
        == 400
    )


@pytest.mark.slow
def test_another_persons_search_and_export_do_not_exist(web):
    jane, john = (web.logged_in("analyst", name=name) for name in ("jane", "john"))
    address = jane.post("/search", {"plates": "7ABC123"}).headers["location"]
    assert "7ABC123" not in address
    for path in (address, f"/exports/new/{address.split('/')[-1]}"):
        assert (jane.get(path).status_code, john.get(path).status_code) == (200, 404)
    made = jane.post_json("/api/1/exports", {"search": {"plates": ["7ABC123"]}}).json()["export_id"]
    assert john.get(f"/api/1/exports/{made}").status_code == 404
    assert john.post(f"/exports/{made}/stop").status_code == 404
    assert john.post(f"/exports/{made}/file").status_code == 404


@pytest.mark.slow
def test_an_administrator_gives_no_more_than_they_have(web):
    web.add("root", "administrator")
    local = web.logged_in("administrator", scope=Scope(frozenset({NORTH})), name="local")
    fields = {"name": "spy", "full_name": "Spy", "role": "analyst"}
    assert local.post("/accounts", fields).status_code == 400
    assert local.post("/accounts", {**fields, "agencies": SOUTH}).status_code == 400
    assert local.post("/accounts", {**fields, "agencies": NORTH}).status_code == 200
    assert "root" not in local.get("/accounts").text
    for action in ("/reset", "/disable", ""):
        assert local.post(f"/accounts/root{action}", {"full_name": "R", "role": "officer"}).status_code == 404


@pytest.mark.slow
def test_an_auditor_of_an_agency_sees_its_peoples_entries(web):
    north = web.logged_in("analyst", scope=Scope(frozenset({NORTH})), name="north")
    everywhere = web.logged_in("analyst", name="everywhere")
    for browser in (north, everywhere):
        search(browser, plates="7ABC123")
    auditor = web.logged_in("auditor", scope=Scope(frozenset({NORTH})), name="aud")
    told = {entry["who"] for entry in auditor.get("/api/1/audit").json()["entries"]}
    assert told == {"north", "aud"}


def test_a_read_tells_an_agency_only_which_of_its_own_people_looked(web):
    north, colleague, everywhere = (
        web.logged_in("analyst", scope=scope, name=name)
        for name, scope in (
            ("north", Scope(frozenset({NORTH}))), ("colleague", Scope(frozenset({NORTH}))), ("everywhere", Scope()),
        )
    )  # fmt: skip
    for browser in (north, colleague, everywhere):
        browser.get(READ_1)
    page = north.get(READ_1).text
    assert "<td>colleague</td>" in page
    assert "<td>everywhere</td>" not in page
    assert "<td>north</td>" in everywhere.get(READ_1).text


@pytest.mark.parametrize("path", ["/units/unit-20", "/api/1/units/unit-20", "/api/1/units/unit-20/counters"])
@pytest.mark.parametrize("scope", [Scope(frozenset({NORTH})), Scope(None, frozenset({"unit-07"}))])
def test_who_asks_for_another_agencys_unit_is_in_the_trail(web, path, scope):
    browser = web.logged_in("analyst", scope=scope, name="north")
    assert browser.get(path).status_code == 404
    last = web.store.audit_trail()[-1]
    assert (last.who, last.what, last.filter, last.count) == ("north", "show unit", "unit=unit-20", 0)


@pytest.mark.slow
def test_each_look_up_is_in_the_trail_with_its_reason_before_it_is_shown(web):
    browser = web.logged_in("analyst", name="jane")
    before = len(web.store.audit_trail())
    search(browser, plates="7ABC123")
    browser.get(READ_1)
    entries = [(row.what, row.purpose, row.case_number) for row in web.store.audit_trail()[before:]]
    assert {what for what, *_ in entries} >= {
        "search reads",
        "show record",
        "show pictures",
        "show history",
        "show proof",
    }
    assert all((purpose, case) == ("stolen vehicle", "26-014") for _, purpose, case in entries)


@pytest.mark.slow
def test_nothing_is_shown_if_it_cannot_be_recorded(web, monkeypatch):
    browser = web.logged_in("analyst")
    address = browser.post("/search", {"plates": "7ABC123"}).headers["location"]

    def full(_entry):
        raise StoreError("disk full")

    monkeypatch.setattr(web.store, "audit", full)
    for path in (address, READ_1, "/units", f"/api/1{READ_1}"):
        answer = browser.get(path)
        assert answer.status_code == 503
        assert "7ABC123" not in answer.text


def test_beyond_loopback_there_is_no_page_without_tls():
    for host in ("0.0.0.0", "192.0.2.1", "::"):  # noqa: S104 - refused
        with pytest.raises(WebError, match="TLS is required"):
            WebSettings(host)
    for host in ("127.0.0.1", "localhost", "::1"):
        WebSettings(host)

"""Hostile requests, and hostile texts in every field that a unit or a person fills."""

from __future__ import annotations

import base64
import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest

from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from station.asker import EVERYTHING, Asker
from station.store import ExportRow, NewRecord
from station.web.guard import MAX_BODY_BYTES, MAX_HEADER_BYTES
from station.web.paths import own_path
from station.web.worker import search_of
from tests.builders import BOOT
from tests.station_people import NOW_US, fill, read_of
from tests.station_web import PASSWORD, open_web

MARK = "<b>x"
TEXTS = (
    "<script>alert(1)</script>",
    "\"'><b>x</b>",
    "=1+1|cmd",
    "@SUM(A1)",
    "';DROP TABLE r;--",
    "{{7*7}}",
    "%s%n",
)
TYPED = (*TEXTS, "\u202e123", "a\x00b")


@pytest.fixture
def web(tmp_path):
    def hostile(store):
        fill(store)
        records = [
            read_of(
                100 + n, text=text[:32], camera=text[:36], camera_role=text[:36], raw=text, software=text,
                motion=text[:16], region=text[:16], agency=text[:36],
            )
            for n, text in enumerate(TEXTS)
        ]  # fmt: skip
        with store.transaction():
            store.add_records([NewRecord(record) for record in records], NOW_US)
            status = Status(
                unit="unit-07",
                boot_id=BOOT,
                state=UnitState.ONLINE,
                reason=f"{MARK} reason",
                software=f"{MARK} sw",
                models=(),
            )
            store.note_status(status, NOW_US)

    return open_web(tmp_path / "station.db", fill=hostile)


def pages(browser, *paths):
    return [browser.get(path).text for path in paths]


@pytest.mark.slow
def test_what_a_unit_sends_is_text_on_every_page(web):
    browser = web.logged_in("supervisor")
    address = browser.post("/search", {}).headers["location"]
    shown = [
        *pages(browser, address, "/units", "/units/unit-07"),
        *pages(browser, *(f"/reads/unit-07/{100 + n:032x}" for n in range(len(TEXTS)))),
    ]
    assert sum("&lt;script&gt;alert(1)" in page for page in shown) >= 2
    for page in shown:
        assert "<script>alert" not in page
        assert "<b>" not in page
    assert any("{{7*7}}" in page for page in shown)


@pytest.mark.slow
@pytest.mark.parametrize("text", TYPED)
def test_what_a_person_types_is_text_on_every_page(web, text):
    """Purpose, case number, search, names of tokens and people."""
    browser = web.logged_in("supervisor", name="boss")
    browser.give_purpose(f"abc {text}", text)
    answer = browser.post("/search", {"plates": text[:30], "unit": text, "camera": text, "region": text})
    shown = [browser.get("/").text, browser.get("/purpose").text, answer.text]
    if answer.status_code == 303:
        found = browser.get(answer.headers["location"])
        assert "Nothing found" in found.text, "nothing in a condition is a command to the database"
        shown.append(found.text)
        made = browser.post(f"/exports/new/{answer.headers['location'].split('/')[-1]}", {"kind": "csv"})
        assert made.status_code == 303
        shown.append(browser.get("/exports").text)
    shown.append(browser.post("/account/tokens", {"label": text, "days": 3, "password": PASSWORD}).text)
    auditor = web.logged_in("auditor")
    shown += [
        auditor.get("/audit").text,
        auditor.get("/audit", params={"who": text, "case": text, "kind": text}).text,
    ]
    for page in shown:
        assert "<script>alert" not in page
        assert "<b>" not in page
    assert web.store.count_pictures() == 0


def ready(web, kind):
    """Requested, approved, made: who requested it, and its id."""
    requester, approver = web.logged_in("analyst", name="req"), web.logged_in("supervisor", name="app")
    made = requester.post_json("/api/1/exports", {"kind": kind, "search": {}}).json()["export_id"]
    assert approver.post(f"/exports/{made}/approve").status_code == 303
    assert web.app.state.desk.exports.run_next(search_of)
    return requester, made


def export(web, kind):
    """Fetched."""
    requester, made = ready(web, kind)
    return requester.post(f"/exports/{made}/file")


@pytest.mark.slow
def test_a_download_that_breaks_off_leaves_no_file_behind(web):
    """The process ends, or the browser goes away before the first byte."""
    _, made = ready(web, "csv")
    exports, asker = web.app.state.desk.exports, Asker("req", "why", "26-1")
    exports.fetch(asker, made)
    assert list(web.store.exports.parts(made))
    exports.run_next(search_of)
    assert list(web.store.exports.parts(made)), "it may still be on its way"
    web.clock.move(3601)
    exports.run_next(search_of)
    assert not list(web.store.exports.parts(made))
    assert exports.get(asker, made, approves=False).state == "fetched"


def test_an_approved_export_is_made_however_many_are_requested_after_it(web):
    requester, approver = web.logged_in("analyst", name="req"), web.logged_in("supervisor", name="app")
    made = requester.post_json("/api/1/exports", {"kind": "csv", "search": {}}).json()["export_id"]
    with web.store.transaction():
        for number in range(1_001):
            told = (f"{number:016x}", "flood", "csv", "{}", "a b c", "1", 2 * NOW_US, "requested")
            later = ExportRow(*told, scope=EVERYTHING)
            web.store.exports.add(later)
    assert approver.post(f"/exports/{made}/approve").status_code == 303
    assert web.app.state.desk.exports.run_next(search_of)


@pytest.mark.slow
def test_no_cell_of_an_export_is_a_formula(web):
    answer = export(web, "csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="reads-')
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) > len(TEXTS)
    assert not [cell for row in rows for cell in row if cell[:1] in set("=@\t\r\n")]


@pytest.mark.slow
def test_a_map_export_is_json(web):
    document = json.loads(export(web, "geojson").text)
    assert "<script>alert(1)</script>" in {one["properties"]["plate"] for one in document["features"]}


@pytest.mark.slow
def test_no_input_becomes_a_header(web):
    """Header injection and open redirects."""
    browser = web.logged_in("analyst")
    for wanted in (
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/x\r\nset-cookie: a=b",
        "javascript:alert(1)",
        "/a?b",
    ):
        assert own_path(wanted) == "/"
        for path, fields in (
            ("/purpose", {"purpose": "stolen car", "case_number": "1", "next": wanted}),
            ("/theme", {"theme": "dark", "back": wanted}),
        ):
            answer = browser.post(path, fields)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
    answer = browser.post("/theme", {"theme": "x; Domain=evil", "back": "/"})
    assert "evil" not in str(answer.headers)


@pytest.mark.slow
def test_foreign_hosts_origins_and_sites_are_refused(web):
    browser = web.logged_in("analyst")
    assert browser.get("/", headers={"host": "evil.example"}).status_code == 421
    assert browser.post("/theme", {}, headers={"origin": "https://evil.example"}).status_code == 403
    assert browser.post("/theme", {}, headers={"origin": "null"}).status_code == 403
    assert (
        browser.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}).status_code == 403
    )
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert browser.get("/", headers=followed).status_code == 200
    assert browser.send("PUT", "/").status_code == 405


@pytest.mark.slow
def test_oversized_requests_are_refused(web):
    browser = web.logged_in("analyst")
    large = "x" * (MAX_BODY_BYTES + 1)
    assert browser.post("/search", {"plates": large}).status_code == 413

    async def parts():
        for _ in range(3):
            yield large.encode()

    headers = {"origin": browser.base_url, "content-type": "application/json", "x-csrf-token": browser.csrf()}
    answer = browser.send("POST", "/api/1/reads/search", content=parts(), headers=headers)
    assert answer.status_code == 413
    assert browser.get("/", headers={"x-long": "x" * MAX_HEADER_BYTES}).status_code == 431
    for length in ("-1", "1e9", "9" * 40, "x"):
        refused = browser.send("POST", "/theme", headers={"content-length": length, "origin": browser.base_url})
        assert refused.status_code == 413


@pytest.mark.slow
def test_a_stranger_uploads_nothing_large(web):
    """A body is received before its sender is known."""
    large = "x" * (MAX_BODY_BYTES + 1)
    for path in ("/lists/start", "/lists/doctor", "/deployment/zones/import"):
        assert web.browser().post(path, {"geojson": large}, csrf=None).status_code == 413
        # Nor somebody who is known and has not the right.
        assert web.logged_in("officer", name=f"o{len(path)}").post(path, {"geojson": large}).status_code == 413
    planner = web.logged_in("supervisor")
    assert planner.post("/deployment/zones/import", {"geojson": large}).status_code == 400, "read, and no GeoJSON"


def test_a_token_in_half_characters_is_refused(web):
    """A form may name its encoding; in this one a surrogate can stand alone."""
    browser = web.logged_in("officer")
    part = '--b\r\ncontent-disposition: form-data; name="csrf"\r\n\r\n\\ud800\r\n--b--\r\n'
    kind = "multipart/form-data; boundary=b; charset=unicode_escape"
    answer = browser.send(
        "POST", "/purpose", content=part.encode(), headers={"origin": browser.base_url, "content-type": kind}
    )
    assert answer.status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"lat_deg": "91", "lon_deg": "0", "radius_m": "5"},
        {"lat_deg": "nan", "lon_deg": "0", "radius_m": "5"},
        {"lat_deg": "1", "lon_deg": "1", "radius_m": "1e9"},
        {"lat_deg": "1"},
        {"since": "yesterday"},
        {"since": "2027-03-13T08:00", "until": "2027-03-13T07:00"},
        {"min_confidence": "7"},
        {"plates": "OOOOOOOOOO", "look_alike": "true"},
        {"plates": " ".join(["A"] * 65)},
    ],
)
def test_an_impossible_search_is_answered_with_what_is_wrong(web, fields):
    answer = web.logged_in("analyst").post("/search", fields)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_a_search_with_one_mistake_keeps_the_other_fields(web):
    """Nobody types five plates again for a wrong date."""
    drawn = "1.0,1.0;2.0,1.0;2.0,2.0"
    fields = {"plates": "7ABC123, XYZ1", "unit": "unit-07", "since": "yesterday", "part": "true", "drawn": drawn}
    text = web.logged_in("analyst").post("/search", fields).text
    assert 'name="plates" value="7ABC123 XYZ1"' in text
    assert 'name="unit" value="unit-07"' in text
    assert 'name="part" value="true" checked' in text
    assert f'name="drawn" value="{drawn}" checked' in text
    assert 'name="since" value=""' in text
    assert "since: Input should be a valid datetime" in text


@pytest.mark.parametrize(
    "asked",
    [
        {"lat_deg": 91, "lon_deg": 0, "radius_m": 5},
        {"lat_deg": 1, "lon_deg": 1, "radius_m": 1e9},
        {"polygon": [[91, 0], [0, 1], [1, 1]]},
        {"plates": ["OOOOOOOOOO"], "look_alike": True},
    ],
)
def test_an_impossible_search_of_a_program_is_its_mistake_and_not_a_failure_of_the_database(web, asked):
    browser = web.logged_in("analyst")
    for path, body in (("/api/1/reads/search", asked), ("/api/1/exports", {"kind": "csv", "search": asked})):
        answer = browser.post_json(path, body)
        assert answer.status_code == 400, path
        assert "database" not in answer.json()["message"]


LATE = base64.urlsafe_b64encode(b"9" * 30 + b".00.unit-07").decode().rstrip("=")


@pytest.mark.slow
@pytest.mark.parametrize("token", ["x", "!!!!", "MQ", "MS4yLjM", "A" * 3000, "\u00e9", LATE])
def test_a_forged_place_of_a_page_is_refused(web, token):
    browser = web.logged_in("analyst")
    address = browser.post("/search", {}).headers["location"]
    assert browser.get(address, params={"after": token}).status_code == 400


@pytest.mark.slow
def test_a_number_that_the_database_does_not_have_is_refused(web):
    assert web.logged_in("auditor").get("/api/1/audit", params={"before": "9" * 30}).status_code == 422
    for path in ("/holds/{}/release", "/deployment/plan/x/cancel"):
        answer = web.logged_in("supervisor", name=f"s{len(path)}").post(
            path.format("9" * 30), {"reason": "r", "version": "9" * 30}
        )
        assert answer.status_code < 500


@pytest.mark.slow
def test_every_answer_has_the_strict_headers(web):
    browser = web.logged_in("administrator")
    for path in ("/", "/log-in", "/nothing", "/api/1/me", "/accounts", "/static/station.css"):
        headers = browser.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_templates_have_no_inline_script_or_style(repo):
    for path in (repo / "station/web/templates").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert " style=" not in text, path
        assert "<style" not in text, path
        assert "|safe" not in text, path
        assert " on" + "click" not in text, path
        assert all('src="/static/' in line for line in text.splitlines() if "<script" in line), path


@pytest.mark.parametrize(("kind", "media"), [("kml", "google-earth.kml"), ("gpx", "gpx+xml")])
def test_an_export_for_a_map_is_well_formed(web, kind, media):
    answer = export(web, kind)
    assert media in answer.headers["content-type"]
    assert answer.headers["content-disposition"].endswith(f'.{kind}"')
    root = ET.fromstring(answer.text)  # noqa: S314 - made here
    names = {one.text for one in root.iter() if one.tag.endswith("}name")}
    assert "<script>alert(1)</script>" in names

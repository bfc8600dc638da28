"""The pages of evidence and reports: what they return, and what is recorded before."""

from __future__ import annotations

import csv
import hashlib
import html
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from protocol.seal import SigningKey
from protocol.wire.enums import DispositionAction
from station.asker import Scope
from station.errors import StoreError
from station.evidence.examine import examine_package
from station.store.rows import DefinitionRow
from tests.hit_builders import make_disposition, make_hit_body
from tests.signed_series import HIT_ID, READ_ID, SignedUnit
from tests.station_web import NOW_US, open_web

if TYPE_CHECKING:
    from pathlib import Path

    from tests.station_web import Web

HOSTILE = "<img src=x onerror=alert(1)>';--"
PERIOD = "2026-H1"


@pytest.fixture
def web(tmp_path: Path) -> Web:
    """A station with one hit and its story, whose list has a hostile name."""
    made = open_web(tmp_path / "station.db")
    unit = SignedUnit(made.store, now_us=NOW_US)
    unit.hit_with_story()
    other = bytes(15) + b"\7"
    unit.add(make_hit_body("8ABC123", hit_id=other, list_name=HOSTILE, list_owner="=1+1", listed_text="BABC123"))
    unit.add(make_disposition(DispositionAction.REJECTED, hit_id=other, reason="misread"))
    ring = unit.ring(receipts=SigningKey.generate())
    made.app.state.desk = replace(made.app.state.desk, ring=ring)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("identity", [READ_ID.hex(), HIT_ID.hex().upper()])
def test_evidence_is_a_download_that_verifies(web, identity):
    """As an archive and as a page, under purpose and case number, and in the audit trail."""
    browser = web.logged_in("analyst")
    for form, kind in (("archive", "application/zip"), ("page", "text/html; charset=utf-8")):
        answer = browser.post("/evidence", {"identity": identity, "form": form})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"].startswith("attachment")
        found = examine_package(answer.content)
        assert (found.problems, found.in_log, bool(found.station)) == ([], True, True)
    entries = [row for row in web.store.audit_trail() if row.what == "export evidence package"]
    assert {(row.who, row.purpose, row.case_number) for row in entries} == {
        ("a-analyst", "stolen vehicle", "26-014")
    }
    assert examine_package(browser.get(f"/api/1/evidence/{identity}").content).is_right


def test_page_of_a_read_and_of_a_hit_lead_to_their_package(web):
    """With the id filled in; roles without the right see no link."""
    browser = web.logged_in("analyst")
    assert f"/evidence?identity={READ_ID.hex()}" in browser.get(f"/reads/unit-07/{READ_ID.hex()}").text
    assert f'value="{READ_ID.hex()}"' in browser.get(f"/evidence?identity={READ_ID.hex()}").text
    assert browser.get("/evidence?identity=<b>").status_code in {400, 422}


@pytest.mark.slow
def test_evidence_needs_a_purpose_first(web):
    browser = web.logged_in("analyst", why=False)
    assert browser.post("/evidence", {"identity": READ_ID.hex()}).status_code in {303, 403}
    assert "export evidence package" not in {row.what for row in web.store.audit_trail()}


@pytest.mark.slow
@pytest.mark.parametrize("identity", ["", "x" * 32, "12", "00" * 16, HOSTILE])
def test_what_is_no_read_is_refused_in_words(web, identity):
    answer = web.logged_in("analyst").post("/evidence", {"identity": identity})
    assert answer.status_code in {400, 404, 422}
    assert "<img src=x" not in answer.text


@pytest.mark.slow
def test_station_without_keys_says_so(web):
    web.app.state.desk = replace(web.app.state.desk, ring=None)
    browser = web.logged_in("analyst")
    assert "--keys FOLDER" in browser.get("/evidence").text
    assert browser.post("/evidence", {"identity": READ_ID.hex()}).status_code == 409


def test_another_agencys_read_is_unknown(web):
    """As if it did not exist."""
    browser = web.logged_in("analyst", scope=Scope(agencies=frozenset({"Another Agency"})))
    assert browser.post("/evidence", {"identity": READ_ID.hex()}).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("definition", ["general", "arkansas", "virginia"])
def test_report_is_shown_printed_and_exported(web, definition):
    browser = web.logged_in("supervisor")
    asked = {"definition": definition, "period": PERIOD}
    page = browser.get("/reports", params=asked)
    assert page.status_code == 200, page.text
    printed, numbers = browser.get("/reports/print", params=asked), browser.get("/reports/csv", params=asked)
    for text in (page.text, printed.text):
        assert "Hits by list" in text
        assert "<img src=x" not in text
        assert "&lt;img" in text
    rows = list(csv.DictReader(io.StringIO(numbers.text)))
    assert {row["key_1"]: row["value"] for row in rows if row["table"] == "owners" and row["measure"] == "hits"} == {
        "Example State Police": "1", "'=1+1": "1",
    }  # fmt: skip
    lines = browser.get(f"/api/1/reports/{definition}/{PERIOD}").json()["lines"]
    assert ["owners", "=1+1", "", "", "rejected", 1] in lines


OWN = """id = "county"
title = "County <b>report</b>"
period = "half-year"
timezone = "America/Chicago"
tables = ["hits", "reads"]
checks = ["Ask the <i>clerk</i>."]
"""


def saved(browser, text: str, **files: bytes) -> Any:
    named = {name: ("own.toml", data) for name, data in files.items()}
    return browser.post("/reports/definitions", {"text": text}, files=named)


@pytest.mark.parametrize("role", ["supervisor", "administrator"])
def test_own_definition_is_saved_audited_and_listed(web, role):
    browser = web.logged_in(role)
    assert saved(browser, OWN.replace("\n", "\r\n")).status_code == 303
    page = browser.get("/reports/definitions").text
    assert "County &lt;b&gt;report" in page
    assert f"by a-{role}" in page
    (row,) = web.store.definitions.all()
    assert (row.id, row.text, row.who) == ("county", OWN, f"a-{role}")
    entry = next(row for row in web.store.audit_trail() if row.what == "save report definition")
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    assert (entry.who, entry.filter) == (f"a-{role}", f"definition=county sha256={digest}")
    assert "title = &#34;County" in browser.get("/reports/definitions?edit=county").text
    assert browser.post("/reports/definitions/county/delete").status_code == 303
    assert web.store.definitions.all() == []
    assert "delete report definition" in {row.what for row in web.store.audit_trail()}
    assert browser.post("/reports/definitions/county/delete").status_code == 404


def test_report_of_an_own_definition_is_made_like_the_examples(web):
    browser = web.logged_in("supervisor")
    saved(browser, OWN)
    asked = {"definition": "county", "period": PERIOD}
    page, printed = browser.get("/reports", params=asked), browser.get("/reports/print", params=asked)
    for text in (page.text, printed.text):
        assert "County &lt;b&gt;report" in text
        assert "Hits by list" in text
        assert "Ask the &lt;i&gt;clerk" in text
        assert "America/Chicago" in text
        assert "Purged on the units" not in text
    numbers = browser.get("/reports/csv", params=asked)
    assert 'filename="report-county-2026-H1.csv"' in numbers.headers["content-disposition"]
    assert "hits" in {row["table"] for row in csv.DictReader(io.StringIO(numbers.text))}
    assert browser.get(f"/api/1/reports/county/{PERIOD}").status_code == 200
    assert '<option value="county"' in browser.get("/reports").text


def test_definition_is_uploaded_as_a_file(web):
    browser = web.logged_in("supervisor")
    assert saved(browser, "ignored", file=OWN.encode()).status_code == 303
    assert [row.id for row in web.store.definitions.all()] == ["county"]
    assert saved(browser, "", file=OWN.replace("County", "Other").encode()).status_code == 303
    assert "Other" in web.store.definitions.all()[0].text


def test_copy_of_an_example_can_be_saved(web):
    """Under an id of its own; the examples themselves stay."""
    browser = web.logged_in("supervisor")
    page = browser.get("/reports/definitions?edit=arkansas").text
    text = html.unescape(page.split("<textarea", 1)[1].split(">", 1)[1].split("</textarea>", 1)[0])
    assert saved(browser, text).status_code == 303
    assert [row.id for row in web.store.definitions.all()] == ["own-arkansas"]
    assert browser.get("/reports/definitions?edit=none").status_code == 404


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "id: missing"),
        ("id = ", "definition: "),
        (OWN.replace('"county"', '"general"'), "is an example"),
        (OWN.replace('"county"', '"../x"'), "id: has a character"),
        (OWN.replace("hits", HOSTILE), "tables: "),
        (OWN.replace("America/Chicago", "../../etc/passwd"), "is no time zone"),
        (OWN.replace("half-year", "day"), "period: "),
        (OWN.replace("County <b>report</b>", " "), "title: is empty"),
        (OWN + "colour = 1\n", "colour: unknown key"),
        (OWN.replace("checks = ", "checks = " + "[" * 4000), "nested too deeply"),
    ],
)
def test_wrong_definition_is_refused_in_words_and_not_lost(web, text, said):
    """The form shows again what was typed."""
    answer = saved(web.logged_in("supervisor"), text)
    assert answer.status_code == 400
    assert said in html.unescape(answer.text)
    assert "<img src=x" not in answer.text
    assert text[:20] in html.unescape(answer.text)
    assert web.store.definitions.all() == []


def test_wrong_files_are_refused(web):
    browser = web.logged_in("supervisor")
    assert "not UTF-8" in saved(browser, "", file=b"\xff\xfe").text
    assert "larger than 48 KiB" in saved(browser, "", file=OWN.encode() + b"#" * 50_000).text
    assert saved(browser, "", file=b"#" * 300_000).status_code == 413
    assert web.store.definitions.all() == []


def test_limited_account_defines_no_report(web):
    """A definition is for all."""
    browser = web.logged_in("supervisor", scope=Scope(agencies=frozenset({"Example Sheriff"})))
    assert "limited to some agencies" in saved(browser, OWN).text
    assert web.store.definitions.all() == []


def test_definition_that_a_later_version_cannot_use_is_shown_with_the_reason(web):
    with web.store.transaction():
        web.store.definitions.keep(DefinitionRow("old", 'id = "old"\ncolour = "<b>"\n', "clerk", NOW_US))
    browser = web.logged_in("supervisor")
    assert "cannot be used" in browser.get("/reports/definitions").text
    assert 'value="old"' not in browser.get("/reports").text
    assert browser.get("/reports", params={"definition": "old", "period": PERIOD}).status_code == 404


def test_there_is_a_limit_to_own_definitions(web, monkeypatch):
    monkeypatch.setattr("station.reports.own.MAX_OWN", 1)
    browser = web.logged_in("supervisor")
    assert saved(browser, OWN).status_code == 303
    assert saved(browser, OWN.replace("County", "Other")).status_code == 303
    assert "there are 1 definitions" in saved(browser, OWN.replace('"county"', '"more"')).text


def test_alarm_quality_shows_findings_and_characters(web):
    browser = web.logged_in("supervisor")
    page = browser.get("/alarms", params={"period": "2026-05", "cars": "1000"}).text
    assert "no figures" in page
    assert "<td>8</td><td>B</td>" in page
    for cars in ("-1", "9" * 5000):
        assert browser.get("/alarms", params={"period": "2026-05", "cars": cars}).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("period", ["2026-13", "<b>", "9999"])
def test_bad_period_is_refused_in_words(web, period):
    for path in ("/reports", "/reports/csv", "/reports/print"):
        answer = web.logged_in("supervisor", name=f"p{path.count('/')}{len(path)}").get(
            path, params={"definition": "general", "period": period}
        )
        assert answer.status_code == 400
        assert "<b>" not in answer.text


def test_limited_account_gets_no_report(web):
    browser = web.logged_in("supervisor", scope=Scope(agencies=frozenset({"Example Sheriff"})))
    assert browser.get("/reports", params={"period": PERIOD}).status_code == 400


def count_by_hand(web):
    """Nothing is counted until the test says so, as with long counts; return the jobs."""
    desk = web.app.state.desk
    web.app.state.desk = replace(desk, wake_counts=lambda: None)
    return desk.counts


@pytest.fixture
def _no_patience(monkeypatch):
    monkeypatch.setattr("station.web.pages.reports.AT_ONCE_S", 0.0)


ASKED = {"definition": "general", "period": PERIOD}


@pytest.mark.usefixtures("_no_patience")
def test_long_report_is_shown_when_it_is_counted_and_counted_anew_at_the_next_look(web):
    counts = count_by_hand(web)
    browser = web.logged_in("supervisor")
    for _ in range(2):
        for _ in range(2):  # the page loads itself again
            page = browser.get("/reports", params=ASKED).text
            assert "Report general, 2026-H1" in page
            assert ("data-refresh" in page, "Hits by list" in page) == (True, False)
        assert (counts.run_next(), counts.run_next()) == (True, False)
        page = browser.get("/reports", params=ASKED).text
        assert ("data-refresh" in page, "Hits by list" in page) == (False, True)


@pytest.mark.usefixtures("_no_patience")
def test_second_page_waits_for_the_first_and_both_are_counted(web):
    """Two windows that load themselves again must not stop each other."""
    counts = count_by_hand(web)
    browser = web.logged_in("supervisor")
    browser.get("/reports", params=ASKED)
    assert "Report general, 2026-H1" in browser.get("/alarms", params={"period": "2026-05"}).text
    counts.run_next()
    assert "Hits by list" in browser.get("/reports", params=ASKED).text
    assert "Alarm quality, 2026-05" in browser.get("/alarms", params={"period": "2026-05"}).text
    counts.run_next()
    assert "By list and rule" in browser.get("/alarms", params={"period": "2026-05"}).text


@pytest.mark.usefixtures("_no_patience")
def test_count_that_is_stopped_is_not_made_and_another_persons_goes_on(web):
    counts = count_by_hand(web)
    browser, other = web.logged_in("supervisor"), web.logged_in("supervisor", name="other")
    for one in (browser, other):
        one.get("/reports", params=ASKED)
    answer = browser.post("/reports/stop", {"back": "/alarms"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/alarms")
    assert browser.post("/reports/stop", {"back": "//evil.example"}).status_code == 422
    assert (counts.run_next(), counts.run_next()) == (True, False)
    assert "Hits by list" in other.get("/reports", params=ASKED).text
    begun = [row.who for row in web.store.audit_trail() if row.what == "report begins"]
    assert begun == ["other"]


def test_error_of_a_count_is_an_answer_and_not_kept(web, monkeypatch):
    """What the person can change is told; of the database no more than that it cannot answer."""
    browser = web.logged_in("supervisor")

    def away(*_, **__):
        raise StoreError("postgresql://secret-host/lpr: connection refused")

    monkeypatch.setattr("station.web.pages.reports.make_report", away)
    answer = browser.get("/reports", params=ASKED)
    assert (answer.status_code, "secret-host" in answer.text) == (503, False)
    monkeypatch.undo()
    assert "Hits by list" in browser.get("/reports", params=ASKED).text
    assert browser.get("/reports", params={"definition": "general", "period": "2026-13"}).status_code == 400

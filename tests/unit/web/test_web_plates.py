"""Plates as people type and paste them, in the search, on the command line, and in a hold."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cli.station import app
from station.asker import Asker
from station.retention.holds import HoldDesk, hold_scope
from station.store import open_store
from station.web.search_body import plates_of
from tests.station_people import NOW_US, PLATES, fill

TYPED = {
    "small letters": "6kyn051",
    "hyphen": "6KYN-051",
    "dash": "6KYN\u2013051",
    "hyphen that does not break": "6KYN\u2011051",
    "dots": "6KYN\u00b7051",
    "space": "6KYN 051",
    "space that does not break": "6KYN\u00a0051",
    "no width": "\u200b6KYN051\ufeff",
    "full width": "\uff16\uff2b\uff39\uff2e\uff10\uff15\uff11",
}
NOTHING = ("-", " ", "\u2013", "\u00b7.", "\u200b")
WHY = ("--purpose", "stolen vehicle", "--case", "26-014")


@pytest.fixture(scope="module")
def web(shared_web):
    return shared_web


@pytest.fixture(scope="module")
def analyst(web):
    return web.logged_in("analyst")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("command")
    store = open_store(made / "station.db")
    fill(store)
    store.close()
    return made


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_a_plate_is_found_however_it_was_typed(analyst, typed):
    led = analyst.post("/search", {"plates": typed})
    assert analyst.get(led.headers["location"]).text.count('href="/reads/') == 1
    found = analyst.post_json("/api/1/reads/search", {"plates": [typed]}).json()
    assert [read["plate"] for read in found["reads"]] == ["6KYN051"]


@pytest.mark.parametrize("typed", NOTHING, ids=ascii)
def test_what_is_no_plate_does_not_find_all_of_them(analyst, typed):
    """A condition that says nothing is not one that is met by every read."""
    for plates in ([typed], ["6KYN051", typed]):
        assert analyst.post_json("/api/1/reads/search", {"plates": plates}).status_code == 400
    if typed.strip():
        assert "letter, digit or wildcard" in analyst.post("/search", {"plates": typed}).text


@pytest.mark.parametrize("typed", ["US-CA", "us-ca", " Us-Ca "])
def test_a_state_is_found_however_it_was_typed(analyst, typed):
    found = analyst.post_json("/api/1/reads/search", {"region": typed}).json()["reads"]
    assert len(found) > len(PLATES)


def test_a_period_that_ends_before_it_begins_is_refused(analyst, folder):
    """Nothing found would be taken for an answer."""
    asked = {"since": "2027-03-13T08:00", "until": "2027-03-13T07:00"}
    answer = analyst.post_json("/api/1/reads/search", asked)
    assert (answer.status_code, answer.json()["message"]) == (400, "the period ends before it begins")
    options = [word for name, when in asked.items() for word in (f"--{name}", when)]
    done = CliRunner().invoke(app, ["search", "--db", str(folder / "station.db"), *WHY, *options])
    assert done.exit_code != 0
    assert "ends before it begins" in str(done.exception) + done.output


def test_a_wildcard_alone_finds_all(analyst):
    assert len(analyst.post_json("/api/1/reads/search", {"plates": ["*"]}).json()["reads"]) > len(PLATES)


@pytest.mark.parametrize(
    ("typed", "plates"),
    [
        ("7ABC123 6KYN051", ["7ABC123", "6KYN051"]),
        ("7ABC123,6KYN051 ", ["7ABC123", "6KYN051"]),
        ("AB 12 CD", ["AB", "12", "CD", "AB12CD"]),
        ("AB 12,XY 3", ["AB", "12", "AB12", "XY", "3", "XY3"]),
        ("A B C D", ["A", "B", "C", "D"]),
        (" , ", []),
    ],
)
def test_a_form_has_several_plates_or_one_with_spaces(typed, plates):
    assert plates_of(typed) == plates


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_the_command_finds_the_same(folder, typed):
    words = ["search", typed, "--db", str(folder / "station.db"), *WHY, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert [read["plate"] for read in json.loads(done.stdout)] == ["6KYN051"]


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_a_hold_keeps_the_plate_however_it_was_typed(tmp_path, typed):
    """A hold that keeps nothing says so nowhere, and the next purge deletes the evidence."""
    store = open_store(tmp_path / "station.db")
    fill(store)
    desk = HoldDesk(store, Asker("jane", "stolen vehicle", "26-014"), lambda: NOW_US)
    placed = desk.place(hold_scope(plate=typed), case_number="26-014", reason="court order")
    assert placed.records == 1
    assert placed.statement.scope.plate == "6KYN051"
    store.close()

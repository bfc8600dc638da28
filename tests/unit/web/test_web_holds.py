"""Pages of holds and of the audit log: what they do, what they refuse, and what strangers' texts cannot do."""

from __future__ import annotations

import json

import pytest

from protocol.merkle.checkpoint import sign_checkpoint
from protocol.merkle.documents import MAX_HELD_IDS
from protocol.seal.keys import SigningKey
from station.asker import Asker, Scope
from station.retention.purges import Purger
from station.store.rows import CheckpointRow, ConflictRow, PurgePlan, PurgeRule, WitnessRow
from tests.builders import make_read_record
from tests.station_files import add
from tests.station_people import NORTH
from tests.station_people import fill as two_agencies
from tests.station_web import NOW_US, open_web


def fill(store):
    add(store, *(make_read_record(seq, seq=seq) for seq in (1, 2, 3)), now_us=NOW_US)


@pytest.fixture
def web(tmp_path):
    made = open_web(tmp_path / "station.db", fill=fill)
    yield made
    made.store.close()


@pytest.mark.slow
def test_a_hold_is_placed_and_released(web):
    browser = web.logged_in("supervisor")
    assert "There are none." in browser.get("/holds").text
    done = browser.post("/holds", {"plate": "7abc*", "reason": "<b>discovery</b>", "since": "2020-01-01T00:00"})
    assert (done.status_code, done.headers["location"]) == (303, "/holds")
    shown = browser.get("/holds").text
    assert "7ABC*" in shown
    assert "&lt;b&gt;discovery&lt;/b&gt;" in shown
    (row,) = web.store.holds.holds()
    told = json.loads(row.statement)
    assert (told["case"], told["scope"]["since"]) == ("26-014", 1_577_836_800_000_000)
    assert web.store.holds.counts() == {1: 3}
    assert browser.post("/holds/1/release", {"reason": "closed"}).status_code == 303
    assert "released" in browser.get("/holds").text
    assert browser.post("/holds/1/release", {"reason": "again"}).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "r"}, {"reason": " ", "plate": "A"}, {"reason": "r", "plate": "A", "of_case": "b"},
        {"reason": "r", "ids": "xyz"}, {"reason": "r", "unit": "../x"}, {"reason": "r", "unit": "u", "since": "soon"},
        {"reason": "r", "unit": "u", "since": "9999-12-31T23:59", "until": "2020-01-01T00:00"},
        {"reason": "r\x07", "unit": "u"},
    ],
)  # fmt: skip
def test_a_hold_that_says_nothing_is_refused_on_the_page(web, fields):
    done = web.logged_in("supervisor").post("/holds", fields)
    assert done.status_code == 400
    assert 'role="alert"' in done.text
    assert web.store.holds.holds() == []


@pytest.mark.slow
def test_who_sees_a_part_cannot_hold(web):
    done = web.logged_in("supervisor", scope=Scope(units=frozenset({"unit-07"}))).post(
        "/holds", {"unit": "unit-07", "reason": "r"}
    )
    assert done.status_code == 400
    assert "your account is limited" in done.text


@pytest.mark.slow
def test_who_sees_a_part_does_not_see_the_holds_of_others(web):
    web.logged_in("supervisor").post("/holds", {"plate": "7ABC*", "reason": "secret inquiry"})
    few = web.logged_in("supervisor", scope=Scope(agencies=frozenset({"Other"})), name="few")
    for shown in (few.get("/holds"), few.post("/holds/1/release", {"reason": "r"})):
        assert shown.status_code in {400, 403}
        assert "7ABC" not in shown.text
        assert "secret inquiry" not in shown.text
    assert web.store.holds.counts() == {1: 3}


@pytest.mark.parametrize("between", [" ", "\r\n", ", "], ids=["space", "line", "comma"])
def test_a_hold_has_every_id_that_was_typed(web, between):
    """None is left out unsaid: it would be deleted."""
    ids = [f"{n:032x}" for n in range(1, MAX_HELD_IDS + 1)]
    browser = web.logged_in("supervisor")
    assert browser.post("/holds", {"ids": between.join(ids), "reason": "r"}).status_code == 303
    (row,) = web.store.holds.holds()
    assert json.loads(row.statement)["scope"]["ids"] == ids
    more = " ".join(f"{n:032x}" for n in range(1, MAX_HELD_IDS + 2))
    assert browser.post("/holds", {"ids": more, "reason": "r"}).status_code == 400
    assert len(web.store.holds.holds()) == 1


@pytest.mark.parametrize(
    "fields", [{"plate": "NOSUCH1"}, {"unit": "unit-99"}, {"of_case": "99-1"}, {"ids": "f" * 32}], ids=str
)
def test_a_hold_that_keeps_nothing_yet_says_so(web, fields):
    """A plate or case that was mistyped holds nothing, and the next purge deletes what was meant."""
    browser = web.logged_in("supervisor")
    done = browser.post("/holds", {**fields, "reason": "r"})
    assert done.status_code == 200
    assert "Hold 1 keeps no record yet" in done.text
    assert "keeps no record" not in browser.get("/holds").text
    assert len(web.store.holds.holds()) == 1


@pytest.mark.slow
def test_the_auditor_sees_the_log_and_each_certificate(web):
    plan = PurgePlan((PurgeRule(None, 2**60),))
    Purger(web.store, Asker("clerk"), lambda: NOW_US).run(plan, "days=0 <i>")
    with web.store.transaction():
        note = sign_checkpoint(SigningKey.generate(), 90, bytes(32))
        web.store.log.add_conflict(ConflictRow("unit-07", 90, note, NOW_US))
        web.store.log.add_checkpoint(CheckpointRow(1, note, NOW_US))
    browser = web.logged_in("auditor")
    shown = browser.get("/audit/log").text
    assert "unit-07 keeps a checkpoint that this log does not continue" in shown
    assert "days=0 &lt;i&gt;" in shown
    found = browser.get("/audit/log/purges/1")
    assert found.headers["content-type"] == "application/json"
    assert found.content == web.store.holds.purges()[0].certificate
    assert browser.get("/audit/log/purges/7").status_code == 404


def test_who_may_see_one_agency_sees_no_purge_and_no_unit_of_another(tmp_path):
    """Purges count the records of everybody; witnesses are units by name."""
    web = open_web(tmp_path / "two.db", fill=two_agencies)
    Purger(web.store, Asker("clerk"), lambda: NOW_US).run(PurgePlan((PurgeRule(None, 2**60),)), "days=0")
    with web.store.transaction():
        note = sign_checkpoint(SigningKey.generate(), 90, bytes(32))
        for unit in ("unit-07", "unit-20"):
            web.store.log.add_witness(WitnessRow(unit, 1, "signed", NOW_US))
        web.store.log.add_conflict(ConflictRow("unit-20", 90, note, NOW_US))
    limited = web.logged_in("auditor", name="north", scope=Scope(frozenset({NORTH})))
    shown = limited.get("/audit/log").text
    assert "unit-07" in shown
    assert "unit-20" not in shown
    assert "a unit of another agency keeps a checkpoint that this log does not continue" in shown
    assert "Certificate of purge" not in shown
    assert "Nothing was purged" not in shown
    assert limited.get("/audit/log/purges/1").status_code == 404
    whole = web.logged_in("auditor", name="whole")
    assert "unit-20 keeps a checkpoint" in whole.get("/audit/log").text
    assert whole.get("/audit/log/purges/1").status_code == 200

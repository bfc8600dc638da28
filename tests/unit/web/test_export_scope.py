"""An export has what the person might see when they asked: it was that which another person approved."""

from __future__ import annotations

import csv
import io
import sqlite3

import pytest

from station.asker import EVERYTHING, Asker, Scope
from station.store import ExportRow, open_store
from station.store.migrations import LATEST
from station.web.worker import search_of
from tests.station_people import NORTH, NOW_US, SOUTH, fill
from tests.station_web import Web, open_web

ONE, BOTH = Scope(frozenset({NORTH})), Scope(frozenset({NORTH, SOUTH}))


@pytest.fixture
def web(tmp_path):
    return open_web(tmp_path / "station.db", fill=fill)


def widen(web, scope):
    account = web.accounts.get("req")
    web.accounts.change(
        Asker("test"), "req", full_name=account.full_name, role=account.role, scope=scope, subject=account.subject
    )


def request(web, scope):
    requester = web.logged_in("analyst", name="req", scope=scope)
    return requester, requester.post_json("/api/1/exports", {"kind": "csv", "search": {}}).json()["export_id"]


def units_of(web, requester, made):
    assert web.app.state.desk.exports.run_next(search_of)
    assert requester.log_in("req").status_code == 303
    answer = requester.post(f"/exports/{made}/file")
    assert answer.status_code == 200, answer.text
    return {row["unit"] for row in csv.DictReader(io.StringIO(answer.text))}


@pytest.mark.parametrize(
    ("asked", "later", "units"),
    [
        (ONE, BOTH, {"unit-07"}),
        (ONE, EVERYTHING, {"unit-07"}),
        (BOTH, ONE, {"unit-07"}),
        (EVERYTHING, Scope(units=frozenset({"unit-20"})), {"unit-20"}),
        (Scope(units=frozenset({"unit-20"})), Scope(units=frozenset({"unit-07"})), set()),
        (BOTH, BOTH, {"unit-07", "unit-20"}),
    ],
)
def test_a_scope_that_changes_after_the_approval_makes_no_export_larger(web, asked, later, units):
    """A smaller one makes it smaller."""
    requester, made = request(web, asked)
    assert web.logged_in("supervisor", name="app").post(f"/exports/{made}/approve").status_code == 303
    widen(web, later)
    assert units_of(web, requester, made) == units


def test_whoever_approves_sees_all_that_was_asked_for(web):
    """As it was asked for, whatever the person may see by now."""
    _, made = request(web, BOTH)
    widen(web, ONE)
    local = web.logged_in("supervisor", name="local", scope=ONE)
    assert local.post(f"/exports/{made}/approve").status_code == 404
    assert made not in local.get("/exports").text
    assert web.logged_in("supervisor", name="both", scope=BOTH).post(f"/exports/{made}/approve").status_code == 303


@pytest.mark.parametrize("others", [199, 200, 401])
def test_requests_of_other_agencies_hide_none_of_ones_own(web, others):
    """They are not shown, and take no place of those that are."""
    _, made = request(web, ONE)
    with web.store.transaction():
        for number in range(others):
            told = (f"{number:016x}", "south", "csv", "{}", "a b c", "1", 2 * NOW_US + number % 3, "requested")
            web.store.exports.add(ExportRow(*told, scope=Scope(frozenset({SOUTH}))))
    local = web.logged_in("supervisor", name="local", scope=ONE)
    assert local.get("/exports").text.count("/approve") == 1
    assert made in local.get("/exports").text
    assert web.logged_in("supervisor", name="all").get("/exports").text.count("/approve") == min(200, others + 1)


def test_an_open_request_of_an_older_station_gets_the_scope_of_its_person(tmp_path):
    """At the update; it may be approved after it."""
    path = tmp_path / "station.db"
    old = open_web(path, fill=fill)
    _, made = request(old, ONE)
    of_all = old.logged_in("analyst", name="all").post_json("/api/1/exports", {"kind": "csv", "search": {}})
    with sqlite3.connect(path) as con:
        for name in ("agencies", "units"):
            con.execute(f"ALTER TABLE exports DROP COLUMN {name}")
        # Tables of later versions.
        for name in ("hold_seen", "report_definitions", "seen_reads", "settings"):
            con.execute(f"DROP TABLE {name}")
        con.execute("PRAGMA user_version = 11")
        con.execute("UPDATE alembic_version SET version_num = '0011'")
    con.close()
    web = Web(open_store(path))
    assert LATEST > 11
    widen(web, EVERYTHING)
    assert web.store.exports.get(made).scope == ONE
    assert web.store.exports.get(of_all.json()["export_id"]).scope == EVERYTHING


def test_scopes_meet():
    assert EVERYTHING.meet(ONE) == ONE.meet(EVERYTHING) == ONE
    assert ONE.meet(Scope(units=frozenset({"u"}))) == Scope(frozenset({NORTH}), frozenset({"u"}))
    assert BOTH.meet(Scope(frozenset({SOUTH, "x"}))) == Scope(frozenset({SOUTH}))

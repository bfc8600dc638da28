"""The simulated month itself: its records are those of real units, and its truth is what the store has."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli.station import app
from protocol.seal import load_keyring
from station.asker import Asker
from station.query import Query
from station.retention.purges import stored_purge
from station.store import open_store
from tests.month.draw import make_month
from tests.month.fill import StationHolds, fill
from tests.month.world import FULL, SMALL
from tests.station_files import each_read

# Integration: those tests keep a file in one process, and the month is made once.
pytestmark = [pytest.mark.integration, pytest.mark.slow]
SIZE = FULL if os.environ.get("PATROL_MONTH") == "full" else SMALL
"""`make month` runs the full size."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("month")
    month = make_month(SIZE)
    store = open_store(folder / "station.db")
    fill(store, month, keys=folder / "keys", holds=StationHolds(store))
    yield month, store, folder
    store.close()


def test_every_record_of_the_month_is_signed_chained_and_whole(stored):
    month, store, folder = stored
    report = Query(store, Asker("test"), lambda: month.last_us).check(load_keyring(folder / "keys"))
    assert report.is_right
    assert len(report.units) == month.size.units


def test_what_was_held_outlived_the_purges_and_every_purge_is_certified(stored):
    month, store, _ = stored
    reads = {record.record_id for record in each_read(store)}
    in_force = [hold for hold in month.truth.holds if not hold.released_us]
    assert all(set(hold.record_ids) <= reads for hold in in_force)
    assert len(month.truth.holds) > len(in_force) > 0
    certificates = [stored_purge(row).certificate for row in store.holds.purges()]
    assert [told.records for told in certificates] == [purge.records for purge in month.truth.purges]
    assert any(told.held for told in certificates)


def test_the_store_has_the_simulated_records(stored):
    month, store, _ = stored
    truth = month.truth
    reads = {record.record_id: record for record in each_read(store)}
    assert reads.keys() == {read.read_id for read in truth.reads if not read.purged}
    assert {read.read_id for read in truth.reads if read.retention == "hit"} == month.pictures.keys()
    assert all(reads[read_id].pictures == 1 for read_id in month.pictures)
    assert sum(purge.records for purge in truth.purges) == sum(read.purged for read in truth.reads) > 0
    schemas = Counter(event.body.SCHEMA for event in month.events)
    assert schemas["coverage/1"] == len(truth.coverage)
    assert len(list(store.each("incident/1"))) == schemas["incident/1"] == 2 * len(truth.incidents)


def test_the_month_has_every_case_that_reports_must_show():
    truth = make_month(SMALL).truth
    assert {hit.state for hit in truth.hits} >= {"confirmed", "rejected", "expired", "withdrawn", "new"}
    assert {hit.list_stale for hit in truth.hits} == {True, False}
    assert {incident.outcome for incident in truth.incidents} >= {"none", "unknown", "recovered", ""}
    assert truth.absent
    assert any(not shift.plan_id for shift in truth.shifts)
    assert any(len(planned.parts) > 1 for planned in truth.plan)
    # The night in which the clocks go forward has an hour less.
    assert {planned.planned_s for planned in truth.plan if planned.id.endswith("night")} == {7 * 3600, 8 * 3600}


def test_the_same_size_gives_the_same_month():
    first, second = make_month(SMALL), make_month(SMALL)
    assert first.truth == second.truth
    assert first.events == second.events


_ALTERED = "UPDATE records SET payload = CAST(payload || x'00' AS BLOB)"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE reads SET text = 'ZZZ9999' WHERE record_id = (SELECT max(record_id) FROM reads)",
            "search table: text",
        ),
        (f"{_ALTERED} WHERE seq = 5", "changed"),
        ("DELETE FROM records WHERE seq = 5", "missing"),
        (f"{_ALTERED} WHERE schema = 'disposition/1' AND payload IS NOT NULL", "changed"),
        ("UPDATE pictures SET jpeg = CAST(jpeg || x'00' AS BLOB) WHERE jpeg IS NOT NULL", "picture altered"),
        ("UPDATE purges SET certificate = CAST(replace(certificate, 'records', 'recordz') AS BLOB)", "purge"),
        ("DELETE FROM holds", "place hold"),
        (
            "UPDATE audit SET who = 'nobody' WHERE number = (SELECT max(number) / 2 FROM audit)",
            "altered in the trail",
        ),
        ("DELETE FROM audit WHERE number = (SELECT max(number) / 2 FROM audit)", "is not in the trail"),
    ],
)
def test_whatever_an_administrator_alters_in_the_month_is_found(stored, tmp_path, statement, told):
    _, __, folder = stored
    with (
        closing(sqlite3.connect(folder / "station.db")) as con,
        closing(sqlite3.connect(tmp_path / "a.db")) as copy,
    ):
        con.backup(copy)
    words = ["check", "--db", str(tmp_path / "a.db"), "--keys", str(folder / "keys"), "--json"]
    assert CliRunner().invoke(app, words).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "a.db")) as con:
        assert con.execute(statement).rowcount > 0
        con.commit()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert not json.loads(done.output)["verified"]
    assert told in done.output

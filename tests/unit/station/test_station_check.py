"""``station check``: everything that is searched and shown is compared with what the units signed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli.station import app
from protocol.seal import SigningKey
from protocol.wire.enums import HitStage
from station.store import open_store
from tests.builders import UTC_NS, make_picture, make_read, make_read_record, make_record, make_time_anchor
from tests.contract.test_station_store import NO_TIME, chunk
from tests.hit_builders import make_disposition, make_hit_body
from tests.station_files import add
from tests.unit.station.test_station_sealed import Pair

RUNNER = CliRunner()
NOW_US = UTC_NS // 1000


@pytest.fixture
def pair(tmp_path):
    made = Pair(tmp_path)
    made.outbox.append([make_read(number) for number in range(1, 11)])
    made.send()
    made.send_pictures()
    yield made
    made.reader.close()
    made.store.close()
    made.outbox.close()


def check(pair):
    words = ["check", "--db", str(pair.folder / "station.db"), "--keys", str(pair.keys)]
    done, shown = RUNNER.invoke(app, [*words, "--json"]), RUNNER.invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert shown.exit_code == done.exit_code
    return done.exit_code, json.loads(done.output), " ".join(shown.output.split())


def alter(pair, *statements):
    with closing(sqlite3.connect(pair.folder / "station.db")) as con:
        for statement in statements:
            con.execute(statement)
        con.commit()


@pytest.mark.slow
def test_what_was_not_altered_is_right(pair):
    code, found, shown = check(pair)
    assert (code, found["verified"], found["faults"], found["silent"]) == (0, True, [], [])
    assert "complete and unaltered" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE reads SET text = 'ZZZ9999'", "search table: text"),
        ("UPDATE reads SET lat_e7 = lat_e7 + 1", "search table: lat_e7"),
        ("DELETE FROM reads", "removed from the search table"),
        ("UPDATE records SET utc_us = utc_us + 3600000000", "time"),
        ("UPDATE records SET utc_us = utc_us + 3600000000, dating_gap_us = 0", "time"),
        ("UPDATE records SET uncertainty_ms = 1", "time"),
        ("UPDATE records SET retention = 'hit'", "retention class"),
        ("UPDATE records SET seq = 99 WHERE seq = 4", "unit, id, number, boot or type"),
        ("UPDATE pictures SET jpeg = NULL WHERE jpeg IS NOT NULL", "picture removed"),
        ("DELETE FROM pictures WHERE jpeg IS NOT NULL", "picture removed"),
        ("UPDATE records SET schema = 'other/1' WHERE seq = 4", "unit, id, number, boot or type"),
        ("INSERT INTO reads (unit, record_id) VALUES ('unit-07', x'00')", "in the search table without a record"),
        ("UPDATE pictures SET jpeg = CAST(jpeg || x'00' AS BLOB) WHERE jpeg IS NOT NULL", "picture altered"),
    ],
)
def test_what_was_altered_beside_the_signed_bytes_is_found(pair, statement, what):
    alter(pair, statement)
    code, found, shown = check(pair)
    assert (code, found["verified"]) == (1, False)
    assert {fault["what"] for fault in found["faults"]} == {what}
    assert what in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (("UPDATE records SET payload = CAST(payload || x'00' AS BLOB) WHERE seq = 3",), "changed"),
        (("DELETE FROM records WHERE seq = 5", "DELETE FROM evidence WHERE seq = 5"), "missing"),
        (("UPDATE evidence SET signature = zeroblob(64) WHERE seq = 6",), "changed"),
    ],
)
def test_signed_bytes_that_were_altered_or_removed_are_found(pair, statements, finding):
    alter(pair, *statements)
    code, found, _ = check(pair)
    assert code == 1
    (unit,) = found["units"]
    assert unit[finding], unit


@pytest.mark.slow
def test_unit_with_a_key_and_no_record_is_named(pair):
    (pair.keys / "unit-unit-08.pub").write_bytes(SigningKey.generate().public.pem())
    code, found, shown = check(pair)
    assert (code, found["silent"]) == (1, ["unit-08"])
    assert "unit-08: has a key and no record: removed; or new, then name it with --new" in shown
    words = ["check", "--db", str(pair.folder / "station.db"), "--keys", str(pair.keys), "--new", "unit-08"]
    assert RUNNER.invoke(app, words).exit_code == 0


def faults_after(place, *statements):
    with closing(sqlite3.connect(place)) as con:
        for statement in statements:
            con.execute(statement)
        con.commit()
    with closing(open_store(place)) as store:
        return {fault.what for fault in store.faults()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE hit_states SET state = 'rejected', reason = 'misread'", "list of hits: state, reason"),
        ("UPDATE hit_states SET lat_e7 = 0", "list of hits: lat_e7"),
        ("UPDATE hit_states SET made_us = made_us + 1", "list of hits: made_us"),
        ("DELETE FROM hit_states", "removed from the list of hits"),
        (
            "UPDATE hit_states SET hit_id = x'00'",
            "removed from the list of hits, in the list of hits without a record",
        ),
    ],
)
def test_what_became_of_hits_is_compared_with_their_records(tmp_path, statement, what):
    """The page of leads and the figures of alarm quality are made from those rows."""
    place = tmp_path / "station.db"
    with closing(open_store(place)) as store:
        bodies = (make_hit_body(), make_hit_body(stage=HitStage.FINAL), make_disposition())
        add(store, *(make_record(body, seq=n) for n, body in enumerate(bodies, 1)), now_us=NOW_US)
    assert faults_after(place) == set()
    assert ", ".join(sorted(faults_after(place, statement), reverse=True)) == what


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (("UPDATE records SET utc_us = utc_us + 1 WHERE dating_gap_us IS NOT NULL",), {"time"}),
        (("UPDATE records SET utc_us = NULL, dating_gap_us = NULL WHERE schema = 'read/1'",), {"time"}),
        (("UPDATE time_anchors SET utc_us = utc_us + 1",), {"time", "time anchor"}),
        (
            (
                "UPDATE time_anchors SET utc_us = utc_us + 1",
                "UPDATE records SET utc_us = utc_us + 1 WHERE dating_gap_us IS NOT NULL",
            ),
            {"time anchor"},
        ),
    ],
)
def test_times_that_an_anchor_gave_are_compared_with_it(tmp_path, statements, what):
    place = tmp_path / "station.db"
    with closing(open_store(place)) as store:
        undated = make_read_record(1, when=NO_TIME)
        add(store, undated, make_record(make_time_anchor(), seq=2), now_us=NOW_US)
    assert faults_after(place) == set()
    assert faults_after(place, *statements) == what


@pytest.mark.slow
def test_removed_picture_without_seal_is_found(tmp_path):
    store = open_store(tmp_path / "station.db")
    jpeg = b"a plate" * 90
    record = make_read_record(1, pictures=(make_picture(content=jpeg),))
    add(store, record, now_us=NOW_US)
    with store.transaction():
        store.add_chunk(chunk(jpeg, 0, len(jpeg)), NOW_US)
    assert list(store.faults()) == []
    store.close()
    with closing(sqlite3.connect(tmp_path / "station.db")) as con:
        con.execute("UPDATE pictures SET jpeg = NULL")
        con.commit()
    store = open_store(tmp_path / "station.db")
    assert [fault.what for fault in store.faults()] == ["picture removed"]
    store.close()


@pytest.mark.slow
def test_pictures_that_have_not_come_yet_are_no_fault(tmp_path):
    """A part of one, none of the other."""
    store = open_store(tmp_path / "station.db")
    jpeg = b"a plate" * 90
    add(store, make_read_record(1, pictures=(make_picture(content=jpeg),)), now_us=NOW_US)
    add(store, make_read_record(2, seq=2, pictures=(make_picture(content=b"another" * 90),)), now_us=NOW_US)
    with store.transaction():
        store.add_chunk(chunk(jpeg, 0, 100), NOW_US)
    assert list(store.faults()) == []
    store.close()

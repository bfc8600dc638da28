"""``station check``: everything that is searched and shown is compared with what the units signed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli.station import app
from protocol.seal import SigningKey
from tests.builders import make_read
from tests.unit.station.test_station_sealed import Pair

RUNNER = CliRunner()


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
        ("UPDATE records SET retention = 'hit'", "retention class"),
        ("UPDATE records SET seq = 99 WHERE seq = 4", "unit, id, number, boot or type"),
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

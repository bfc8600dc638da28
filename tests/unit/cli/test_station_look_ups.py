"""No command shows a read before a person has said why."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.station import app
from station.errors import PurposeError
from station.store import open_store
from tests.builders import make_read_record
from tests.conftest import ROOT
from tests.station_files import add

NOW_US = 1_800_000_000_000_000
LOOK_UPS = (("reads",), ("search", "*"), ("hits",), ("show", "00" * 16), ("export", "--csv", "out.csv"))


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PATROL_LPR_PURPOSE", "PATROL_LPR_CASE"):
        monkeypatch.delenv(name)
    store = open_store(tmp_path / "station.db")
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    store.close()
    return tmp_path / "station.db"


def trail(db):
    store = open_store(db)
    try:
        return [(row.what, row.purpose, row.case_number) for row in store.audit_trail()]
    finally:
        store.close()


@pytest.mark.parametrize("words", LOOK_UPS)
@pytest.mark.parametrize(
    "given", [(), ("--purpose", "theft of a van"), ("--case", "26-014"), ("--purpose", " ", "--case", "26-014")]
)
def test_look_up_without_purpose_and_case_shows_nothing(db, words, given):
    done = CliRunner().invoke(app, [*words, "--db", str(db), *given])
    assert isinstance(done.exception, PurposeError)
    assert "a look-up needs a " in str(done.exception)
    assert not done.stdout
    assert not (db.parent / "out.csv").exists()
    assert trail(db) == []


def test_variables_give_purpose_and_case(db, monkeypatch):
    monkeypatch.setenv("PATROL_LPR_PURPOSE", "nightly copy for the court")
    monkeypatch.setenv("PATROL_LPR_CASE", "26-015")
    assert CliRunner().invoke(app, ["reads", "--db", str(db)]).exit_code == 0
    assert trail(db) == [("show records", "nightly copy for the court", "26-015")]


@pytest.mark.slow
def test_person_at_a_terminal_is_asked_and_the_answer_is_not_mixed_with_the_export(db):
    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"theft of a van\n26-014\n")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cli", "station", "export", "--db", db, "--csv", "-"],
            stdin=terminal, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert done.stdout.startswith("read_id,")
    assert "purpose" in done.stderr
    assert "case number" in done.stderr
    assert {row[1:] for row in trail(db)} == {("theft of a van", "26-014")}

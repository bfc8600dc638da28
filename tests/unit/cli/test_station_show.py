"""``station show``: one record and its pictures; and who is named in the audit trail."""

from __future__ import annotations

import json
import os
import pwd

import pytest
from typer.testing import CliRunner

from cli import account
from cli.station import app
from station.errors import StoreError
from station.store import open_store
from tests.builders import make_picture, make_read_record
from tests.contract.test_station_store import NOW_US, UNIT, picture
from tests.station_files import add


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "station.db"
    store = open_store(path)
    picture(store, b"plate jpeg")
    add(store, make_read_record(1, seq=1, pictures=(make_picture(content=b"plate jpeg"),)), now_us=NOW_US)
    with store.transaction():
        store.note_seen([UNIT], NOW_US)
    store.close()
    return path


def ask(path, *words):
    return CliRunner().invoke(app, ["show", "--db", str(path), *words])


@pytest.mark.slow
def test_record_is_shown_with_its_pictures(path, tmp_path, monkeypatch):
    """By its id alone; the trail names the account, whatever the environment claims."""
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    (read,) = json.loads(CliRunner().invoke(app, ["reads", "--db", str(path), "--json"]).output)
    done = ask(path, read["read_id"], "--pictures", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.output)
    assert shown["plate"] == read["plate"]
    (file,) = shown["files"]
    assert (tmp_path / "out" / f"{read['read_id']}-plate.jpg").read_bytes() == b"plate jpeg"
    assert file.endswith("-plate.jpg")
    assert read["plate"] in ask(path, read["read_id"]).output
    store = open_store(path)
    trail = store.audit_trail()
    store.close()
    assert {"show record", "show pictures"} <= {row.what for row in trail}
    assert {row.who for row in trail} == {account.operator_name()}


def test_unknown_record_and_what_is_no_id_are_refused(path):
    for words, message in ((("0" * 32,), "not at this station"), (("plate",), "is no id")):
        refused = ask(path, *words)
        assert isinstance(refused.exception, StoreError)
        assert message in str(refused.exception)


def test_login_behind_sudo_is_named(tmp_path, monkeypatch):
    """From the kernel's record of the login, which the user cannot set."""
    login = tmp_path / "loginuid"
    monkeypatch.setattr(account, "_LOGIN", login)
    monkeypatch.setenv("LOGNAME", "somebody-else")
    own = pwd.getpwuid(os.getuid()).pw_name
    for text, expected in (
        ("4294967295", own),
        (str(os.getuid()), own),
        ("1", f"{own} (login {pwd.getpwuid(1).pw_name})"),
        ("54321", f"{own} (login uid 54321)"),
    ):
        login.write_text(text)
        assert account.operator_name() == expected
    login.unlink()
    assert account.operator_name() == own


def test_pictures_of_exported_records_are_written_and_recorded(path, tmp_path):
    """One folder for each unit; the trail has an entry before the first file and one with the count."""
    store = open_store(path)
    add(store, make_read_record(2, seq=2), make_read_record(3, seq=1, unit="unit-08"), now_us=NOW_US)
    store.close()
    csv, out = tmp_path / "reads.csv", tmp_path / "pictures"
    words = ["export", "--db", str(path), "--csv", str(csv), "--pictures", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (read, *_) = csv.read_text().splitlines()[1:]
    (file,) = [found for found in out.rglob("*") if found.is_file()]
    assert file.read_bytes() == b"plate jpeg"
    assert file.relative_to(out).as_posix() == f"{UNIT}/{read.split(',')[0]}-plate.jpg"
    assert file.stat().st_mode & 0o077 == 0
    store = open_store(path)
    trail = [(row.what, row.count) for row in store.audit_trail()]
    store.close()
    assert trail[-2:] == [("export pictures begins", 0), ("export pictures", 1)]

"""``patrol-lpr station outputs`` and ``config``: what an operator sees and does."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cli import station as station_cli
from cli.main import app
from station.outputs.config import JsonLinesOutput
from station.outputs.json_lines import JsonLines
from station.outputs.runner import OutputRunner
from station.store import open_store
from tests.builders import make_read_record
from tests.contract.test_station_store import NOW_US
from tests.station_files import add

RUNNER = CliRunner()


def run(*arguments: object):
    if not any(group.name == "station" for group in app.registered_groups):
        app.add_typer(station_cli.app, name="station")
    return RUNNER.invoke(app, ["station", *(str(argument) for argument in arguments)])


@pytest.fixture
def db(tmp_path):
    """A file with an output that has delivered one read, given one up, and has one waiting."""
    path = tmp_path / "station.db"
    store = open_store(path)
    table = JsonLinesOutput(
        name="archive", kind="jsonl", path=str(tmp_path / "out.jsonl"), records=("read/1",), plates=True
    )
    runner = OutputRunner(store, table, JsonLines(table), lambda: NOW_US, holder="a")
    runner.register()
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    runner.step()
    add(store, make_read_record(2, seq=2), now_us=NOW_US)
    store.stream.bury("archive", store.stream.following("archive", 1)[0], "status [b]422[/b]", 1, NOW_US)
    add(store, make_read_record(3, seq=3), now_us=NOW_US)
    store.close()
    return path


@pytest.mark.slow
def test_outputs_are_shown_with_what_waits_and_failed(db):
    shown = run("--db", db, "outputs", "show")
    assert shown.exit_code == 0
    assert "archive" in shown.output
    (state,) = json.loads(run("--db", db, "outputs", "show", "--json").output)
    assert {name: state[name] for name in ("output", "waiting", "delivered", "given_up", "dead", "error")} == {
        "output": "archive", "waiting": 1, "delivered": 1, "given_up": 1, "dead": 1, "error": "status [b]422[/b]",
    }  # fmt: skip


@pytest.mark.slow
def test_dead_letters_are_shown_and_sent_again(db):
    assert "status [b]422[/b]" in run("--db", db, "outputs", "dead").output
    (letter,) = json.loads(run("--db", db, "outputs", "dead", "archive", "--json").output)
    assert (letter["record_id"], letter["attempts"]) == ((2).to_bytes(16, "big").hex(), 1)
    assert "1 records will be sent to archive again" in run("--db", db, "outputs", "retry", "archive").output
    assert json.loads(run("--db", db, "outputs", "dead", "--json").output) == []
    trail = json.loads(run("--db", db, "audit", "--json").output)["audit"]
    assert [entry["what"] for entry in trail][:2] == ["send records", "retry output"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["retry", "dead"])
def test_an_output_with_a_misspelt_name_is_refused(db, command):
    refused = run("--db", db, "outputs", command, "archve")
    assert refused.exit_code == 1
    assert "there is no output 'archve'; there are: archive" in str(refused.exception)
    trail = json.loads(run("--db", db, "audit", "--json").output)["audit"]
    assert "retry output" not in [entry["what"] for entry in trail]


@pytest.mark.slow
def test_output_is_removed(db):
    assert "output archive removed" in run("--db", db, "outputs", "remove", "archive").output
    assert "there is no output archive" in run("--db", db, "outputs", "remove", "archive").output
    assert json.loads(run("--db", db, "outputs", "show", "--json").output) == []


@pytest.mark.slow
def test_secret_is_made_once(tmp_path):
    path = tmp_path / "hook.secret"
    assert run("outputs", "secret", path).exit_code == 0
    assert path.read_text(encoding="ascii").startswith("whsec_")
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("outputs", "secret", path).exit_code == 2


@pytest.mark.slow
def test_configuration_is_checked_with_its_files(tmp_path):
    path, secret = tmp_path / "station.toml", tmp_path / "hook.secret"
    path.write_text(
        f'[[outputs]]\nname = "hook"\nkind = "webhook"\nurl = "https://example.org/"\nsecret_file = "{secret}"\n'
    )
    missing = run("config", "check", path)
    assert missing.exit_code == 1
    assert "hook.secret: cannot be read" in str(missing.exception)
    run("outputs", "secret", secret)
    assert "valid; outputs hook (webhook)" in run("config", "check", path).output


@pytest.mark.slow
def test_example_passes_its_own_check_of_keys(tmp_path):
    path = tmp_path / "station.toml"
    path.write_text(run("config", "example").output, encoding="utf-8")
    assert "tak-ca.pem" in str(run("config", "check", path).exception)

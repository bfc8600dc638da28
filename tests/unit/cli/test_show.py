"""Tables are never cut, and every command that prints one prints JSON as well."""

from __future__ import annotations

import importlib
import io
import json
import re
from typing import TYPE_CHECKING

import pytest
import typer.main
from rich.console import Console
from typer.testing import CliRunner

from agent.buffer import open_outbox
from agent.sync.encoder import RecordEncoder
from cli import main, outbox, show
from cli import station as station_cli
from cli.update import app as update_app
from protocol.wire.released import released_registry
from station.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

UNIT, PLATE, FILE = "patrol-unit-of-the-northern-county-7", "VEB7932K", "a" * 70 + ".whl"


def shown(table, *, width, terminal=True):
    out = io.StringIO()
    show.print_table(table, Console(file=out, width=width, force_terminal=terminal, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("width", [30, 80])
def test_a_table_shows_strings_as_they_are(width):
    """Names of files and texts of units: brackets are no markup, escape codes are shown and do nothing."""
    table = show.TextTable("file", "reason", title="[x] of a folder", caption="[/]")
    table.add_row("[bold]a[/]\x1b[2Jb.jpg", "[link=http://x]no[/link]")
    text = shown(table, width=width)
    for whole in ("[bold]a[/]\\x1b[2Jb.jpg", "[x] of a folder", "[/]"):
        assert whole in text
    assert "\x1b" not in text


def test_every_table_is_of_one_kind(repo):
    """Tables of texts are ``TextTable``; the two others are the live view of the demo, which shows our own words."""
    found = {
        path.name for path in (repo / "cli").rglob("*.py") if "rich.table" in path.read_text(encoding="utf-8")
    }
    assert found == {"show.py", "demo.py"}


def test_every_table_is_printed_by_the_one_that_cuts_nothing(repo):
    """``Console.print`` cuts a table at the width of the terminal, and at 80 columns in a pipe."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in (repo / "cli").rglob("*.py")
        if path.name != "show.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\.print\((?:\w*table\b|summary\()", line)
    ]
    assert found == []


@pytest.mark.parametrize("width", [30, 50, 80])
def test_a_narrow_table_folds_and_never_shortens(width):
    table = show.TextTable("picture", "plate", "confidence", "region", "box (px)")
    table.add_row("a/long/path/to/some/photograph-0001.jpg", "7ABC123", "0.99", "US-CA", "1 2 3 4")
    text = shown(table, width=width)
    assert "7ABC123" in text
    assert "…" not in text
    assert "...." not in text


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_table_shortens_what_a_person_needs(width, terminal):
    table = show.TextTable("time", "unit", "plate", "file", "finding")
    table.add_row("2026-05-12 10:00:00", UNIT, PLATE, FILE, "nothing is wrong with it " * 6)
    text = shown(table, width=width, terminal=terminal)
    for whole in (UNIT, PLATE, FILE, "2026-05-12 10:00:00"):
        assert whole in text
    assert "…" not in text
    assert text.count("wrong") == 6
    if not terminal:
        assert ("nothing is wrong with it " * 6).strip() in text


def test_a_table_of_short_values_fits_eighty_columns():
    table = show.TextTable("unit", "finding")
    table.add_row("unit-07", "nothing is wrong with it " * 6)
    assert max(map(len, shown(table, width=80).splitlines())) <= 80


ANSWER_BY_STATUS = {
    "run", "console", "record", "demo", "config check", "config show", "config example", "outbox requeue",
    "outbox discard",
    "keys station", "keys unit", "keys release", "keys agency", "keys policy", "keys hash",
    "hotlist keys", "hotlist sign", "hotlist offer", "hotlist install", "hotlist remove", "hotlist pin",
    "hotlist unit-key",
    "policy sign", "policy check", "policy offer", "policy install",
    "provision ca", "provision issue", "provision card", "provision serve", "provision revoke", "provision crl",
    "provision image",
    "provision sign", "provision put-card", "provision flash", "provision first-boot", "provision renew",
    "roster pin", "roster make", "roster sign", "roster token", "roster offer", "roster install",
    "deployment people import", "deployment plan cancel", "deployment plan import", "deployment purge",
    "deployment roster export", "deployment roster offer", "deployment settings", "deployment zones add",
    "deployment zones drop", "deployment zones import", "hotlist sign-again",
    "station config example", "station metrics", "station outputs run", "station outputs secret", "station web",
    "station",
    "update make", "update apply", "update take", "update confirm", "update rollback",
}  # fmt: skip
"""Commands that do something, run until they are ended, or write a file: their exit status is the answer."""


def _commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*words, name))
    if not hasattr(command, "commands") or command.invoke_without_command:
        yield " ".join(words), command


def test_every_command_that_answers_prints_json(repo):
    """Also a new one: it prints JSON with documented keys, or is named above."""
    whole = typer.Typer()
    whole.registered_commands, whole.registered_groups = (
        main.app.registered_commands,
        [*main.app.registered_groups],
    )
    for name, module in main.LATER.items():
        whole.add_typer(importlib.import_module(f"cli.{module}").app, name=name)
    commands = {words: command for words, command in _commands(typer.main.get_command(whole)) if words}
    printing = {
        words
        for words, command in commands.items()
        if "--json" in {option for parameter in command.params for option in parameter.opts}
    }
    assert set(commands) - printing == ANSWER_BY_STATUS
    documented = (
        (repo / "docs/operations.md").read_text(encoding="utf-8").split("## JSON output")[1].split("\n## ")[0]
    )
    assert {words for words in printing if f"`{words}`" not in documented} == set()


def test_station_commands_print_json(tmp_path):
    db = tmp_path / "station.db"
    open_store(db).close()
    for words, right in (
        (["reads"], []),
        (["units"], []),
        (["audit"], {"sequences"}),
    ):
        made = CliRunner().invoke(station_cli.app, [*words, "--db", str(db), "--json"])
        assert made.exit_code == 0, made.output
        told = json.loads(made.stdout)
        assert (set(told) == {"sequences", "audit"}) if right else told == []
    assert {row["what"] for row in told["audit"]} >= {"show records", "show units"}


def test_station_commands_that_do_something_print_what_they_did(tmp_path, monkeypatch):
    """A program need not read a sentence for the number of a hold or the link of an account."""
    monkeypatch.chdir(tmp_path)
    open_store(tmp_path / "station.db").close()
    why = ["--case", "26-1", "--reason", "discovery"]
    for words, expected in (
        (["account", "add", "jane", "--role", "analyst", "--full-name", "Jane"], {"name": "jane"}),
        (["account", "disable", "jane"], {"name": "jane", "disabled": True}),
        (["account", "enable", "jane"], {"name": "jane", "disabled": False}),
        (["account", "reset", "jane"], {"name": "jane"}),
        (["groups", "set", "north", "unit-08", "unit-07"], {"group": "north", "units": ["unit-07", "unit-08"]}),
        (["rollout", "stop", "policy", "north"], {"kind": "policy", "group": "north", "withdrawn": False}),
        (["groups", "remove", "north"], {"group": "north", "units": []}),
        (["hold", "place", "--plate", "7ABC123", *why], {"number": 1, "records": 0, "case": "26-1"}),
        (["hold", "release", "1", *why], {"number": 1, "released": True}),
        (["withdraw", "unit-07"], {"unit": "unit-07", "withdrawn": False}),
        (["outputs", "remove", "tak"], {"output": "tak", "removed": False}),
        (["export", "--csv", "x.csv", "--geojson", "x.geojson"], {"csv": 0, "geojson": 0}),
        (["purge", "--days", "1", "--yes", "--trust-clock"], {"due": 0, "records": 0, "pictures": 0}),
    ):
        made = CliRunner().invoke(station_cli.app, [*words, "--db", "station.db", "--json"])
        assert made.exit_code == 0, (words, made.output, made.exception)
        told = json.loads(made.stdout)
        assert {**told, **expected} == told, words
        assert words[:1] != ["account"] or words[1] not in {"add", "reset"} or "/set-up/" in told["link"]
    made = CliRunner().invoke(station_cli.app, ["export", "--csv", "-", "--db", "station.db", "--json"])
    assert made.exit_code == 2, "two documents in one output"


def test_update_status_prints_json(tmp_path):
    for name in ("current", "committed"):
        (tmp_path / name).symlink_to("releases/0")
    made = CliRunner().invoke(update_app, ["status", "--home", str(tmp_path), "--json"])
    assert made.exit_code == 0, made.output
    assert {"running", "committed", "floor", "failed"} <= set(json.loads(made.stdout))


def test_outbox_prints_json(tmp_path, capsys):
    open_outbox(tmp_path, RecordEncoder("unit-07", "A", bytes(16), released_registry(), None))[0].close()
    assert outbox.show(tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["reads"] == 0
    assert outbox.listing(tmp_path, quarantined=False, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == []

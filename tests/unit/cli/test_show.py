"""Tables are never cut, and every command that prints one prints JSON as well."""

from __future__ import annotations

import io
import json

import pytest
import typer.main
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from agent.buffer import open_outbox
from agent.sync.encoder import RecordEncoder
from cli import main, outbox, show
from cli import provision as provision_cli
from cli import station as station_cli
from cli import update as update_cli
from cli.update import app as update_app
from protocol.wire.released import released_registry
from station.store import open_store

UNIT, PLATE, FILE = "patrol-unit-of-the-northern-county-7", "VEB7932K", "a" * 70 + ".whl"


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_table_shortens_what_a_person_needs(width, terminal):
    table = Table("time", "unit", "plate", "file", "finding")
    table.add_row("2026-05-12 10:00:00", UNIT, PLATE, FILE, "nothing is wrong with it " * 6)
    out = io.StringIO()
    show.print_table(table, Console(file=out, width=width, force_terminal=terminal, color_system=None))
    text = out.getvalue()
    for whole in (UNIT, PLATE, FILE, "2026-05-12 10:00:00"):
        assert whole in text
    assert "…" not in text
    assert text.count("wrong") == 6
    if not terminal:
        assert ("nothing is wrong with it " * 6).strip() in text


def test_a_table_of_short_values_fits_eighty_columns():
    table = Table("unit", "finding")
    table.add_row("unit-07", "nothing is wrong with it " * 6)
    out = io.StringIO()
    show.print_table(table, Console(file=out, width=80, force_terminal=True, color_system=None))
    assert max(map(len, out.getvalue().splitlines())) <= 80


JSON_COMMANDS = [
    (main.app, ["outbox", "show"]), (main.app, ["outbox", "list"]), (main.app, ["verify"]),
    (main.app, ["bundle", "verify"]), (main.app, ["bundle", "bench"]), (main.app, ["doctor"]),
    (main.app, ["selftest"]), (station_cli.app, ["reads"]), (station_cli.app, ["units"]), (station_cli.app, ["audit"]),
    (provision_cli.app, ["list"]), (update_cli.app, ["show"]), (update_cli.app, ["status"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("app", "words"), JSON_COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_every_command_with_a_table_prints_json(app, words, repo):
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    section = (
        (repo / "docs/operations.md").read_text(encoding="utf-8").split("## JSON output")[1].split("\n## ")[0]
    )
    assert f"{' '.join(words)}`" in section


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

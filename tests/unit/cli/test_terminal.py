"""Strangers' texts on a terminal, whatever its encoding is, and without one."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich import box
from rich.text import Text

from cli.show import TextTable, print_table
from cli.terminal import PlainConsole, say


def run(repo, *arguments, shell_tail="", cwd=None, **environ):
    """The command with its streams as a shell sets them up."""
    command = f'exec "$0" -P -m cli "$@" {shell_tail}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(os.fspath, arguments)],
        cwd=cwd, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(repo), **environ},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[red]list[/red] [link=http://x]y[/link]", "[red]list[/red] [link=http://x]y[/link]\n"),
        ("\x1b[2J\x9b1m\u202e\a", "\\x1b[2J\\x9b1m\\u202e\\x07\n"),
        (":smile: 12 3.4 http://x", ":smile: 12 3.4 http://x\n"),
        ("x" * 300, "x" * 300 + "\n"),
    ],
)
def test_what_is_printed_is_what_there_is(capsys, text, expected):
    """No markup, no emoji codes, no escape codes, no wrapping."""
    PlainConsole().print(text)
    PlainConsole(stderr=True).print(text, style="red")
    PlainConsole().print(Text(text[:0]) + "")
    out, err = capsys.readouterr()
    assert (out, err) == (expected + "\n", expected)


def test_a_name_of_two_lines_does_not_look_like_a_message(capsys):
    say("a\npatrol-lpr: all is well\x1b[1m\n  second mistake")
    assert capsys.readouterr().err == "patrol-lpr: a\n  patrol-lpr: all is well\\x1b[1m\n  second mistake\n"


def test_every_console_of_the_commands_is_a_plain_one(repo):
    """``rich.console.Console`` takes brackets in names for markup; only progress bars and live views may use it."""
    found = []
    for path in (repo / "cli").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bars = {
            id(key.value)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in {"Progress", "Live"}
            for key in call.keywords
        }
        found += [
            f"{path.name}:{call.lineno}"
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Console" and id(call) not in bars
        ]
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("config", "example"), ("--help",), ("config", "check", "none")])
def test_closed_streams_are_no_error(repo, arguments):
    """Started by a service or a script that closed them; no file of ours takes their numbers."""
    usual = run(repo, *arguments).returncode
    for tail in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        done = run(repo, *arguments, shell_tail=tail)
        assert done.returncode == usual
        assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_a_full_disk_behind_the_output_is_one_line(repo):
    done = run(repo, "config", "example", shell_tail="> /dev/full")
    assert (done.returncode, done.stderr) == (1, b"patrol-lpr: No space left on device\n")


@pytest.mark.slow
def test_a_terminal_of_few_characters_shows_the_others_as_escapes(repo, tmp_path):
    path = tmp_path / "caf\u00e9-\U0001f697-\u0639.jpg"
    path.write_bytes(b"x")
    shown = run(repo, "read", path, PYTHONIOENCODING="ascii")
    document = run(repo, "read", "--json", path, PYTHONIOENCODING="ascii")
    assert shown.returncode == document.returncode == 1
    assert b"caf\\xe9-\\U0001f697-\\u0639.jpg" in shown.stdout
    assert json.loads(document.stdout)[0]["image"] == str(path)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("width", [20, 79, 80, 100])
def test_a_table_on_a_plain_console_is_whole(monkeypatch, width, term):
    """Lines of text are not wrapped, and cells are: else a plate would lose its last character."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    console = PlainConsole()
    console.file = io.StringIO()
    assert console.is_terminal
    table = TextTable(title="unit-07", box=box.SIMPLE)
    for name in ("time", "seq", "plate", "region", "conf", "frames", "position"):
        table.add_column(name, no_wrap=name != "frames")
    table.add_row("15:04:01 (anchored)", "1", "6KYN051", "US-CA", "99 %", "11/11", "44.02132 -100.35762 ±6 m")
    print_table(table, console)
    shown = console.file.getvalue()
    for whole in ("15:04:01 (anchored)", "6KYN051", "US-CA", "99 %", "44.02132 -100.35762 ±6 m"):
        assert whole in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "…" not in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("station", "reads", "--db", "missing.db"), ("verify", "missing.lpr"), ("keys", "show", "missing.pub"),
        ("outbox", "show", "--state-dir", "missing"), ("update", "status", "--home", "missing"),
        ("provision", "list", "missing"), ("hotlist", "inspect", "missing.lpr"),
    ],
)  # fmt: skip
def test_a_program_reads_json_also_when_a_command_fails(repo, arguments):
    done = run(repo, *arguments, "--json")
    assert done.returncode not in {0, 2}, done.stderr
    assert "missing" in json.loads(done.stdout)["error"]
    assert done.stderr.startswith(b"patrol-lpr: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "station", ""), "must not be empty"),
        (("simulate", ""), "must not be empty"),
        (("verify", "x.lpr", "--key", ""), "must not be empty"),
        (("provision", "issue", "ca", os.fsdecode(b"station\xe9"), "--out", "x"), r"station\xe9: not UTF-8"),
        (("station", "reads", "--db", "none.db", "--limit", "9" * 20), "less than or equal to"),
        (("provision", "card", "ca", "unit-1", "--agency", "", "--enrol-at", "h:1", "--broker", "h:1",
          "--station-key", "k"), "--agency"),
        (("roster", "token", "", "unit-1", "--key", "k"), "badge: has a character or a length that is not allowed"),
        (("provision", "card", "ca", "unit-1", "--agency", "a", "--enrol-at", "h:99999", "--broker", "h:1",
          "--station-key", "k"), "not HOST:PORT"),
        (("provision", "card", "ca", "unit-1", "--agency", "a", "--enrol-at", "h:1", "--broker", "h:1",
          "--station-key", "k", "--hours", "inf"), "less than or equal to"),
    ],
)  # fmt: skip
def test_values_that_no_command_can_use_are_refused_in_words(repo, tmp_path, arguments, said):
    subprocess.run(
        [sys.executable, "-P", "-m", "cli", "provision", "ca", "ca"],
        cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(repo)},
    )  # fmt: skip
    before = sorted(tmp_path.iterdir())
    done = run(repo, *arguments, cwd=tmp_path)
    assert done.returncode in {1, 2}
    assert b"Traceback" not in done.stderr
    assert said in done.stderr.decode()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_file_on_standard_output_has_nothing_else_in_it(repo, tmp_path):
    for words in (("keys", "station", "k"), ("provision", "ca", "ca")):
        assert run(repo, *words, cwd=tmp_path).returncode == 0
    done = run(
        repo, "provision", "card", "ca", "unit-1", "--agency", "a", "--enrol-at", "h:1", "--broker", "h:1",
        "--station-key", "k/station.pub", "--out", "/dev/stdout", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["unit"] == "unit-1"
    assert b"token valid until" in done.stderr

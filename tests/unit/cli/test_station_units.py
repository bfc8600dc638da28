"""The systemd units of provision/station start commands that exist."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

from cli.deployment import app as deployment
from cli.station import app as station
from tests.conftest import ROOT

FOLDER = ROOT / "provision/station"
SERVICES = sorted(FOLDER.glob("*.service"))


def environment(text: str) -> dict[str, str]:
    (name,) = re.findall(r"^EnvironmentFile=/etc/patrol-lpr/(.*)$", text, flags=re.MULTILINE)
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


APPS = {"station": station, "deployment": deployment}


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_the_commands_of_a_unit_parse(path):
    """With the variables of its file: ${X} is one word, $X is split."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    assert commands
    for command in commands:
        program, verb, *words = _words(command, environment(text))
        assert program == "/opt/patrol-lpr/bin/patrol-lpr"
        group = typer.main.get_command(APPS[verb])
        context = group.make_context(verb, words, resilient_parsing=False)
        name, *rest = [*context._protected_args, *context.args] or [""]
        inner = group.commands[name].make_context(name, rest) if name else context
        assert (inner.params.get("db") or context.params["db"]).startswith("postgresql://")


def _words(command, values):
    words = []
    for word in command.split():
        if word in {f"${name}" for name in values}:
            words += shlex.split(values[word[1:]])
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], word).replace("%i", "1"))
    return words

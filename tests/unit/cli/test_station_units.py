"""The systemd units of provision/station start commands that exist."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

from cli.station import app
from tests.conftest import ROOT

FOLDER = ROOT / "provision/station"
SERVICES = sorted(FOLDER.glob("*.service"))


def environment(text: str) -> dict[str, str]:
    (name,) = re.findall(r"^EnvironmentFile=/etc/patrol-lpr/(.*)$", text, flags=re.MULTILINE)
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_the_command_of_a_unit_parses(path):
    """With the variables of its file: ${X} is one word, $X is split."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    values = environment(text)
    words = []
    for word in command.split():
        if word in {f"${name}" for name in values}:
            words += shlex.split(values[word[1:]])
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], word).replace("%i", "1"))
    assert words[:2] == ["/opt/patrol-lpr/bin/patrol-lpr", "station"]
    group = typer.main.get_command(app)
    context = group.make_context("station", words[2:], resilient_parsing=False)
    name, *rest = [*context._protected_args, *context.args] or [""]
    assert context.params["db"].startswith("postgresql://")
    if name:
        group.commands[name].make_context(name, rest)

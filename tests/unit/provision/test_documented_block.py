"""Blocks of docs/provisioning.md run in order, as a newcomer types them, from an empty folder."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.testing import CliRunner

from cli import main
from cli import provision as provision_cli
from provision.card import load_card
from tests.conftest import ROOT

TEXT = (ROOT / "docs/provisioning.md").read_text(encoding="utf-8")


def lines(heading):
    block = re.search(rf"^## {heading}\n.*?^```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)[1]
    return [shlex.split(line.split(" #")[0]) for line in block.splitlines()]


def type_in(words):
    if words[1] == "provision":
        return CliRunner().invoke(provision_cli.app, words[2:])
    return CliRunner().invoke(main.app, words[1:])


@pytest.mark.slow
def test_a_fleet_is_set_up_by_the_documented_commands(tmp_path, monkeypatch):
    """All but the server, which runs until Ctrl-C, and what needs a card in a reader."""
    monkeypatch.chdir(tmp_path)
    typed = [words for words in lines("Once per fleet") if "serve" not in words]
    typed += [words for words in lines("For each unit") if words[:3] == ["patrol-lpr", "provision", "card"]]
    typed += lines("Renewal and revocation")
    assert len(typed) == 11
    for words in typed:
        done = type_in(words)
        assert done.exit_code == 0, (words, done.output, done.exception)
    assert (tmp_path / "enrol/enrol.key").exists()
    assert load_card(tmp_path / "provision.json").unit == "unit-07"
    serve = next(words for words in lines("Once per fleet") if "serve" in words)
    for option in ("--cert", "--key"):
        assert (tmp_path / serve[serve.index(option) + 1]).exists()

"""docs/station.md is complete."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING

import typer.main

from cli.station import app
from station.ingest import IngestCounts
from station.service import ServiceCounts

if TYPE_CHECKING:
    from pathlib import Path


def test_every_counter_is_documented(repo: Path) -> None:
    """What is counted can be looked up, and nothing else is listed."""
    section = (repo / "docs/station.md").read_text(encoding="utf-8").partition("## Counters")[2]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert listed == {field.name for kind in (IngestCounts, ServiceCounts) for field in fields(kind)}


def test_every_command_and_option_is_documented(repo: Path) -> None:
    """A command or option without a word in the document does not exist for a reader."""
    text = (repo / "docs/station.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    wanted = {f"patrol-lpr station {name}" for name in commands}
    for command in (group, *commands.values()):
        wanted |= {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert {word for word in wanted if word not in text} == set()

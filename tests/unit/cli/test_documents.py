"""What the documents say is true: every counter is explained, every link leads somewhere, every command runs."""

from __future__ import annotations

import functools
import json
import re
import shlex
from contextlib import suppress

import pytest
import typer
import typer.main

from agent.runtime.config import load_config
from agent.runtime.hardware import Hardware
from agent.runtime.service import Service
from cli import deployment as deployment_cli
from cli import hotlist, report_recompute, update
from cli import policy as policy_cli
from cli import provision as provision_cli
from cli import roster as roster_cli
from cli import shift as shift_cli
from cli import station as station_cli
from cli.config import example
from cli.demo import DriveClock
from cli.main import app
from cli.simulate import config_for, reader_for
from hw.absent import LinkAbsent
from hw.drive_load import load_drive
from hw.open import open_board, open_cameras, open_gnss, open_panel
from tests.conftest import ROOT
from tests.drive_builder import write_drive

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def published(tmp_path):
    """Names of all counters and gauges of a running agent."""
    drive = load_drive(write_drive(tmp_path / "drive"))
    config = config_for(drive, tmp_path / "state")
    clock = DriveClock(drive)
    make_reader, models = reader_for(drive, config)
    hardware = Hardware(
        cameras=open_cameras(config.hw.cameras, clock, drive=drive),
        gnss=open_gnss(config.hw.gnss, clock, drive=drive),
        panel=open_panel(config.hw.panel, clock, drive=drive),
        link=LinkAbsent(),
        board=open_board(config.hw.board, clock, drive=drive),
        clock=clock,
    )
    service = Service(config, hardware, make_reader, models)
    seen = {}

    def watch(running):
        if all(camera.ready for camera in running.cameras):
            seen["names"] = {*running.health.counters(), *running.health.gauges(hardware.board.vitals())}
            running.stop()

    service.run(on_watch=watch, drain_s=0)
    return seen["names"]


def test_every_counter_and_gauge_is_documented(tmp_path):
    """docs/counters.md lists exactly what is published."""
    text = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z_.0-9{}]+)` \| \S", text, flags=re.MULTILINE))
    assert documented == {re.sub(r"\.[a-z]+/\d+$", ".{type}", name) for name in published(tmp_path)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_exist(path):
    """No dead link inside the project."""
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def commands():
    """Every ``patrol-lpr`` line of every document, comments cut off."""
    for path in DOCUMENTS:
        for block in re.findall(
            r"^```\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        ):
            for shown in block.splitlines():
                line = shown.removeprefix("sudo ")
                if re.match(r"(\S*/)?patrol-lpr ", line):
                    words = shlex.split(line.split(" #")[0].split(" > ")[0])[1:]
                    yield pytest.param(words, id=f"{path.name}: {' '.join(words)}")


@functools.cache
def whole_command():
    """All commands; made once, which takes as long as a start of the program."""
    known = {group.name for group in app.registered_groups}
    for name, group in (
        ("station", station_cli),
        ("provision", provision_cli),
        ("update", update),
        ("hotlist", hotlist),
        ("roster", roster_cli),
        ("shift", shift_cli),
        ("policy", policy_cli),
        ("deployment", deployment_cli),
        ("report", report_recompute),
    ):
        if name not in known:
            app.add_typer(group.app, name=name)
    return typer.main.get_command(app)


def command_of(words):
    """The command that the words call, and what they give to it."""
    command = whole_command()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("words", list(commands()))
def test_documented_commands_parse(words):
    """Commands in the documents exist with these arguments and options."""
    command, words = command_of(words)
    with suppress(typer.Exit):  # --help ends where it stands
        command.make_context("patrol-lpr", list(words))


def mentioned(kind):
    """Words after ``kind`` in every `code` of prose and tables; what may be left out there is taken as given."""
    for path in DOCUMENTS:
        prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", prose):
            if code.startswith(f"{kind} "):
                words = code.replace("[", " ").replace("]", " ").split()[len(kind.split()) :]
                if not re.fullmatch(r"[a-z]+/\d", words[0]):  # a label of the wire format, as "link/1"
                    yield pytest.param(words, id=f"{path.name}: {code}")


@pytest.mark.slow
@pytest.mark.parametrize("words", list(mentioned("patrol-lpr")))
def test_mentioned_commands_exist(words):
    """In a table or a sentence arguments may be missing; the command and its options are real."""
    command, given = command_of(words)
    # A group may have options of its own.
    assert not hasattr(command, "commands") or not given or given[0].startswith("--"), f"{given[0]} is no command"
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in given if word.startswith("--")} <= options | {"--help"}


@pytest.mark.parametrize("words", list(mentioned("make")))
def test_mentioned_targets_exist(words):
    """What `make` is asked for is in the Makefile."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert words[0] in targets


@pytest.mark.parametrize("words", list(mentioned("python -m")))
def test_mentioned_modules_exist(words):
    """A module that a document runs lies where it says."""
    place = ROOT / words[0].replace(".", "/")
    assert words[0] == "pytest" or place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


def test_example_configuration_is_valid(tmp_path, capsys):
    """What `config example` prints can be used as it is."""
    assert example() == 0
    path = tmp_path / "config.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    config = load_config(path)
    assert (config.unit, config.hw.link.kind) == ("change-me", "mqtt")
    assert config.hw.link.unit == "change-me"


def glossary_references():
    """Every file in the glossary with the classes named beside it."""
    for line in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("| ") or line.startswith("| term "):
            continue
        term, _, where = (cell.strip() for cell in line.strip("|").split("|"))
        path, *classes = re.findall(r"`([^`]+)`", where)
        yield pytest.param(path, classes, id=term)


@pytest.mark.parametrize(("path", "classes"), list(glossary_references()))
def test_glossary_names_existing_files_and_classes(path, classes):
    """Each term's file exists and defines the classes named."""
    source = (ROOT / path).read_text(encoding="utf-8")
    assert [name for name in classes if not re.search(rf"^class {name}\b", source, flags=re.MULTILINE)] == []


def test_laptop_configuration_is_valid():
    """docs/laptop.toml, which the README uses, loads."""
    config = load_config(ROOT / "docs" / "laptop.toml")
    assert (config.hw.cameras[0].kind, config.hw.link.kind, config.seal.mode) == ("device", "mqtt", "off")


@pytest.mark.parametrize(
    ("row", "figure"),
    [
        ("US plate crops read correctly", "US crops, read"),
        ("US scenes, plates read correctly", "US scenes, read"),
        ("European scenes, plates read correctly", "EU scenes, read"),
        ("**US scenes with at least one false read**", "false_img, US scenes"),
        ("US scenes with 7 px motion blur, plates read correctly", "US scenes, 7 px motion blur, read"),
        ("US scenes at night with noise, plates read correctly", "US scenes, night and noise, read"),
    ],
)
def test_the_readme_has_the_measured_figures(repo, row, figure):
    """Also those that speak against us: bench/reference/accuracy.json, made by `make accuracy`."""
    measured = json.loads((repo / "bench/reference/accuracy.json").read_text(encoding="utf-8"))["figures"][figure]
    shown = f"**{measured * 100:.1f} %**" if figure.startswith("false") else f"{measured:.0f} %"
    assert f"| {row} | {shown} |" in (repo / "README.md").read_text(encoding="utf-8")

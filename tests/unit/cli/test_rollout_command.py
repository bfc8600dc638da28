"""The commands of docs/rollout.md run as they are written, from the owner's file to going back."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from cli import hotlist
from cli import policy as policy_cli
from cli import station as station_cli
from cli.main import app
from station.errors import StoreError
from station.store import open_store
from tests.conftest import ROOT

TEXT = (ROOT / "docs/rollout.md").read_text(encoding="utf-8")
LISTS = (ROOT / "docs/hotlists.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.split(" #")[0])[1:]
    for block in re.findall(r"^```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def run(*words: str, code: int = 0) -> str:
    for name, group in (("station", station_cli), ("hotlist", hotlist), ("policy", policy_cli)):
        if not any(there.name == name for there in app.registered_groups):
            app.add_typer(group.app, name=name)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, (words, done.output, done.exception)
    return done.output


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, kind in (("stolen.csv", "csv"), ("stolen.toml", "toml")):
        found = re.search(rf"```{kind}\n(.*?)```", LISTS, flags=re.DOTALL)
        (tmp_path / name).write_text(found[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run("hotlist", "keys", "authority")
    open_store(tmp_path / "station.db").close()
    return tmp_path


def state():
    return json.loads(run("station", "rollout", "show", "--json"))


@pytest.mark.slow
def test_the_walk_through_of_a_rollout_runs(folder):
    """Each step leaves what the document says."""
    shares = {}
    for words in COMMANDS:
        output = run(*words)
        if words[:2] == ["station", "rollout"]:
            (now,) = state()
            shares[" ".join(words[2:4])] = (now["version"], now["percent"], now["offered"])
            assert words[2] != "show" or "unit-07" in output
    assert shares == {
        "start hotlist": (19, 100, 3),
        "show north": (18, 10, 1),
        "advance hotlist": (18, 100, 3),
        "stop hotlist": (18, 0, 0),
    }
    trail = json.loads(run("station", "audit", "--json"))["audit"]
    assert [entry["filter"] for entry in trail if entry["what"] == "roll out"] == [
        f"kind=hotlist group=north release={release} percent={percent}{figures}"
        for release, percent, figures in (
            # What alarm quality compares with, where a file is offered.
            (18, 10, " list=stolen version=18 approximate=0 exact=0 patterns=0"),
            (18, 100, ""),
            (18, 0, ""),
            (19, 100, " list=stolen version=19 approximate=0 exact=0 patterns=0"),
        )
    ]


@pytest.mark.slow
def test_unsigned_foreign_and_held_files_are_not_rolled_out(folder):
    """A draft, and a package of another authority; nothing is offered."""
    run("hotlist", "import", "stolen.csv", "stolen.toml", "stolen.draft")
    run("station", "groups", "set", "north", "unit-07")
    start = ("station", "rollout", "start", "hotlist", "north")
    run(*start, "stolen.draft", "--key", "authority/hotlist.pub", code=1)
    run("hotlist", "keys", "other")
    run("hotlist", "sign", "stolen.draft", "other.lprhot", "--key", "other/hotlist.key", "--version", "1")
    run(*start, "other.lprhot", "--key", "authority/hotlist.pub", code=1)
    assert state() == []


@pytest.mark.slow
def test_package_is_signed_again_with_a_higher_version_only(folder):
    run("hotlist", "import", "stolen.csv", "stolen.toml", "stolen.draft")
    run("hotlist", "sign", "stolen.draft", "a.lprhot", "--key", "authority/hotlist.key", "--version", "5")
    again = (
        "hotlist",
        "sign-again",
        "a.lprhot",
        "b.lprhot",
        "--key",
        "authority/hotlist.key",
        "--accept-change",
        "A",
    )
    run(*again, "--version", "5", code=1)
    assert not (folder / "b.lprhot").exists()
    run(*again, "--version", "6")
    first, second = (
        json.loads(run("hotlist", "inspect", name, "--key", "authority/hotlist.pub", "--json"))
        for name in ("a.lprhot", "b.lprhot")
    )
    assert (second["version"], second["accepted_by"]) == (6, "A")
    for name in ("as_of_utc_us", "expires_utc_us", "entries", "rules", "settings"):
        assert second[name] == first[name]


@pytest.mark.slow
def test_groups_are_shown(folder):
    run("station", "groups", "set", "north", "unit-08", "unit-07")
    assert json.loads(run("station", "groups", "show", "--json")) == [
        {"group": "north", "units": ["unit-07", "unit-08"]}
    ]
    run("station", "groups", "remove", "north")
    assert json.loads(run("station", "groups", "show", "--json")) == []


@pytest.mark.slow
def test_a_group_with_a_misspelt_name_is_not_removed_or_shown(folder):
    run("station", "groups", "set", "north", "unit-07")
    for arguments in (("groups", "remove", "nort"), ("rollout", "show", "nort")):
        refused = CliRunner().invoke(app, ["station", *arguments])
        assert isinstance(refused.exception, StoreError)
        assert "there is no group 'nort'" in str(refused.exception)
    trail = json.loads(run("station", "audit", "--json"))["audit"]
    assert [entry["filter"] for entry in trail if entry["what"] == "set group"] == ["group=north units=1"]

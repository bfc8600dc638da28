"""The walk-through of docs/hotlists.md runs as it is written, from the owner's file to a unit and a station."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from agent.hotlist.matcher import Matcher
from agent.runtime.lists import build_lists
from cli import hotlist
from cli.config import example
from cli.hotlist_try import DryRun, open_for_trial, try_reads
from protocol.hotlist.entry import Entry
from protocol.policy.envelope import sign_pack
from protocol.policy.pack import pack_of_toml
from protocol.seal.keys import SigningKey
from station.asker import Asker
from station.lists.draft import ListFile
from station.query import Query
from station.store import NewRecord, open_store
from tests.builders import make_read_record
from tests.conftest import ROOT
from tests.hotlist_builder import make_draft

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs/hotlists.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("sudo ").split(" #")[0])[2:]
    for block in re.findall(r"^```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if "patrol-lpr hotlist " in line
]
ON_UNIT = {"install", "status", "unit-key"}


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(hotlist.app, words)
    assert done.exit_code == code, (words, done.output, done.exception)
    return done.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the walk-through."""
    (tmp_path / "stolen.csv").write_text(
        re.search(r"```csv\n(.*?)```", TEXT, flags=re.DOTALL)[1], encoding="utf-8"
    )
    (tmp_path / "stolen.toml").write_text(
        re.search(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)[1], encoding="utf-8"
    )
    drive = tmp_path / "tests/drives/city-day"
    drive.parent.mkdir(parents=True)
    drive.symlink_to(ROOT / "tests/drives/city-day")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The configuration of a unit that accepts the authority's lists."""
    example()
    path = folder / "config.toml"
    SigningKey.generate().save(folder / "unit.key")
    table = f'\n[hotlist]\nkey = "{folder}/authority/hotlist.pub"\n'
    text = re.sub(r"\n\[hotlist\].*?(?=\n\[|\Z)", table, capsys.readouterr().out, flags=re.DOTALL)
    path.write_text(text if "authority/hotlist.pub" in text else text + table, encoding="utf-8")
    return path


def unit_options(folder: Path, config: Path) -> list[str]:
    sets = {"state_dir": folder / "state", "seal.unit_key": folder / "unit.key", "agency": "Example Sheriff"}
    return ["--config", str(config), *(f"--set={key}={value}" for key, value in sets.items())]


@pytest.mark.slow
def test_the_walk_through_runs(folder: Path, config: Path) -> None:
    open_store(folder / "station.db").close()
    assert len(COMMANDS) >= 12
    for words in COMMANDS:
        if words[0] in ON_UNIT:
            words = [*words[: words.index("--config")], *unit_options(folder, config)]  # noqa: PLW2901
        output = run(*words)
        if words[0] == "status":
            assert "stolen" in output
    assert "version 2" in run("install", "stolen-2.lprhot", *unit_options(folder, config))
    status = json.loads(run("status", "--json", *unit_options(folder, config)))
    assert [(entry["version"], entry["entries"]) for entry in status["lists"]] == [(2, 3)]
    assert "out of force" in run("remove", "stolen", *unit_options(folder, config))
    store = open_store(folder / "station.db", must_exist=True)
    trail = Query(store, Asker("test"), lambda: 1).audit_trail()
    store.close()
    told = "unit=unit-07 kind=hotlist release=2 list=stolen version=2 approximate=0 exact=0 patterns=0"
    assert [(row.what, row.filter) for row in trail] == [("offer", told)]


def test_a_held_list_is_signed_only_with_a_name(folder: Path) -> None:
    run("keys", "authority")
    (folder / "bad.csv").write_text("LIC,LIS\nABC123,CA\n,NV\n")
    assert "held: 1 of 2 rows are bad" in run("import", "bad.csv", "stolen.toml", "d", code=3)
    sign = ("sign", "d", "p", "--key", "authority/hotlist.key", "--version", "1")
    done = CliRunner().invoke(hotlist.app, sign)
    assert "held" in str(done.exception)
    assert not (folder / "p").exists()
    run(*sign, "--accept-change", "Captain Example")
    told = json.loads(run("inspect", "p", "--key", "authority/hotlist.pub", "--json"))
    assert (told["accepted_by"], told["entries"]) == ("Captain Example", 1)


def test_bad_rows_are_written_and_no_cell_is_a_formula(folder: Path) -> None:
    (folder / "bad.csv").write_text("LIC,LIS\n=1+1,CA\nABC123,CA\n")
    run("import", "bad.csv", "stolen.toml", "d", "--bad-rows", "rows.csv", code=3)
    assert (folder / "rows.csv").read_text().splitlines() == [
        "line,reason", "2,the plate has characters other than A-Z and 0-9",
    ]  # fmt: skip


def a_policy(folder: Path, name: str, *, version: int = 1, allows: bool = True) -> str:
    """A signed policy that keeps every read; its file."""
    key = folder / "policy.key"
    if not key.exists():
        made = SigningKey.generate()
        made.save(key)
        (folder / "policy.pub").write_bytes(made.public.pem())
    text = (ROOT / "protocol/policy/strict.toml").read_text(encoding="utf-8")
    text = text.replace('id = "strict"', f'id = "{name}"').replace("version = 1", f"version = {version}")
    if allows:
        text = text.replace('partial = "never"', 'partial = "never"\nretained_reads = true')
    signed = sign_pack(pack_of_toml(text, name), SigningKey.load(key), as_of_s=1)
    (folder / f"{name}-{version}.lprpol").write_bytes(signed)
    return f"{name}-{version}.lprpol"


def keep_reads(folder: Path) -> None:
    """A draft, and its plate read three times: under two versions of a policy, and under none."""
    make_draft(folder / "d", [Entry("1", "ABC123", "US-CA")])
    store = open_store(folder / "station.db")
    with store.transaction():
        for number, policy in enumerate(("us-xx/1", "us-xx/2", ""), start=1):
            record = make_read_record(number, seq=number, text="ABC123", policy=policy)
            store.add_records([NewRecord(record)], 1)
    store.close()


def test_a_list_is_compared_with_retained_reads_only_where_their_policy_allows(folder: Path) -> None:
    """A read that was kept by an earlier version without the permission stays out, and one without a policy."""
    keep_reads(folder)
    asked = ["dry-run", "d", "--db", "station.db", "--purpose", "before it goes live", "--case", "26-014"]
    assert CliRunner().invoke(hotlist.app, asked).exit_code == 2, "no policy"
    refusing = ["--policy", a_policy(folder, "us-xx", allows=False), "--policy-key", "policy.pub"]
    done = CliRunner().invoke(hotlist.app, [*asked, *refusing])
    assert "lists.retained_reads" in str(done.exception)
    allowing = ["--policy", a_policy(folder, "us-xx", version=2), "--policy-key", "policy.pub"]
    done = CliRunner().invoke(hotlist.app, [*asked[:6], *allowing])
    assert "needs a purpose and a case number" in str(done.exception)
    told = json.loads(run(*asked, *refusing[:2], *allowing, "--json"))
    assert (told["reads"], told["left_out"]) == (1, 2)
    assert [hit["read_id"] for hit in told["raised"]] == [f"{2:032x}"]
    assert "2 reads left out" in run(*asked, *allowing)


def test_a_comparison_with_retained_reads_is_in_the_trail_as_such(folder: Path) -> None:
    keep_reads(folder)
    policy = ["--policy", a_policy(folder, "us-xx"), "--policy-key", "policy.pub"]
    run("dry-run", "d", "--db", "station.db", "--purpose", "before it goes live", "--case", "26-014", *policy)
    store = open_store(folder / "station.db", must_exist=True)
    (row,) = Query(store, Asker("test"), lambda: 1).audit_trail()
    store.close()
    assert (row.what, row.purpose, row.case_number) == ("compare list with reads", "before it goes live", "26-014")
    assert (row.filter, row.count) == ("list=stolen/draft policies=us-xx/1 limit=100000 left_out=2", 1)


def test_a_policy_of_another_key_allows_nothing(folder: Path) -> None:
    keep_reads(folder)
    policy = a_policy(folder, "us-xx")
    (folder / "other.pub").write_bytes(SigningKey.generate().public.pem())
    asked = ("dry-run", "d", "--db", "station.db", "--purpose", "x", "--case", "1", "--policy", policy)
    done = CliRunner().invoke(hotlist.app, [*asked, "--policy-key", "other.pub"])
    assert "this policy cannot be used" in str(done.exception)


def test_a_dry_run_finds_by_the_alternatives_that_a_read_kept(folder: Path) -> None:
    with ListFile(make_draft(folder / "d2", [Entry("1", "A8C123", "US-CA")])) as draft:
        matcher = open_for_trial(draft)
        (match,) = matcher.match_texts([("ABC123", 0.7), ("A8C123", 0.2)], "US-NV", 0.9, now_utc_us=None)
        assert (match.rule.value, match.probability, match.region_match.value) == ("approximate", 0.2, "different")
        found = DryRun()
        try_reads(Matcher(), [], found)
        assert found.reads == 0


@pytest.mark.slow
def test_pins_are_set_by_one_who_can_open_the_lists(folder: Path, config: Path) -> None:
    run("keys", "authority")
    options = unit_options(folder, config)
    first = CliRunner().invoke(hotlist.app, ["pin", "4711", *options], input="739204\n739204\n")
    assert first.exit_code == 0, first.output
    alone = CliRunner().invoke(hotlist.app, ["pin", "0815", *options], input="x\n")
    assert alone.exit_code != 0
    second = CliRunner().invoke(
        hotlist.app, ["pin", "0815", "--by", "4711", *options], input="739204\n480216\n480216\n"
    )
    assert second.exit_code == 0, second.output
    assert "the lists are locked" in run("status", *options, "--set=hotlist.open=pin")
    assert build_lists is not None


def test_drafts_and_strangers_are_refused(folder: Path) -> None:
    (folder / "x").write_bytes(b"hello")
    for words in (["inspect", "x"], ["diff", "x", "x"], ["sign", "x", "y", "--key", "k", "--version", "1"]):
        assert CliRunner().invoke(hotlist.app, words).exit_code != 0
    run("import", "stolen.csv", "stolen.toml", "d")
    done = CliRunner().invoke(hotlist.app, ["offer", "unit-07", "d"])
    assert done.exit_code != 0
    assert shutil.which("true")

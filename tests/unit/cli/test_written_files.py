"""Commands that read TOML: from an editor of Windows, nested without end, from a device, above the limit."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from cli import main
from cli.deployment_files import read_people
from cli.policy import inspect
from protocol.errors import PolicyError
from protocol.seal.keys import SigningKey
from station.backup.backups import read_backup
from station.errors import BackupError, DeploymentError
from tests.conftest import ROOT

POLICY = (ROOT / "docs/policies/us-va.toml").read_text(encoding="utf-8")
PLAN = '[list]\nid = "stolen"\nname = "Stolen"\nowner = "State police"\nagencies = ["*"]\n'
UNIT = (
    'unit = "unit-07"\nagency = "Example"\n[seal]\nmode = "off"\n[hw.link]\nkind = "mqtt"\nhost = "127.0.0.1"\n'
    '[[hw.cameras]]\nkind = "folder"\npath = "frames"\n'
)
COMMANDS = {
    "config": ("config", "check", "{file}"),
    "policy": ("policy", "check", "{file}"),
    "roster": ("roster", "make", "{file}", "{tmp}/out"),
    "plan": ("hotlist", "import", "{tmp}/list.csv", "{file}", "{tmp}/out"),
    "outputs": ("station", "config", "check", "{file}"),
    "update": ("update", "make", "{tmp}/out", "--key", "{tmp}/r.key", "--release", "3", "--config", "{file}"),
}
GOOD = {
    "config": UNIT, "policy": POLICY, "roster": (ROOT / "docs/roster.toml").read_text(encoding="utf-8"), "plan": PLAN,
    "outputs": "format = 1\n", "update": "[track]\nlost_ms = 900\n",
}  # fmt: skip


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Run a command on a file; returns its exit status, and what it said to people."""
    (tmp_path / "list.csv").write_text("plate,state\nABC123,CA\n", encoding="utf-8")
    SigningKey.generate().save(tmp_path / "r.key")

    def run(command: str, file: Path | str) -> tuple[int, str]:
        arguments = [part.format(file=file, tmp=tmp_path) for part in COMMANDS[command]]
        monkeypatch.setattr("sys.argv", ["patrol-lpr", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        return end.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_an_editor_of_windows_is_read(tmp_path, told, command):
    path = tmp_path / "written.toml"
    path.write_bytes(codecs.BOM_UTF8 + GOOD[command].replace("\n", "\r\n").encode())
    code, said = told(command, path)
    assert not code, said


@pytest.mark.parametrize("command", COMMANDS)
def test_values_nested_without_end_are_one_line(tmp_path, told, command):
    path = tmp_path / "deep.toml"
    path.write_text(f"a = {'[' * 20_000}{']' * 20_000}", encoding="utf-8")
    code, said = told(command, path)
    assert code in {main.EXIT_FAILED, main.EXIT_CONFIG}
    assert "nested too deeply" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_without_an_end_is_one_line(told, command):
    code, said = told(command, "/dev/zero")
    assert code in {main.EXIT_FAILED, main.EXIT_CONFIG}
    assert "/dev/zero: " in said
    assert "larger than" in said


@pytest.mark.parametrize(
    ("command", "end"),
    [("policy", '[[fences]]\nname = "clinic"\n'), ("plan", "[rules]\napproximate = false\n")],
)
def test_what_comes_after_the_limit_is_never_left_out(tmp_path, told, command, end):
    """Cut at a line's end the rest would be valid: a policy without its fences."""
    path, text = tmp_path / "long.toml", GOOD[command]
    line = "# where the figure is from\n"
    text += line * ((2**20 - len(text.encode())) // len(line))
    text += "#" * (2**20 - 1 - len(text.encode())) + "\n"
    assert len(text.encode()) == 2**20
    path.write_text(text + end, encoding="utf-8")
    code, said = told(command, path)
    assert code == main.EXIT_FAILED
    assert "larger than 1 MiB" in said


def test_a_list_of_people_that_is_missing_is_not_another_encoding(tmp_path):
    with pytest.raises(DeploymentError, match=r"nosuch\.csv: cannot be read: No such file or directory"):
        read_people(tmp_path / "nosuch.csv")


def test_a_backup_that_is_missing_names_its_folder_once(tmp_path):
    with pytest.raises(BackupError) as refused:
        read_backup(tmp_path)
    assert str(refused.value) == f"{tmp_path} is no backup: backup.json: No such file or directory"


WRONG = {
    "policy": (POLICY.replace('keep = "', 'kep = "x"\nkeep = "very'), ("kep: unknown key", "keep: must be")),
    "roster": (GOOD["roster"] + '\n[[zones]]\nid = "north"\nname = "N"\ncorners = [[1, 1], [1, 2], [2, 2]]\n',
               ("roster: a zone is listed twice: 'north'",)),
    "plan": (PLAN.replace("owner", "ownr"), ("list.owner: missing", "list.ownr: unknown key")),
    "outputs": ('format = 1\n[[output]]\nname = "a"\n', ("output: unknown key",)),
}  # fmt: skip


@pytest.mark.parametrize("command", WRONG)
def test_mistakes_are_told_in_words_of_people(tmp_path, told, command):
    text, words = WRONG[command]
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    code, said = told(command, path)
    assert code in {main.EXIT_FAILED, main.EXIT_CONFIG}
    assert all(word in said for word in words), said
    assert not [word for word in ("Input", "Value error", "Extra inputs", "Field required") if word in said]


def test_a_signed_policy_has_a_limit(tmp_path):
    (tmp_path / "policy.pub").write_bytes(SigningKey.generate().public.pem())
    with pytest.raises(PolicyError, match="/dev/zero: not a signed policy: larger than 2 MiB"):
        inspect(Path("/dev/zero"), tmp_path / "policy.pub")

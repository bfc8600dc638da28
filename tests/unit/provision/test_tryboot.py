"""Two systems on one card: the shipped scripts on a directory tree, with a firmware that keeps its word and no more."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CUTTABLE = ("sync", "mount", "dd", "mv", "systemctl", "rm", "sleep")
_STUB = """#!/bin/sh
case "{name} $1" in sleep*|*show|*is-active) ;; *)
  # Counts; the power goes before the call of the number in `cut`, taking the whole process group with it.
  read n < {tree}/calls
  echo "$((n + 1))" > {tree}/calls
  read cut < {tree}/cut
  [ "$n" != "$cut" ] || kill -9 0
esac
echo "{name} $*" >> {tree}/log
"""
_BODY = {
    "sleep": "exit 0\n",
    "mount": "exit 0\n",
    "sync": "exit 0\n",
    "systemctl": "case $1 in show) echo 0 ;; is-active) [ -e {tree}/ready ] ;; esac\n",
}


@dataclass
class Board:
    """A Pi: a firmware that reads autoboot.txt, and what is on the card."""

    tree: Path
    tools: Path
    trial_asked: bool = False

    @property
    def autoboot(self) -> Path:
        return self.tree / "boot/slots/autoboot.txt"

    @property
    def state(self) -> Path:
        return self.tree / "var/lib/patrol-lpr-slots"

    @property
    def log(self) -> str:
        return (self.tree / "log").read_text()

    def start(self) -> str:
        """Power on: the flag counts once; a broken autoboot.txt would be the end of the unit.  Returns what runs."""
        sections = dict(re.findall(r"\[(\w+)\]\n((?:\w+=\d+\n)+)", self.autoboot.read_text()))
        assert set(sections) == {"all", "tryboot"}
        (partition,) = re.findall(r"boot_partition=(\d)", sections["tryboot" if self.trial_asked else "all"])
        told = self.tree / "proc/device-tree/chosen/bootloader"
        told.mkdir(parents=True, exist_ok=True)
        (told / "partition").write_bytes(struct.pack(">I", int(partition)))
        (told / "tryboot").write_bytes(struct.pack(">I", self.trial_asked))
        self.trial_asked = False
        shutil.rmtree(self.tree / "run", ignore_errors=True)
        return {"2": "A", "3": "B"}[partition]

    def run(self, *words: str, cut: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run the script; the power may go before the call of another program of this number."""
        (self.tree / "calls").write_text("0\n")
        (self.tree / "log").write_text("")
        (self.tree / "cut").write_text(f"{cut}\n")
        done = subprocess.run(
            [str(self.tools / "slots"), *words],
            env={"PATH": f"{self.tree / 'stubs'}:{os.environ['PATH']}", "PATROL_ROOT": str(self.tree)},
            capture_output=True, text=True, check=False, start_new_session=True,
        )  # fmt: skip
        self.trial_asked = "systemctl reboot" in self.log and (self.tree / "run/systemd/reboot-param").exists()
        return done

    def say(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ready(self, *, is_ready: bool) -> None:
        """Whether the agent of the system that runs next stays up."""
        (self.tree / "ready").unlink(missing_ok=True)
        if is_ready:
            (self.tree / "ready").touch()


@pytest.fixture
def tools(repo):
    return repo / "provision/tryboot"


@pytest.fixture
def board(tmp_path, tools):
    made = Board(tmp_path / "board", tools)
    made.state.mkdir(parents=True)
    made.autoboot.parent.mkdir(parents=True)
    shutil.copy(tools / "autoboot.txt", made.autoboot)
    stubs = made.tree / "stubs"
    stubs.mkdir()
    for name in CUTTABLE:
        real = f'exec {shutil.which(name)} "$@"\n'
        stub = stubs / name
        stub.write_text((_STUB + _BODY.get(name, real)).format(tree=made.tree, name=name))
        stub.chmod(0o755)
    assert made.start() == "A"
    return made


def test_healthy_system_is_committed(board):
    board.say("try")
    assert "systemctl reboot" in board.log
    assert board.start() == "B"
    assert board.say("status").splitlines()[:2] == ["runs: B, on trial", "starts next: A"]
    board.ready(is_ready=True)
    assert board.say("after-boot") == "slots: B was healthy and is kept"
    assert [board.start(), board.start()] == ["B", "B"]
    assert board.say("after-boot") == "", "once is enough"
    assert board.say("status").splitlines() == [
        "runs: B",
        "starts next: B",
        "last trial: B was healthy and is kept",
    ]
    board.say("try")
    assert board.start() == "A", "and back"


@pytest.mark.slow
def test_system_with_failing_agent_is_reverted(board):
    board.say("try")
    assert board.start() == "B"
    board.ready(is_ready=False)
    assert board.say("after-boot") == "slots: B was not healthy"
    assert "systemctl reboot" in board.log.splitlines()[-1]
    assert board.start() == "A"
    assert board.say("after-boot") == ""
    refused = board.run("try")
    assert refused.returncode == 1
    assert "slots set-state B good" in refused.stderr
    board.say("set-state", "B", "good")
    board.say("try")
    assert board.start() == "B"


def test_hung_system_is_reverted_by_watchdog(board):
    """It never gets as far as its check: the next start is the old one's, which says so."""
    board.say("try")
    assert board.start() == "B"
    assert board.start() == "A"
    assert "did not get as far as its check: A runs on" in board.say("after-boot")


@pytest.mark.parametrize(("answer", "runs"), [(0, "B"), (1, "A")])
def test_agency_health_check_can_fail_trial(board, answer, runs):
    check = board.tree / "etc/patrol-lpr/health.d/uplink"
    check.parent.mkdir(parents=True)
    check.write_text(f"#!/bin/sh\nexit {answer}\n")
    check.chmod(0o755)
    board.say("try")
    board.start()
    board.ready(is_ready=True)
    board.say("after-boot")
    assert board.start() == runs


@pytest.mark.slow
def test_agent_restarted_during_trial_is_unhealthy(board):
    systemctl = board.tree / "stubs/systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo 0", f"wc -l < {board.tree}/log"))
    board.say("try")
    board.start()
    board.ready(is_ready=True)
    assert "was not healthy" in board.say("after-boot")


@pytest.mark.slow
@pytest.mark.parametrize("is_ready", [True, False])
def test_power_cut_before_any_step_boots_one_system_and_ends_trial(board, is_ready):
    """Every step of asking for the trial, then every step of its check, each on a card as it was before."""
    fresh = board.tree.with_name("fresh")
    shutil.copytree(board.tree, fresh, symlinks=True)
    for verb in ("try", "after-boot"):
        for step in range(50):
            shutil.rmtree(board.tree)
            shutil.copytree(fresh, board.tree)
            if verb == "after-boot":
                board.say("try")
                assert board.start() == "B"
                board.ready(is_ready=is_ready)
            cut = board.run(verb, cut=step)
            if cut.returncode == 0:
                break
            assert cut.returncode == -9, cut.stderr
            runs = board.start()
            board.say("after-boot")
            assert not (board.state / "trial").exists()
            assert board.say("get-current") == board.say("get-primary") == runs == board.start()
            assert runs == "A" or is_ready
        else:
            pytest.fail("it never ends")
        assert step >= 4, "nothing was cut"


def test_rauc_backend_commands(board, tools):
    """The calls of RAUC's custom backend: install into B, mark it good from B; and bad."""
    assert board.say("get-primary") == board.say("get-current") == "A"
    assert board.say("get-state", "B") == "good"
    board.say("set-state", "B", "bad")
    assert board.say("get-state", "B") == "bad"
    board.say("set-primary", "B")
    assert board.say("get-state", "B") == "good"
    assert (board.tree / "run/systemd/reboot-param").read_text() == "0 tryboot\n"
    assert board.start() == "A", "RAUC's word alone commits nothing"
    board.say("set-primary", "B")
    board.trial_asked = True
    assert board.start() == "B"
    board.say("set-state", "B", "good")
    assert board.start() == "B"
    named = re.findall(r"bootname=(\w)", (tools / "rauc-system.conf").read_text())
    assert named == ["A", "B"]


def test_invalid_calls_are_reported(board):
    assert board.run("set-primary", "C").returncode == 1
    assert board.run("set-state", "A", "fine").returncode == 1
    usage = board.run("nonsense")
    assert usage.returncode == 2
    assert "slots try" in usage.stderr
    shutil.rmtree(board.tree / "proc")
    assert "Pi 4 or 5" in board.run("status").stderr
    (board.state / "trial").write_text("B\n")
    assert "nobody knows" in board.say("after-boot"), "a board without tryboot is not kept from running"
    board.start()
    board.autoboot.unlink()
    assert "first partition" in board.run("get-primary").stderr


def test_unexpected_autoboot_file_is_not_overwritten(board):
    board.autoboot.write_text(board.autoboot.read_text() + "# mine\n")
    board.say("try")
    board.start()
    board.ready(is_ready=True)
    kept = board.run("after-boot")
    assert kept.returncode == 1
    assert "is not as" in kept.stderr
    assert board.start() == "A"

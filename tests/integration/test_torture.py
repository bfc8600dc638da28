"""Power cuts and kills at every named point, and a check that the test can fail."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.torture import ALONE, POINTS, Unit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
_LAZY = """
import sqlite3
from agent.buffer import schema
from tests import torture
careful = schema.connect
def lazy(path):
    con = careful(path)
    con.execute("PRAGMA synchronous = OFF")
    return con
schema.connect = lazy
torture.main()
"""


def torture(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=repo, capture_output=True, text=True, check=False, timeout=280
    )


class FakeServer:
    """Says whether a start of the station would have to wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[str, bool]] = []

    def is_awaited(self) -> bool:
        with (self.folder / "restarting").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def stop(self, mode: str) -> None:
        self.seen.append((mode, self.is_awaited()))

    def start(self) -> None:
        self.seen.append(("start", self.is_awaited()))


def test_a_start_waits_until_the_server_answers_again(tmp_path):
    """From before the server ends until it was started, and not after that."""
    server = FakeServer(tmp_path)
    unit = Unit(None, None, "postgresql://", tmp_path, None, server)
    unit.crash_server()
    assert server.seen == [("immediate", True), ("start", True)]
    unit.wait_for_server()
    assert (unit.crashes, server.is_awaited()) == (1, False)


def test_power_cuts_and_kills_at_named_points_lose_no_read(repo):
    """Every named point gets a power cut and a kill; the series of every unit verifies at the end."""
    done = torture(repo, "-m", "tests.torture", "--faults", "390", "--seed", "11")
    assert done.returncode == 0, done.stderr
    struck = json.loads(done.stdout.splitlines()[-1])
    for kind in ("cut", "kill"):
        for point in (*ALONE, *POINTS):
            assert struck.get(f"{point} {kind}", 0) > 0, f"{point} was never struck by a {kind}"
        assert sum(count for name, count in struck.items() if name.endswith(kind)) >= 200


def test_torture_detects_losses_with_synchronous_off(repo):
    """With synchronous=OFF reads are lost, and the test detects it."""
    done = torture(repo, "-c", _LAZY, "--faults", "60", "--seed", "11")
    assert done.returncode == 1
    assert "seed 11: " in done.stderr
    assert "of 5 reads" in done.stderr or "neither here nor there" in done.stderr


@pytest.mark.slow
def test_kills_of_station_and_database_lose_no_read(repo):
    """The station on PostgreSQL: its process is killed at points of the flow, and the server crashes meanwhile."""
    done = torture(repo, "-m", "tests.torture", "--faults", "24", "--seed", "5", "--postgres")
    assert done.returncode == 0, done.stderr[-3000:]
    struck = json.loads(done.stdout.splitlines()[-1])
    assert struck["database kill"] >= 20

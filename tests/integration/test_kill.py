"""kill -9 at any moment: no committed read is lost, none is stored twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from cli.simulate import fresh_keys
from protocol.seal import load_keyring
from protocol.seal.series import Proof, examine
from station.store import open_store
from tests.mosquitto import Mosquitto
from tests.station_files import stored_reads

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
_PATIENCE_S = 60
_EXAMPLE = """
unit = "unit-07"
agency = "Example Sheriff"
state_dir = "{state}"
[[hw.cameras]]
kind = "folder"
path = "{frames}"
loop = {loop}
fps = 25
[hw.link]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
protocol = "{protocol}"
[reread]
window_s = 0
[outbox]
min_free_mib = 0
ballast_mib = 1
[sync]
receipt_timeout_s = 1
[pictures]
overview = false
[policy]
mode = "off"
[seal]
unit_key = "{keys}/unit.key"
station_key = "{keys}/station.pub"
receipt_key = "{keys}/receipt.pub"
"""


class Processes:
    """Agent and station as a person would start them; all are gone at the end."""

    def __init__(self, tmp_path: Path, repo: Path, port: int, protocol: str) -> None:
        self._running: list[subprocess.Popen[str]] = []
        self.folder, self._repo, self._port, self._protocol = tmp_path, repo, port, protocol
        self.state = tmp_path / "state"
        self.db = tmp_path / "station.db"
        self.keys = tmp_path / "keys"
        fresh_keys(self.keys, "unit-07")

    def station(self) -> subprocess.Popen[str]:
        broker = f"127.0.0.1:{self._port}"
        options = ("--db", str(self.db), "--protocol", self._protocol, "--keys", str(self.keys))
        return self._start("station", "--broker", broker, *options)

    def agent(self, *, frames: Path, loop: bool, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        config = self.folder / "config.toml"
        text = _EXAMPLE.format(
            state=self.state,
            frames=frames,
            loop=str(loop).lower(),
            port=self._port,
            protocol=self._protocol,
            keys=self.keys,
        )
        config.write_text(text, encoding="utf-8")
        return self._start("run", "--config", str(config), *options)

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        with (self.folder / f"{arguments[0]}.log").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "cli", *arguments],
                cwd=self._repo,
                stdout=subprocess.PIPE if arguments[0] == "station" else subprocess.DEVNULL,
                stderr=errors,
                text=True,
                env={**os.environ, "COLUMNS": "120"},
            )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def wait_for_reads(station: subprocess.Popen[str], count: int) -> None:
    """Block until the station has printed that many more reads."""
    seen = 0
    while seen < count:
        line = station.stdout.readline()
        assert line, "the station ended"
        seen += "#" in line


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_killed_agent_and_broker_lose_no_read(tmp_path, repo, protocol):
    """The agent is killed three times while working, the broker twice; then the outbox drains."""
    broker = Mosquitto(tmp_path).start()
    processes = Processes(tmp_path, repo, broker.port, protocol)
    frames = repo / "tests" / "drives" / "city-day" / "frames"
    try:
        station = processes.station()
        for round_number in range(3):
            agent = processes.agent(frames=frames, loop=True)
            wait_for_reads(station, 4)
            if round_number:
                broker.kill()
                broker.start()
                wait_for_reads(station, 3)
            agent.kill()
            agent.wait()
        quiet = tmp_path / "one"
        quiet.mkdir()
        (quiet / "0.jpg").write_bytes((frames / "0000.jpg").read_bytes())
        last = processes.agent(frames=quiet, loop=False, options=("--until-cameras-end", "--drain-s", "60"))
        assert last.wait(_PATIENCE_S * 2) == 0
        station.send_signal(signal.SIGTERM)
        assert station.wait(_PATIENCE_S) == 0
    finally:
        processes.close()
        broker.kill()
    check_books(processes)


def check_books(processes: Processes) -> None:
    """Every committed read is at the station, once."""
    reader = OutboxReader(processes.state / FILE_NAME)
    stats = reader.stats()
    reader.close()
    store = open_store(processes.db)
    reads = list(stored_reads(store))
    gaps = list(store.gaps("unit-07"))
    proofs = [Proof(row.evidence, row.salt, row.record, row.life) for row in store.each_evidence("unit-07")]
    store.close()
    (proven,) = examine(proofs, {"unit-07": load_keyring(processes.keys).units["unit-07"].values()})
    assert proven.is_right, proven
    assert proven.reads == stats.appended
    assert stats.appended > 10
    assert (stats.reads, stats.quarantined, stats.evicted_reads) == (0, 0, 0)
    assert len(reads) == len({r.record_id for r in reads}) == stats.appended
    assert gaps == []

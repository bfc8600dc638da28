"""The steps of docs/station.md from a laptop to a fleet run as they are written, with a unit that sends meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.sync.encoder import RecordEncoder
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.seal.evidence import START
from protocol.wire.released import released_registry
from tests.builders import BOOT, make_read
from tests.conftest import ROOT
from tests.light_units import LightUnit
from tests.mosquitto import Mosquitto
from tests.ports import free_port
from tests.postgres import Postgres, program

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TEXT = (ROOT / "docs/station.md").read_text(encoding="utf-8")
SECTION = re.search(r"^## From a laptop to a fleet\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)[1]
BLOCKS = [
    block.strip().splitlines() for block in re.findall(r"^```\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
]
UNIT = "unit-07"
PATIENCE_S = 60


class Steps:
    """A folder, its servers, and the unit that goes on counting."""

    def __init__(self, folder, server: Postgres, ports: dict[str, int]):
        self.folder = folder
        self.ports = ports
        self.environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "PGHOST": str(server.folder), "PGUSER": "station",
            "PATH": f"{Path(program('createdb')).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        self.seq = 0
        self.link = START

    def words(self, line: str) -> list[str]:
        words = shlex.split(line.partition(" #")[0])
        words = [
            re.sub(r"^127\.0\.0\.1:(\d+)$", lambda m: f"127.0.0.1:{self.ports[m[1]]}", word) for word in words
        ]
        return [sys.executable, "-m", "cli", *words[1:]] if words[0] == "patrol-lpr" else words

    def run(self, line: str) -> str:
        done = subprocess.run(
            self.words(line), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    @contextmanager
    def serving(self, line: str, *more: str):
        """A station that receives while this lasts."""
        command = [*self.words(line), *more]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            for shown in process.stdout:
                if "receiving from" in shown:
                    break
            assert process.poll() is None, line
            try:
                yield
            finally:
                process.terminate()
                process.stdout.read()
            assert process.wait(PATIENCE_S) == 0

    def send(self, port: int, count: int) -> None:
        """The unit sends further reads until they are receipted."""
        keys = self.folder / "keys"
        sealer = Sealer(UNIT, SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub"))
        encoder = RecordEncoder(UNIT, "Example Sheriff", BOOT, released_registry(), sealer)
        waiting = {}
        for _ in range(count):
            self.seq += 1
            read = make_read(self.seq, pictures=())
            encoded = encoder.record(self.seq, read.body, self.link, read.read_id)
            self.link = encoded.link
            waiting[self.seq, read.read_id] = encoded.payload
        unit = LightUnit(UNIT, port, waiting, receipt_timeout_s=2.0)
        # In a thread: this one may have the event loop of a browser.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, asyncio.wait_for(unit.run(lambda: None, 0.0), PATIENCE_S)).result()


@pytest.fixture
def steps(tmp_path, postgres_server):
    with ExitStack() as stack:
        ports = {}
        for name in ("1883", "1884"):
            (tmp_path / name).mkdir()
            broker = Mosquitto(tmp_path / name).start()
            stack.callback(broker.kill)
            ports[name] = broker.port
        yield Steps(tmp_path, postgres_server, ports)
    postgres_server.execute("DROP DATABASE IF EXISTS lpr WITH (FORCE)")


def test_station_grows_from_a_laptop_to_workers_on_two_shards(steps):
    """Nothing is lost on the way, and every proof verifies at the end."""
    keys, look, move, workers, neighbours = BLOCKS
    *make_keys, station = keys
    for line in make_keys:
        steps.run(line)
    port = free_port()
    with steps.serving(station, "--port", str(port)):
        steps.send(port, 3)
        shown = [steps.run(line) for line in look]
    assert shown[0].count("7ABC123") == 3
    for line in move:
        steps.run(line)
    with ExitStack() as stack:
        for line in workers:
            stack.enter_context(steps.serving(line))
        steps.send(steps.ports["1883"], 4)
        steps.send(steps.ports["1884"], 4)
        told = [steps.run(line) for line in neighbours]
    assert "11 records" in told[0]
    assert f'patrol_lpr_unit_last_seen_timestamp_seconds{{unit="{UNIT}"}}' in told[1]
    report = json.loads(steps.run(f"{neighbours[-1]} --json"))
    assert report["verified"]
    assert [(unit["unit"], unit["records"]) for unit in report["units"]] == [(UNIT, 11)]

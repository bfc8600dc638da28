"""The last release and the present code at one broker: units and stations are never updated in the same moment."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from tests.last_release.files import (
    EXPECTED,
    HERE,
    PRESENT_COMMAND,
    RELEASE,
    RELEASE_COMMAND,
    ROOT,
    UNIT,
    copy_of,
    environment,
    present,
)
from tests.mosquitto import Mosquitto

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PATIENCE_S = 120
FRAMES = ROOT / "tests" / "drives" / "city-day" / "frames"
CONFIG = """
unit = "{unit}"
agency = "Example Sheriff"
state_dir = "{state}"
[[hw.cameras]]
kind = "folder"
path = "{frames}"
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
ballast_mib = 0
[sync]
receipt_timeout_s = 1
[seal]
unit_key = "{keys}/unit.key"
station_key = "{keys}/station.pub"
receipt_key = "{keys}/receipt.pub"
"""
KEEP_ALL = '[policy]\nmode = "off"\n'
"""The release has no policies: it keeps everything, and does not know the table."""


class Road:
    """A broker, a unit and a station, each of which may be the release's."""

    def __init__(self, folder, protocol):
        self.folder, self.protocol = folder, protocol
        self.broker = Mosquitto(folder)
        self.keys = copy_of("keys", folder)
        self.db = folder / "station.db"
        self.state = folder / "state"
        self._station = None

    def start_station(self, code):
        """Started before the unit, and awaited: it prints when it receives."""
        self.broker.start()
        command = RELEASE_COMMAND if code == RELEASE else PRESENT_COMMAND
        arguments = ("--db", self.db, "--keys", self.keys, "--protocol", self.protocol)
        self._station = subprocess.Popen(
            [*command, "station", "--broker", f"127.0.0.1:{self.broker.port}", *map(str, arguments)],
            cwd=self.folder,
            env=environment(code),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "receiving from" in self._station.stdout.readline()

    def run_unit(self, frames, *command, code):
        """Until its outbox is empty."""
        config = self.folder / "config.toml"
        config.write_text(
            CONFIG.format(
                unit=UNIT,
                state=self.state,
                frames=frames,
                port=self.broker.port,
                protocol=self.protocol,
                keys=self.keys,
            )
            + ("" if code == RELEASE else KEEP_ALL)
        )
        done = subprocess.run(
            [part.format(config=config) for part in command],
            cwd=self.folder,
            env=environment(code),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    def end_station(self):
        self._station.send_signal(signal.SIGTERM)
        said, _ = self._station.communicate(timeout=PATIENCE_S)
        assert self._station.returncode == 0, said

    def waiting(self, code):
        """Counters of the outbox, as the unit's own command prints them."""
        shown = subprocess.run(
            [
                *(RELEASE_COMMAND if code == RELEASE else PRESENT_COMMAND),
                *("outbox", "show", "--state-dir", str(self.state)),
            ],
            cwd=self.folder,
            env=environment(code),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        rows = [line.strip("│ \n").split("│") for line in shown.splitlines() if line.startswith("│")]
        return {name.strip(): value.strip() for name, value in rows}

    def exported(self):
        """Plates by number."""
        table = self.said("station", "export", "--db", self.db, "--csv", "-").splitlines()
        columns = table[0].split(",")
        rows = [dict(zip(columns, line.split(","), strict=False)) for line in table[1:]]
        return {int(row["seq"]): (row["plate"], row["pictures"]) for row in rows}

    def said(self, *arguments):
        done = present(*arguments, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        if self._station is not None:
            self._station.kill()
            self._station.communicate()
        self.broker.kill()


@pytest.fixture(params=["5", "3.1.1"])
def road(tmp_path, request):
    made = Road(tmp_path, request.param)
    yield made
    made.close()


def is_empty(waiting):
    return {waiting[name] for name in ("reads", "others", "plates", "overviews")} == {"0"}


def test_unit_of_the_last_release_with_this_station(road, tmp_path):
    """All records and pictures of its outbox are received and receipted, and its outbox empties."""
    shutil.move(copy_of("outbox-sealed", tmp_path), road.state)
    frames = tmp_path / "frames"
    frames.mkdir()
    shutil.copy(FRAMES / "0000.jpg", frames)
    told = EXPECTED["outbox-sealed"]
    assert not is_empty(road.waiting(RELEASE))
    road.start_station(ROOT)
    road.run_unit(frames, sys.executable, str(HERE / "unit.py"), "{config}", code=RELEASE)
    road.end_station()
    waiting = road.waiting(RELEASE)
    assert is_empty(waiting)
    assert waiting["quarantined"] == str(told["stats"]["quarantined"])
    assert {seq: pictures for seq, (_, pictures) in road.exported().items()} == {
        seq: "2" for seq, kind, _, _ in told["waiting"] if kind == "read"
    }


def test_this_unit_with_a_station_of_the_last_release(road):
    """Its reads are opened, stored with their pictures and receipted; its outbox empties and nothing is refused."""
    road.start_station(RELEASE)
    road.run_unit(
        FRAMES,
        *PRESENT_COMMAND,
        "run",
        "--config",
        "{config}",
        "--until-cameras-end",
        "--drain-s",
        "60",
        code=ROOT,
    )
    road.end_station()
    waiting = road.waiting(ROOT)
    assert is_empty(waiting)
    assert waiting["quarantined"] == "0"
    reads = road.exported()
    assert len(reads) >= 3
    assert {pictures for _, pictures in reads.values()} == {"2"}
    series = road.folder / "series.lpr"
    road.said("station", "export", "--db", road.db, "--evidence", series, "--keys", road.keys)
    assert "complete and unaltered" in road.said("verify", series)


def test_code_of_the_last_release_is_used(tmp_path):
    """The tests above compare two different programs."""
    program = "import agent, hw, station, provision; print(agent.__file__, hw.__file__, station.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(RELEASE),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [path for path in found if not path.startswith(str(RELEASE))] == []

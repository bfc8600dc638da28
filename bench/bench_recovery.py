"""After kill -9 with a backlog in the outbox: how long until the first frame is processed again."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.buffer import Limits, open_outbox
from agent.runtime.config import parse_config
from agent.runtime.service import Service
from agent.runtime.stages import build_recogniser
from bench.measure import Figure, arguments
from cli.run import open_hardware
from cli.simulate import fresh_keys
from hw.clock import RealClock
from tests.builders import make_encoder, make_read

FRAMES = Path("tests/drives/city-day/frames")
UNIT = "bench"
WAITING = 20_000
GROUP = 512
STARTS = 4
MAX_S = 5.0


def run_agent(folder: Path) -> None:
    """The agent in a process of its own; it says when a frame was processed and when reads were committed."""
    table = {
        "unit": UNIT,
        "agency": "bench",
        "state_dir": str(folder / "state"),
        "hw": {"cameras": [{"kind": "folder", "path": str(FRAMES), "fps": 10, "loop": True}]},
        "outbox": {"min_free_mib": 0, "ballast_mib": 0},
        "reread": {"window_s": 0},
        "policy": {"mode": "off"},
        "seal": {
            key: str(folder / "keys" / name)
            for key, name in (("unit_key", "unit.key"), ("station_key", "station.pub"))
        },
    }
    config = parse_config(table, "bench")
    service = Service(config, open_hardware(config, RealClock()), lambda: build_recogniser(config), ("bench",))
    said: set[str] = set()

    def say(what: str) -> None:
        if what not in said:
            said.add(what)
            sys.stdout.write(f"{what}\n")
            sys.stdout.flush()

    def watch(running: Service) -> None:
        if any(camera.counts.processed for camera in running.cameras):
            say("frame")
        if running.progress.committed >= 3:
            say("reads")

    service.run(drain_s=0, on_watch=watch)


def one_start(folder: Path) -> float:
    """Start, wait for a frame and for reads, kill; return the seconds from the start to the frame."""
    start = time.monotonic()
    agent = subprocess.Popen(
        [sys.executable, "-m", "bench.bench_recovery", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert agent.stdout is not None
    seconds = 0.0
    for line in agent.stdout:
        if line == "frame\n":
            seconds = time.monotonic() - start
        elif line == "reads\n":
            break
    agent.kill()
    agent.wait()
    agent.stdout.close()
    return seconds


def main(waiting: int, starts: int) -> None:
    """Print the figures as JSON lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fresh_keys(folder / "keys", UNIT)
        outbox, _ = open_outbox(
            folder / "state", make_encoder(UNIT), limits=Limits(min_free_bytes=0, ballast_bytes=0)
        )
        for first in range(1, waiting, GROUP):
            outbox.append([make_read(n, pictures=()) for n in range(first, min(first + GROUP, waiting + 1))])
        outbox.close()
        # The first start met no cut.
        seconds = [one_start(folder) for _ in range(starts)][1:]
    title = f"start after kill -9 with {waiting:,} reads waiting, to the first frame processed"
    print(Figure(title, statistics.median(seconds), "s", limit=MAX_S).as_json())


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="run the agent on it")
    options = parser.parse_args()
    if options.folder is not None:
        run_agent(options.folder)
    else:
        main(*((20, 2) if options.tiny else (WAITING, STARTS)))

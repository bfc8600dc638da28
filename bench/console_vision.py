"""The vision step of a running agent while the console has two terminals, against the same agent without a console.

Both states take turns in one run, so that both meet the same machine.  Agent, console and browser share its cores.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from agent.runtime import log
from agent.runtime.config import parse_config
from agent.runtime.service import Service
from agent.runtime.stages import build_recogniser
from agent.runtime.timing import StageTimes
from bench.measure import Figure
from cli.run import open_hardware
from cli.simulate import fresh_keys
from hw.clock import RealClock
from tests.console_process import LARGE, SMALL, run_console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

FRAMES = Path("tests/drives/city-day/frames")
FPS = 15
TURNS, TURN_S, SETTLE_S = 12, 5.0, 1.5
MIN_RATIO = 0.97
_WARM_UP_S = 3.0


class _Steps(StageTimes):
    """Keeps how long each step of a camera took, while it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[float, float]] | None = None
        """Elapsed and CPU time of each step, in milliseconds."""
        self._step: tuple[float, float] | None = None
        self._started_s = 0.0, 0.0

    def start(self) -> None:
        if self._step is not None and self.kept is not None:
            self.kept.append(self._step)
        self._step, self._started_s = None, (time.perf_counter(), time.thread_time())
        super().start()

    def lap(self, stage: str) -> None:
        elapsed_s, cpu_s = time.perf_counter() - self._started_s[0], time.thread_time() - self._started_s[1]
        self._step = elapsed_s * 1e3, cpu_s * 1e3
        super().lap(stage)


def vision_ratio(browser: Browser, *, tiny: bool) -> list[Figure]:
    """Median step without a console over that with one and two terminals: 1 if the console costs nothing."""
    turns, turn_s = (2, 0.5) if tiny else (TURNS, TURN_S)
    alone: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, _agent(Path(folder)) as (steps, sockets):
        time.sleep(_WARM_UP_S)
        for turn in range(turns):
            if turn % 2:
                with _terminals(browser, sockets):
                    beside += _measured(steps, turn_s)
            else:
                alone += _measured(steps, turn_s)
    figures = []
    for index, what, floor in ((0, "", MIN_RATIO), (1, ", CPU time", None)):
        one, other = (statistics.median(step[index] for step in found) for found in (alone, beside))
        figures += [
            Figure(f"vision step without a console{what}", one, "ms"),
            Figure(f"vision step, console with two terminals{what}", other, "ms"),
            Figure(f"vision step without a console / with two terminals{what}", one / other, "x", floor=floor),
        ]
    return figures


def _measured(steps: _Steps, seconds: float) -> list[tuple[float, float]]:
    time.sleep(SETTLE_S)
    kept: list[tuple[float, float]] = []
    steps.kept = kept
    time.sleep(seconds)
    steps.kept = None
    return kept


@contextmanager
def _terminals(browser: Browser, sockets: SimpleNamespace) -> Iterator[None]:
    with run_console(cast("Any", sockets)) as console:
        pages = [browser.new_page(viewport={"width": width, "height": height}) for width, height in (SMALL, LARGE)]
        for page in pages:
            page.goto(console.address)
            page.wait_for_selector("#reads li")
        yield
        for page in pages:
            page.close()


@contextmanager
def _agent(folder: Path) -> Iterator[tuple[_Steps, SimpleNamespace]]:
    """An agent that reads the frames of a drive for ever; a thread of this process runs it."""
    log.configure("error", "auto")
    camera = {"kind": "folder", "path": str(FRAMES), "fps": FPS, "loop": True, "realtime": True}
    sockets = SimpleNamespace(feed_path=folder / "feed.sock", command_path=folder / "command.sock")
    table = {
        "unit": "bench", "agency": "bench", "state_dir": str(folder / "state"), "hw": {"cameras": [camera]},
        "outbox": {"min_free_mib": 0, "ballast_mib": 0}, "seal": fresh_keys(folder / "keys", "bench")[0],
        "policy": {"mode": "off"}, "feed": {"path": str(sockets.feed_path)},
        "command": {"path": str(sockets.command_path)},
    }  # fmt: skip
    (folder / "state").mkdir()
    config = parse_config(table, "bench")
    service = Service(config, open_hardware(config, RealClock()), lambda: build_recogniser(config), ("bench",))
    steps = _Steps()
    for each in service.cameras:
        each.times = steps
    runner = threading.Thread(target=service.run, kwargs={"drain_s": 0}, name="bench-agent")
    runner.start()
    try:
        yield steps, sockets
    finally:
        service.stop()
        runner.join()

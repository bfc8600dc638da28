"""Memory of the agent while it runs a drive live, and where the time goes from its start to the first read."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Figure, arguments

DRIVE = Path("tests/drives/city-day")


def run_agent() -> None:
    """The agent in a process of its own: drive frames from a folder, an outbox, no link."""
    t0 = time.perf_counter()
    laps: dict[str, float] = {}

    def lap(name: str) -> None:
        laps[name] = time.perf_counter() - t0

    from agent.runtime.config import parse_config  # noqa: PLC0415 - importing is part of what is measured
    from agent.runtime.service import Service  # noqa: PLC0415
    from agent.runtime.stages import build_recogniser  # noqa: PLC0415
    from cli.run import open_hardware  # noqa: PLC0415
    from cli.simulate import fresh_keys  # noqa: PLC0415
    from hw.clock import RealClock  # noqa: PLC0415

    lap("imports")
    with tempfile.TemporaryDirectory() as state:
        camera = {"kind": "folder", "path": str(DRIVE / "frames"), "fps": 5}
        table = {
            "unit": "bench",
            "agency": "bench",
            "state_dir": state,
            "hw": {"cameras": [camera]},
            "outbox": {"min_free_mib": 0, "ballast_mib": 0},
            "seal": fresh_keys(Path(state) / "keys", "bench")[0],
        }
        config = parse_config(table, "bench")
        clock = RealClock()
        service = Service(config, open_hardware(config, clock), lambda: build_recogniser(config), ("bench",))
        lap("outbox and hardware")
        service_start_ns = clock.mono_ns()

        def watch(running: Service) -> None:
            if all(camera.ready for camera in running.cameras) and "models" not in laps:
                lap("models")

        service.run(until_cameras_end=True, drain_s=0, on_watch=watch)
        first_ns = service.progress.first_mono_ns
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    after_start_s = 0.0 if first_ns is None else (first_ns - service_start_ns) / 1e9
    laps["first read committed"] = laps["outbox and hardware"] + after_start_s
    print(json.dumps({"peak_mib": peak_kib / 1024, "laps": laps}))


def main() -> None:
    """Print the figures as JSON lines."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.bench_agent", "run"], capture_output=True, text=True, check=True
    )
    whole_s = time.perf_counter() - start
    result = json.loads(done.stdout.splitlines()[-1])
    print(Figure("agent running a drive, peak resident", result["peak_mib"], "MiB", limit=220).as_json())
    for name, seconds in result["laps"].items():
        print(Figure(f"start to: {name}", seconds, "s").as_json())
    print(Figure("whole drive as fast as it can", whole_s, "s").as_json())


if __name__ == "__main__":
    parser = arguments(__doc__)  # --tiny is the same: there is one drive, of seconds
    parser.add_argument("part", nargs="?", choices=["run"])
    if parser.parse_args().part == "run":
        run_agent()
    else:
        main()

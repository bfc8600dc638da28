"""A unit of the last release, run with PYTHONPATH=release.zip: `python unit.py CONFIG`.

It is the command `run` without the models: no camera sees a plate, so what it sends is what its outbox held.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.runtime.run_command import open_hardware

import agent
from agent.runtime import log
from agent.runtime.config import load_config
from agent.runtime.service import Service
from hw.clock import RealClock


class Nothing:
    """Recognises nothing."""

    def detect(self, frame):
        return []

    def read(self, frame, detections):
        return []


def main() -> None:
    assert "release.zip" in str(agent.__file__), f"not the last release: {agent.__file__}"
    config = load_config(Path(sys.argv[1]))
    log.configure("info", "json")
    service = Service(config, open_hardware(config, RealClock()), Nothing, ("none@00000000",))
    service.run(until_cameras_end=True, drain_s=60)


if __name__ == "__main__":
    main()

"""From the second agreeing frame to the lamp: a live agent, real drives, a list of five million plates in memory.

Measured from the start of the frame's exposure, so recognition, tracking, matching and the threads are all in it; this
machine reads as the vehicle does, with models of its own speed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from agent.hotlist.matcher import Matcher, OpenList
from agent.hotlist.records import Entry, ListInfo, Priority
from agent.runtime import log
from agent.runtime.hardware import Hardware
from agent.runtime.service import Service
from bench.measure import Figure, arguments
from cli.demo import DriveClock
from cli.simulate import config_for, fresh_keys, reader_for
from hw.absent import LinkAbsent
from hw.drive_load import load_drive
from hw.open import open_board, open_cameras, open_gnss, open_panel
from protocol.hotlist.manifest import Rules, Settings
from protocol.hotlist.packing import BASE, MAX_CHARS, pack
from protocol.hotlist.patterns import PatternTable

DRIVES = Path("tests/drives")
ROWS = 5_000_000
LIMIT_MS = 300.0


class OneEntry:
    """Every reference is the same entry: its bytes are measured by the bench of the lists."""

    def entry(self, ref: int) -> Entry:
        return Entry(f"e-{ref}", "LISTED", reason="bench")


def big_list(texts: set[str], rows: int) -> Matcher:
    """A list of random plates that includes these."""
    rng = np.random.default_rng(1)
    keys = rng.integers(1, BASE**MAX_CHARS, rows, dtype=np.uint64)
    own = np.array([pack(text) for text in sorted(texts)], np.uint64)
    keys = np.sort(np.concatenate([keys, own]))
    settings = Settings.model_validate({"list_id": "bench", "name": "Bench", "owner": "Bench", "agencies": ["*"]})
    info = ListInfo("bench", "Bench", "Bench", 1, 1, None, Priority.HIGH, True, True, "", len(keys))
    opened = OpenList(
        info, settings, Rules(), ZoneInfo("UTC"), keys, np.arange(len(keys), dtype=np.uint32), OneEntry(),
        PatternTable.compile([]),
    )  # fmt: skip
    return Matcher((opened,))


def alerts(folder: Path, name: str, rows: int) -> list[int]:
    """Play one drive live; return the delays of its alerts in milliseconds."""
    drive = load_drive(DRIVES / name)
    matcher = big_list({truth.plate for truth in drive.truth}, rows)
    seal, _ = fresh_keys(folder / "keys", drive.header.unit)
    config = config_for(drive, folder / "unit", seal=seal)
    clock = DriveClock(drive)
    origin_ns = clock.mono_ns()
    hardware = Hardware(
        open_cameras(config.hw.cameras, clock, drive=drive, origin_ns=origin_ns),
        open_gnss(config.hw.gnss, clock, drive=drive, origin_ns=origin_ns),
        open_panel(config.hw.panel, clock, drive=drive, origin_ns=origin_ns),
        LinkAbsent(),
        open_board(config.hw.board, clock, drive=drive, origin_ns=origin_ns),
        clock,
    )
    service = Service(config, hardware, *reader_for(drive, config), matcher=lambda: matcher)
    service.run(until_cameras_end=True, drain_s=0)
    return list(service.hits.delays_ms)


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__).parse_args()
    log.configure("error", "auto")
    names = ["hot-list"] if options.tiny else sorted(path.parent.name for path in DRIVES.glob("*/drive.toml"))
    delays: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            delays += alerts(Path(folder, name), name, 1000 if options.tiny else ROWS)
    for label, value, limit in (
        ("median", np.percentile(delays, 50), None),
        ("p99", np.percentile(delays, 99), LIMIT_MS),
    ):
        name = f"second agreeing frame to lamp, {label} of {len(delays)}"
        print(Figure(name, float(value), "ms", limit=limit).as_json())


if __name__ == "__main__":
    main()

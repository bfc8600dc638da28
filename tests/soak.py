"""A simulated week on the real threads: `python -m tests.soak --days 7 --minutes 12 --seed 1`.

The agent's clock runs fast, everything else is real: supervisor, threads, outbox, paho, mosquitto, station.  Faults
come at random from the seed: the network goes and comes, the broker is killed, the station restarts, the agent stops
without a chance to send and starts again.  In the end every read must be at the station once, the series must prove
itself, and memory, file descriptors and files must not have grown with the week.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from agent.hits.desk import HitSettings
from agent.hits.errors import HitRefusedError
from agent.hits.machine import Verification
from agent.hits.records import Actor, Checks
from agent.records import Box, CharRead, Detection, PlateText, Sighting
from agent.runtime import log
from agent.runtime.config import parse_config
from agent.runtime.hardware import Hardware
from agent.runtime.policy_store import FOLDER as POLICY_FOLDER
from agent.runtime.policy_store import PolicyStore
from agent.runtime.service import Service
from cli.simulate import fresh_keys
from hw.backoff import Backoff
from hw.board_sim import BoardSim
from hw.clock import RealClock
from hw.config import MqttLinkConfig
from hw.link_gate import LinkGate
from hw.link_mqtt import LinkMqtt
from hw.panel_sim import PanelSim
from hw.ports import CameraEndedError, Frame, NmeaLine
from protocol.policy.envelope import sign_pack
from protocol.seal import Opener, SigningKey, load_keyring
from protocol.seal.series import Proof, examine
from station.asker import Asker
from station.ingest import Ingest
from station.query import Query
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.listed import Listed, make_match
from tests.mosquitto import Mosquitto
from tests.nmea_lines import epoch_lines
from tests.station_files import stored_reads
from tests.unit.policy.packs import make_pack

UNIT = "unit-07"
DAY_S = 86_400
NS_PER_S = 1_000_000_000
FRAME_REAL_S = 0.02
SYMBOLS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
MAX_GROWTH = 1.25
SPARE_MIB = 24
"""What an allocator may keep beyond the growth allowed."""


class FastClock(RealClock):
    """The computer's monotonic clock, so many times faster; each start of the agent is a boot."""

    def __init__(self, speed: float, boots: int) -> None:
        super().__init__()
        self._speed, self._boots = speed, boots

    @property
    def boot_id(self) -> bytes:
        return self._boots.to_bytes(16, "big")

    def mono_ns(self) -> int:
        return int(time.monotonic_ns() * self._speed)

    def utc_ns(self) -> int:
        return self.mono_ns()

    def synchronised(self) -> bool:
        return False


class Road:
    """A camera that sees a new plate every third frame, and the reader that knows them."""

    name = "front"

    def __init__(self, clock: FastClock, first: int) -> None:
        self._clock, self._seq = clock, first
        self._closed = threading.Event()
        self._rgb = np.full((120, 160, 3), 90, np.uint8)

    def next_frame(self, *, timeout_s: float) -> Frame:
        del timeout_s
        if self._closed.wait(FRAME_REAL_S):
            raise CameraEndedError("closed")
        self._seq += 1
        return Frame(self._seq, self.name, self._clock.mono_ns(), self._rgb, 1000, 1.0)

    def close(self) -> None:
        self._closed.set()


class RoadReader:
    """As agent.pipeline.PlateRecognizer says."""

    def detect(self, frame: Frame) -> list[Detection]:
        return [Detection(Box(20, 20, 80, 50), 0.95)] if frame.seq % 3 == 0 else []

    def read(self, frame: Frame, detections: list[Detection]) -> list[Sighting]:
        number, text = frame.seq // 3, ""
        for _ in range(7):
            number, digit = divmod(number * 7919 + 13, len(SYMBOLS))
            text += SYMBOLS[digit]
        plate = PlateText(tuple(CharRead(c, 0.97) for c in text), 0.97, "US-CA", 0.9)
        return [Sighting(frame, d, plate, np.ascontiguousarray(frame.rgb[20:50, 20:80])) for d in detections]


class OneInThirtySix(Listed):
    """Plates that begin with an A are listed."""

    def __init__(self) -> None:
        super().__init__({})

    def match(self, plate, **_):
        return (make_match(plate.text),) if plate.text.startswith("A") else ()


class Sky:
    """A receiver that gives an epoch every few simulated seconds."""

    def __init__(self, clock: FastClock) -> None:
        self._clock, self._second = clock, 0
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closed = threading.Event()

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        del timeout_s
        if self._lines.empty():
            if self._closed.wait(FRAME_REAL_S):
                return None
            self._second += 1
            for line in epoch_lines(self._second % 3600):
                self._lines.put(line.text)
        return NmeaLine(self._clock.mono_ns(), self._lines.get())

    @property
    def dropped_lines(self) -> int:
        return 0

    @property
    def unused_reports(self) -> int:
        return 0

    def close(self) -> None:
        self._closed.set()


@dataclass(slots=True)
class _Samples:
    """What is measured along the way."""

    committed: int = 0
    starts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    rss_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    outbox_mib: list[float] = field(default_factory=list)

    def fault(self, what: str) -> None:
        self.faults[what] = self.faults.get(what, 0) + 1


class Week:
    """Agent, broker and station in one folder, and what befalls them."""

    def __init__(self, folder: Path, seed: int, speed: float) -> None:
        self._folder, self._speed = folder, speed
        self._rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.broker = Mosquitto(folder).start()
        self.seal, _ = fresh_keys(folder / "keys", UNIT)
        self._opener = Opener(load_keyring(folder / "keys"))
        self.samples = _Samples()
        self._policy_key = self._install_policy()
        self._station_up()

    def _install_policy(self) -> Path:
        """Every read is kept for longer than the week: what the policy deletes is counted, and must be nothing."""
        agency, public = SigningKey.generate(), self._folder / "keys" / "policy.pub"
        public.write_bytes(agency.public.pem())
        week_h = 24 * 7
        pack = make_pack(
            retain={"nonhit": {"days": 30}, "hit": {"days": 60}},
            lists={"max_age_hours": week_h, "stop_age_hours": 10 * week_h, "partial": "high_priority"},
        )
        signed = self._folder / "policy.lprpol"
        signed.write_bytes(sign_pack(pack, agency, as_of_s=0))
        PolicyStore(self._folder / "state" / POLICY_FOLDER, [agency.public], unit=UNIT).install(signed)
        return public

    def _station_up(self) -> None:
        self.store = open_store(self._folder / "station.db", open_picture=self._opener.picture)
        ingest = Ingest(self.store, "soak", lambda: time.time_ns() // 1000, opener=self._opener)
        self._station = StationService(
            BrokerAddress("127.0.0.1", self.broker.port), ingest, station="soak", backoff=Backoff(0.05, 0.5)
        )
        self._station.start()

    def _station_down(self) -> None:
        self._station.close()
        self.store.close()

    def day(self, real_s: float) -> None:
        """One start of the agent; it ends without a chance to send."""
        clock = FastClock(self._speed, self.samples.starts)
        self.samples.starts += 1
        config = parse_config(
            {
                "unit": UNIT,
                "agency": "a",
                "state_dir": str(self._folder / "state"),
                "hw": {"cameras": [{"kind": "sim", "name": "front"}]},
                "outbox": {"min_free_mib": 0, "ballast_mib": 1, "max_mib": 256},
                "pictures": {"overview": False},
                "seal": self.seal,
                "policy": {"key": str(self._policy_key)},
            },
            "soak",
        )
        link = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=self.broker.port, unit=UNIT)
        gate = LinkGate(lambda: LinkMqtt(link, backoff=Backoff(0.05, 0.5)))
        hardware = Hardware(
            (Road(clock, self.samples.starts * 10**6),),
            Sky(clock),
            PanelSim(clock),
            gate,
            BoardSim(clock),
            clock,
        )
        lists = OneInThirtySix()
        service = Service(config, hardware, RoadReader, ("soak@0",), matcher=lambda: lists)
        fates = threading.Thread(target=self._fates, args=(service, gate, real_s), daemon=True)
        fates.start()
        service.run(drain_s=0)
        fates.join()
        self.samples.committed += service.progress.committed
        self._measure()

    def _fates(self, service: Service, gate: LinkGate, real_s: float) -> None:
        until_s = time.monotonic() + real_s
        pause = threading.Event()
        while (left_s := until_s - time.monotonic()) > 0:
            pause.wait(min(left_s, self._rng.expovariate(0.5)))
            what = self._rng.choice(("network", "broker", "station", "officer", "nothing"))
            self.samples.fault(what)
            if what == "officer":
                self._decide(service)
            if what == "network":
                gate.shut()
                pause.wait(self._rng.expovariate(1.0))
                gate.open()
            elif what == "broker":
                self.broker.kill()
                pause.wait(self._rng.expovariate(2.0))
                self.broker.start()
            elif what == "station":
                self._station_down()
                self._station_up()
        service.stop()

    @staticmethod
    def _decide(service: Service) -> None:
        """An officer works off the older half of the queue."""
        waiting = service.hits.open_hits
        given = Verification(Checks(True, True, True), confirming_agency="Police", reference="1")
        for hit in waiting[: len(waiting) // 2]:
            with suppress(HitRefusedError):  # it has just been withdrawn, or has expired
                service.hits.confirm(hit.hit_id, given, Actor("0000"))

    def drain(self) -> None:
        """A last start with an empty road and no faults, until nothing waits."""
        self._speed = 1.0
        clock = FastClock(1.0, self.samples.starts)
        hardware_config = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=self.broker.port, unit=UNIT)
        config = parse_config(
            {
                "unit": UNIT,
                "agency": "a",
                "state_dir": str(self._folder / "state"),
                "hw": {"cameras": [{"kind": "sim", "name": "front"}]},
                "outbox": {"min_free_mib": 0, "ballast_mib": 1},
                "seal": self.seal,
                "policy": {"key": str(self._policy_key)},
            },
            "soak",
        )
        road, sky = Road(clock, 0), Sky(clock)
        road.close()
        link = LinkMqtt(hardware_config)
        hardware = Hardware((road,), sky, PanelSim(clock), link, BoardSim(clock), clock)
        Service(config, hardware, RoadReader, ("soak@0",)).run(until_cameras_end=True, drain_s=180)

    def _measure(self) -> None:
        process = psutil.Process()
        self.samples.rss_mib.append(process.memory_info().rss / 2**20)
        self.samples.descriptors.append(process.num_fds())
        self.samples.outbox_mib.append((self._folder / "state" / FILE_NAME).stat().st_size / 2**20)

    def verdicts(self) -> list[tuple[str, str, bool]]:
        """What was promised, what was found, whether it held."""
        reader = OutboxReader(self._folder / "state" / FILE_NAME)
        stats = reader.stats()
        reader.close()
        stored = stored_reads(self.store)
        ids = [read.record_id for read in stored]
        missing = [gap for gap in self.store.gaps(UNIT) if not gap.explained]
        proofs = [Proof(row.evidence, row.salt, row.record, row.life) for row in self.store.each_evidence(UNIT)]
        (proven,) = examine(proofs, {UNIT: load_keyring(self._folder / "keys").units[UNIT].values()})
        samples = self.samples
        first = max(1, len(samples.rss_mib) // 4)
        rss, max_rss = samples.rss_mib[first], max(samples.rss_mib[first:])
        first_fds, last_fds = samples.descriptors[first], samples.descriptors[-1]
        hits = Query(self.store, Asker("soak"), lambda: 0).hits()
        states = Counter(hit.state for hit in hits)
        undecided = states["new"] + states["acknowledged"]
        return [
            (
                "hits at the station, by state",
                ", ".join(f"{n:,} {state}" for state, n in states.items()),
                bool(hits),
            ),
            ("hits that wait for a decision", f"{undecided}", undecided <= HitSettings().max_open),
            ("reads committed", f"{stats.appended:,}", stats.appended > 0),
            ("at the station, once each", f"{len(ids):,}", len(ids) == len(set(ids)) == stats.appended),
            (
                "reads with the policy under which they are kept",
                f"{sum(read.body.policy == 'us-xx/3' for read in stored):,}",
                all(read.body.policy == "us-xx/3" for read in stored),
            ),
            ("left in the outbox", f"{stats.reads:,}", stats.reads == 0),
            ("evicted or refused", f"{stats.evicted_reads + stats.quarantined}", not stats.evicted_reads),
            ("numbers missing", f"{len(missing)}", not missing),
            ("series proven", f"{proven.records:,} records", proven.is_right),
            (
                "memory, MiB, early and maximum",
                f"{rss:.0f}, {max_rss:.0f}",
                max_rss <= MAX_GROWTH * rss + SPARE_MIB,
            ),
            ("file descriptors, early and last", f"{first_fds}, {last_fds}", last_fds <= first_fds + 4),
            ("outbox file, MiB, maximum", f"{max(samples.outbox_mib):.1f}", max(samples.outbox_mib) < 64),
        ]

    def close(self) -> None:
        self._station_down()
        self.broker.kill()


def main() -> None:
    """Live through the week; exit 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=12, help="real time for all of it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    log.configure("critical", "json")  # deadlines pass early on a clock that runs fast
    console = Console(stderr=True)
    shifts = options.days * 4
    real_s = options.minutes * 60 / shifts
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        week = Week(Path(name), options.seed, options.days * DAY_S / (options.minutes * 60))
        try:
            with Progress(console=console) as progress:
                task = progress.add_task("shifts", total=shifts)
                for _ in range(shifts):
                    week.day(real_s)
                    progress.advance(task)
            week.drain()
            verdicts = week.verdicts()
        finally:
            week.close()
    table = Table(
        "promise", "found", "", title=f"{options.days} days, seed {options.seed}, faults {week.samples.faults}"
    )
    for promise, found, held in verdicts:
        table.add_row(promise, found, "[green]held[/]" if held else "[red]BROKEN[/]")
    Console().print(table)
    # Threads of libraries must not keep a finished soak alive.
    sys.stdout.flush()
    os._exit(0 if all(held for *_, held in verdicts) else 1)


if __name__ == "__main__":
    main()

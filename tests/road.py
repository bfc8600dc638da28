"""From a full outbox over a real link and a real broker to a real station, stepped by the test's own thread."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.sync.uplink import Uplink, UplinkConfig
from hw.backoff import Backoff
from hw.link_mqtt import LinkMqtt
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.builders import BOOT, make_encoder
from tests.emulated_link import FAR
from tests.mosquitto import FleetBroker
from tests.station_files import stored_reads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.buffer import Command
    from agent.records import Read
    from hw.config import MqttLinkConfig
    from hw.ports import LinkEvent

UNIT = "unit-07"
PATIENCE_S = 120


class RoadBroker(FleetBroker):
    """The shipped broker, reachable from the emulated link as well."""

    def __init__(self, folder: Path, repo: Path) -> None:
        super().__init__(folder, repo)
        self.give("broker", hosts=("127.0.0.1", FAR), into=self.home)
        text = self._config.read_text()
        here = f"listener {self.port} 127.0.0.1"
        assert here in text
        self._write(text.replace(here, f"listener {self.port} 0.0.0.0"))


class Traveller:
    """A unit: outbox, uplink and link, without threads of its own."""

    def __init__(
        self, folder: Path, config: MqttLinkConfig, reads: Sequence[Read], uplink: UplinkConfig | None = None
    ) -> None:
        limits = Limits(min_free_bytes=0, ballast_bytes=0)
        self.outbox = open_outbox(folder / "unit", make_encoder(), limits=limits)[0]
        self.outbox.append(reads)
        self.reader = OutboxReader(self.outbox.path)
        self.link = LinkMqtt(config, backoff=Backoff(0.1, 0.5))
        self.events: queue.Queue[LinkEvent] = queue.Queue()
        self.heard: list[LinkEvent] = []
        self.commands: list[Command] = []
        self.uplink = Uplink(
            self.link, self.reader, self.commands.append, unit=UNIT, boot_id=BOOT,
            config=uplink or UplinkConfig(send_pictures=False, receipt_timeout_s=8),
        )  # fmt: skip
        self.link.start(self.events.put, subscribe=(build(UNIT, Channel.RECEIPT),), will=None)

    def step(self) -> int:
        """One round of the uplink's thread; returns the records and pictures that still wait."""
        now = time.monotonic_ns()
        try:
            self._take(self.events.get(timeout=0.05), now)
            while True:
                self._take(self.events.get_nowait(), now)
        except queue.Empty:
            pass
        self.uplink.pump(now)
        self.outbox.apply(self.commands)
        self.commands.clear()
        stats = self.outbox.stats()
        return stats.reads + stats.plates + stats.overviews

    def _take(self, event: LinkEvent, now: int) -> None:
        self.heard.append(event)
        self.uplink.handle(event, now)

    def run_dry(self) -> None:
        """Step until nothing waits."""
        until = time.monotonic() + PATIENCE_S
        while self.step():
            assert time.monotonic() < until, f"{self.uplink.counts}"

    def close(self) -> None:
        self.link.close()
        self.reader.close()
        self.outbox.close()


class Arrival:
    """A station that serves in a thread."""

    def __init__(self, path: Path, address: BrokerAddress) -> None:
        self.store = open_store(path)
        self.ingest = Ingest(self.store, "s1", lambda: time.time_ns() // 1000)
        self.service = StationService(address, self.ingest, station="s1", backoff=Backoff(0.05, 0.2))
        self.service.start()
        assert self.service.connected.wait(PATIENCE_S)

    def stored(self) -> list[int]:
        """Sequence numbers of the reads, duplicates included."""
        return sorted(row.seq for row in stored_reads(self.store))

    def close(self) -> None:
        self.service.close()
        self.store.close()

"""Reads over emulated mobile links, mutual TLS all the way: everything arrives once, whatever the link does."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.sync.topics import Channel, build
from agent.sync.uplink import Uplink, UplinkConfig
from hw.backoff import Backoff
from hw.config import MqttLinkConfig, TlsConfig
from hw.link_mqtt import LinkMqtt
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import Store
from tests.builders import BOOT, make_encoder, make_read
from tests.emulated_link import EDGE, FAR, LOSSY, LTE, UMTS, EmulatedLink
from tests.road import RoadBroker

pytestmark = [
    pytest.mark.integration,
    # paho drops the socket of a failed handshake without closing it; the garbage collector does at once.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning"),
]
NS = 1_000_000_000
PATIENCE_S = 120


class Road:
    """A unit with a full outbox, a bad link, a broker and a station."""

    def __init__(self, folder, repo, air: EmulatedLink, reads: int) -> None:
        self.air = air
        self.broker = RoadBroker(folder, repo)
        self.broker.start()
        station = self.broker.give("station", into=folder / "station")
        self.store = Store(folder / "station.db")
        address = BrokerAddress(
            "127.0.0.1", self.broker.port, ca=station / "ca.pem", cert=station / "station.pem",
            key=station / "station.key",
        )  # fmt: skip
        self.station = StationService(
            address,
            Ingest(self.store, station_id="s1", clock_us=lambda: time.time_ns() // 1000),
            station="s1",
            backoff=Backoff(0.05, 0.2),
        )
        self.station.start()
        assert self.station.connected.wait(PATIENCE_S)
        self.outbox = open_outbox(
            folder / "unit", make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0)
        )[0]
        self.outbox.append([make_read(n) for n in range(1, reads + 1)])
        self.reader = OutboxReader(self.outbox.path)
        own = self.broker.give("unit-07", into=folder / "own")
        tls = TlsConfig(ca=own / "ca.pem", cert=own / "unit-07.pem", key=own / "unit-07.key")
        config = MqttLinkConfig(
            kind="mqtt",
            host=FAR,
            port=self.broker.port,
            unit="unit-07",
            tls=tls,
            keepalive_s=5,
            connect_timeout_s=15,
        )
        self.link = LinkMqtt(config, backoff=Backoff(0.1, 0.5))
        self.events: queue.Queue = queue.Queue()
        self.commands: list = []
        self.uplink = Uplink(
            self.link, self.reader, self.commands.append, unit="unit-07", boot_id=BOOT,
            config=UplinkConfig(send_pictures=False, receipt_timeout_s=8),
        )  # fmt: skip
        self.link.start(self.events.put, subscribe=(build("unit-07", Channel.RECEIPT),), will=None)

    def step(self) -> int:
        """One round of the uplink's thread; returns the reads that still wait."""
        now = time.monotonic_ns()
        try:
            self.uplink.handle(self.events.get(timeout=0.05), now)
            while True:
                self.uplink.handle(self.events.get_nowait(), now)
        except queue.Empty:
            pass
        self.uplink.pump(now)
        self.outbox.apply(self.commands)
        self.commands.clear()
        return self.outbox.stats().reads

    def run_dry(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.step():
            assert time.monotonic() < until, f"{self.uplink.counts}"

    def close(self) -> None:
        self.link.close()
        self.station.close()
        self.reader.close()
        self.outbox.close()
        self.store.close()
        self.broker.kill()


@pytest.fixture
def road(tmp_path, repo, request):
    profile, reads = request.param
    air = EmulatedLink(profile)
    try:
        made = Road(tmp_path, repo, air, reads)
        yield made
        made.close()
    finally:
        air.close()


def stored(road: Road) -> list[int]:
    return sorted(row.seq for row in road.store.reads())


@pytest.mark.parametrize(
    "road", [(LTE, 400), (UMTS, 150), (EDGE, 25), (LOSSY, 60)], indirect=True, ids=["lte", "3g", "2g", "loss-20"]
)
def test_everything_arrives_once(road):
    reads = road.outbox.stats().reads
    road.run_dry()
    assert stored(road) == list(range(1, reads + 1))
    assert road.air.carried > 0


@pytest.mark.parametrize("road", [(LTE, 120)], indirect=True)
def test_a_link_that_flaps_every_second(road):
    """Up, gone without a word, up: in the end all of it is there, once."""
    done = threading.Event()

    def flap() -> None:
        while not done.wait(1.2):
            road.air.up = not road.air.up

    flapper = threading.Thread(target=flap)
    flapper.start()
    try:
        road.run_dry()
    finally:
        done.set()
        flapper.join()
    assert stored(road) == list(range(1, 121))


@pytest.mark.parametrize("road", [(LTE, 200)], indirect=True)
def test_a_half_open_connection_is_noticed_and_made_anew(road):
    """The other side is silent for longer than the keep-alive: the unit gives the connection up by itself."""
    while not road.uplink.counts.records_sent:
        road.step()
    road.air.up = False
    ups = road.uplink.counts.link_ups
    until = time.monotonic() + PATIENCE_S
    while not road.uplink.counts.link_downs:
        road.step()
        assert time.monotonic() < until
    road.air.up = True
    road.run_dry()
    assert road.uplink.counts.link_ups > ups
    assert stored(road) == list(range(1, 201))

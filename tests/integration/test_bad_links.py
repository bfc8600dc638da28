"""Reads over emulated mobile links with mutual TLS: everything arrives once."""

from __future__ import annotations

import threading
import time

import pytest

from hw.config import MqttLinkConfig, TlsConfig
from station.service import BrokerAddress
from tests.builders import make_read
from tests.emulated_link import EDGE, FAR, LOSSY, LTE, UMTS, EmulatedLink
from tests.road import PATIENCE_S, UNIT, Arrival, RoadBroker, Traveller

pytestmark = [
    pytest.mark.integration,
    # paho drops the socket of a failed handshake without closing it; the garbage collector does at once.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning"),
]


class Road:
    """A unit with a full outbox, a bad link, a broker and a station."""

    def __init__(self, folder, repo, air: EmulatedLink, reads: int) -> None:
        self.air = air
        self.broker = RoadBroker(folder, repo)
        self.broker.start()
        home = self.broker.give("station", into=folder / "station")
        keys = {"ca": home / "ca.pem", "cert": home / "station.pem", "key": home / "station.key"}
        self.arrival = Arrival(folder / "station.db", BrokerAddress("127.0.0.1", self.broker.port, **keys))
        own = self.broker.give(UNIT, into=folder / "own")
        config = MqttLinkConfig(
            kind="mqtt",
            host=FAR,
            port=self.broker.port,
            unit=UNIT,
            tls=TlsConfig(ca=own / "ca.pem", cert=own / f"{UNIT}.pem", key=own / f"{UNIT}.key"),
            keepalive_s=5,
            connect_timeout_s=15,
        )
        self.unit = Traveller(folder, config, [make_read(n, pictures=()) for n in range(1, reads + 1)])
        self.uplink = self.unit.uplink

    def close(self) -> None:
        self.unit.close()
        self.arrival.close()
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


@pytest.mark.parametrize(
    "road", [(LTE, 400), (UMTS, 150), (EDGE, 25), (LOSSY, 60)], indirect=True, ids=["lte", "3g", "2g", "loss-20"]
)
def test_everything_arrives_once(road):
    reads = road.unit.outbox.stats().reads
    road.unit.run_dry()
    assert road.arrival.stored() == list(range(1, reads + 1))
    assert road.air.carried > 0


@pytest.mark.parametrize("road", [(LTE, 120)], indirect=True)
def test_link_that_flaps_every_second(road):
    """The link goes down without notice and comes up again: everything arrives, once."""
    done = threading.Event()

    def flap() -> None:
        while not done.wait(1.2):
            road.air.up = not road.air.up

    flapper = threading.Thread(target=flap, daemon=True)
    flapper.start()
    try:
        road.unit.run_dry()
    finally:
        done.set()
        flapper.join()
    assert road.arrival.stored() == list(range(1, 121))


@pytest.mark.parametrize("road", [(LTE, 200)], indirect=True)
def test_half_open_connection_is_detected_and_replaced(road):
    """The other side is silent for longer than the keep-alive: the unit closes the connection."""
    while not road.uplink.counts.records_sent:
        road.unit.step()
    road.air.up = False
    ups = road.uplink.counts.link_ups
    until = time.monotonic() + PATIENCE_S
    while not road.uplink.counts.link_downs:
        road.unit.step()
        assert time.monotonic() < until
    road.air.up = True
    road.unit.run_dry()
    assert road.uplink.counts.link_ups > ups
    assert road.arrival.stored() == list(range(1, 201))

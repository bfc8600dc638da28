"""Station and unit on a real broker with the shipped access list: checkpoints go down, countersignatures come up."""

from __future__ import annotations

import contextlib
import queue

import pytest

from agent.runtime.witness import WitnessComponent, WitnessFile
from agent.sync.uplink import Uplink
from agent.witness import Witness
from hw.backoff import Backoff
from hw.config import MqttLinkConfig, TlsConfig
from hw.link_mqtt import LinkMqtt
from protocol.seal import KeyRing, Opener, ReceiptVerifier, SigningKey
from protocol.wire.topics import heard_by_unit
from station.asker import Asker
from station.audit_log.checkpoints import Checkpointer
from station.audit_log.witnessing import Witnessing
from station.ingest import Ingest
from station.query import Query
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.builders import BOOT
from tests.integration.test_update_broker import NothingWaits
from tests.mosquitto import FleetBroker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning"),
]
UNIT = "unit-07"
NOW_US = 1_760_000_000_000_000
_ROUNDS = 3000


class Fleet:
    """One unit and one station, each with its keys."""

    def __init__(self, folder, broker: FleetBroker) -> None:
        self.folder, self.broker = folder, broker
        self.unit_key, receipts, log = (SigningKey.generate() for _ in range(3))
        self.ring = KeyRing(receipts=receipts, log=log).with_unit(UNIT, self.unit_key.public)
        self.verifier = ReceiptVerifier.of([receipts.public])
        self.now_us, self.now_ns = NOW_US, 0
        self.service: StationService | None = None
        keys = broker.give(UNIT, into=folder / "keys")
        tls = TlsConfig(ca=keys / "ca.pem", cert=keys / f"{UNIT}.pem", key=keys / f"{UNIT}.key")
        self.config = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=broker.port, unit=UNIT, tls=tls)
        self.home = broker.give("station", into=folder / "station-keys")
        self.start_unit()

    def start_unit(self) -> None:
        witness = Witness(UNIT, self.unit_key, WitnessFile(self.folder / "witness.json"), lambda: 1_760_000_000)
        self.witness = WitnessComponent(witness)
        self.link = LinkMqtt(self.config, backoff=Backoff(0.05, 0.2))
        self.events: queue.Queue = queue.Queue()
        self.uplink = Uplink(
            self.link, NothingWaits(), lambda _: None, unit=UNIT, boot_id=BOOT, verifier=self.verifier,
            witness=self.witness.take,
        )  # fmt: skip
        self.link.start(self.events.put, subscribe=heard_by_unit(UNIT), will=None)

    def clock(self) -> int:
        # Each look is much later: what is sent is looked up anew.
        self.now_us += 20_000_000
        return self.now_us

    def start_station(self, name: str) -> None:
        self.store = open_store(self.folder / name)
        self.witnessing = Witnessing(self.store, self.ring, self.ring.log.public)
        ingest = Ingest(self.store, "station", self.clock, opener=Opener(self.ring), witnessing=self.witnessing)
        address = BrokerAddress(
            "127.0.0.1", self.broker.port, ca=self.home / "ca.pem", cert=self.home / "station.pem",
            key=self.home / "station.key",
        )  # fmt: skip
        self.service = StationService(address, ingest, station="station", backoff=Backoff(0.05, 0.2))
        self.service.start()

    def stop_station(self) -> None:
        if self.service is not None:
            self.service.close()
            self.store.close()

    def ask(self, times: int) -> int:
        """Make entries, and sign a checkpoint; return its size."""
        query = Query(self.store, Asker("clerk"), self.clock)
        for _ in range(times):
            query.units()
        row = Checkpointer(self.store, self.ring.log, self.clock).make()
        return row.size

    def until(self, wanted) -> None:
        for _ in range(_ROUNDS):
            if wanted():
                return
            with contextlib.suppress(queue.Empty):
                self.uplink.handle(self.events.get(timeout=0.02), self.now_ns)
            self.now_ns += 50_000_000
            self.uplink.pump(self.now_ns)
        raise AssertionError((self.witness.counters(), self.uplink.counts, self.witnessing.ignored))

    def witnessed(self) -> list[int]:
        return [row.size for row in self.store.log.witnesses() if row.line]


@pytest.fixture
def fleet(tmp_path, repo):
    broker = FleetBroker(tmp_path, repo)
    broker.start()
    made = Fleet(tmp_path, broker)
    yield made
    made.stop_station()
    made.link.close()
    broker.kill()


def test_a_log_is_witnessed_over_a_broker_and_another_one_refused(fleet):
    """Over a restart of the unit; then the station's database is another one, as after a loss."""
    fleet.start_station("station.db")
    size = fleet.ask(5)
    fleet.until(lambda: fleet.witnessed() == [size])
    fleet.link.close()
    size = fleet.ask(7)
    fleet.start_unit()
    fleet.until(lambda: fleet.witnessed() == [size])
    assert fleet.witness.refusal == ""
    fleet.stop_station()
    fleet.start_station("other.db")
    fleet.ask(size + 3)
    fleet.until(lambda: bool(fleet.witness.refusal))
    assert "does not continue" in fleet.witness.refusal
    assert fleet.witnessing.conflicts == {UNIT}
    assert [(row.unit, row.size) for row in fleet.store.log.conflicts()] == [(UNIT, size)]

"""An update over the shipped broker, mutual TLS: offered, fetched through outages and restarts, staged, reported."""

from __future__ import annotations

import contextlib
import queue
import shutil
from typing import TYPE_CHECKING

import pytest

from agent.runtime.config import UpdateTable
from agent.runtime.updates import UpdateReporter
from agent.sync.transfer import FileTransfer, Transfers
from agent.sync.uplink import Uplink
from agent.update.fetch import update_kind
from agent.update.trial import HealthSample
from cli.update import fetched_update
from hw.backoff import Backoff
from hw.config import MqttLinkConfig, TlsConfig
from hw.link_mqtt import LinkMqtt
from protocol.wire.codec import decode
from protocol.wire.control.transfer import UpdateReport
from protocol.wire.enums import UpdateState
from protocol.wire.topics import heard_by_unit
from station.asker import Asker
from station.commands import Commands
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.builders import BOOT
from tests.mosquitto import FleetBroker
from tests.update_builder import Unit
from updater.release_state import INBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.update.manifest import Manifest

pytestmark = [
    pytest.mark.integration,
    # paho drops the socket of a failed handshake without closing it; the garbage collector does at once.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning"),
]
_ROUNDS = 3000


class NothingWaits:
    """An empty outbox."""

    def changes(self):
        return 0

    def given_up(self):
        return 0

    def priorities(self):
        return []

    def pictures(self, priority, *, after_pic, limit):
        return []

    def jpeg(self, pic):
        return None


class Car:
    """A unit's uplink, fetcher and desk on a real link; stopped and started like the agent's process."""

    def __init__(self, folder, broker: FleetBroker) -> None:
        self.unit = Unit(folder / "unit")
        self.broker = broker
        self.keys = broker.give("unit-07", into=folder / "keys")
        self.state = folder / "state"
        self.now_ns = 0
        self.start()

    def start(self) -> None:
        tls = TlsConfig(ca=self.keys / "ca.pem", cert=self.keys / "unit-07.pem", key=self.keys / "unit-07.key")
        config = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=self.broker.port, unit="unit-07", tls=tls)
        self.link = LinkMqtt(config, backoff=Backoff(0.05, 0.2))
        self.events: queue.Queue = queue.Queue()
        folder = (self.state / INBOX).parent
        kind = update_kind(folder, self.unit.home, free_only=False)
        self.fetcher = FileTransfer(kind, unit="unit-07", boot_id=BOOT, timeout_s=2.0)
        downloads = Transfers("unit-07", (self.fetcher,))
        self.uplink = Uplink(
            self.link, NothingWaits(), lambda _: None, unit="unit-07", boot_id=BOOT, downloads=downloads
        )
        self.desk = UpdateReporter(
            UpdateTable(home=self.unit.home, confirm=self.state / "confirmed"), self.state, self.fetcher
        )
        self.link.start(self.events.put, subscribe=heard_by_unit("unit-07"), will=None)

    def until(self, wanted: Callable[[], bool]) -> None:
        for _ in range(_ROUNDS):
            if wanted():
                return
            with contextlib.suppress(queue.Empty):
                self.uplink.handle(self.events.get(timeout=0.02), self.now_ns)
            self.now_ns += 50_000_000
            self.desk.step(HealthSample(1, (1,), late=False, link_up=self.uplink.is_up), 0, self.now_ns)
            report = self.desk.report("unit-07", BOOT, bytes(32), again=False)
            if report is not None:
                self.uplink.set_report(report)
            self.uplink.pump(self.now_ns)
        raise AssertionError(f"{self.fetcher.state} {self.fetcher.counts} {self.uplink.counts}")


@pytest.fixture
def broker(tmp_path, repo):
    made = FleetBroker(tmp_path, repo)
    made.start()
    yield made
    made.kill()


def serve(broker: FleetBroker, folder, db) -> StationService:
    home = broker.give("station", into=folder / "station-keys")
    address = BrokerAddress(
        "127.0.0.1", broker.port, ca=home / "ca.pem", cert=home / "station.pem", key=home / "station.key"
    )
    service = StationService(
        address, Ingest(open_store(db), "station", lambda: 1), station="station", backoff=Backoff(0.05, 0.2)
    )
    service.start()
    return service


def wanted(db, unit: Unit, data: bytes, manifest: Manifest) -> None:
    """Another process, as `station offer` is, while the station runs."""
    path = unit.folder / "offered.lprup"
    path.write_bytes(data)
    store = open_store(db)
    Commands(store, Asker("tester"), lambda: 1).offer("unit-07", manifest, path)
    store.close()


def reported(db):
    store = open_store(db)
    (row,) = store.units()
    store.close()
    return None if row.report is None else decode(row.report, UpdateReport)


def test_update_is_fetched_staged_and_reported_despite_kills(tmp_path, broker):
    db = tmp_path / "station.db"
    open_store(db).close()
    station = serve(broker, tmp_path, db)
    car = Car(tmp_path, broker)
    data = car.unit.update(42, wheel=bytes(range(256)) * 4000, units=("unit-*",))
    wanted(db, car.unit, data, car.unit.made)
    car.until(lambda: car.fetcher.fetched > 150_000)
    broker.kill()
    broker.start()
    car.until(lambda: car.fetcher.fetched > 400_000)
    car.link.close()
    before = car.fetcher.fetched
    car.start()
    car.until(lambda: car.fetcher.fetched > before)
    assert car.fetcher.counts.damaged == 0
    station.close()
    station = serve(broker, tmp_path, db)
    inbox = car.state / INBOX
    car.until(inbox.exists)
    assert inbox.read_bytes() == data
    with fetched_update(inbox) as file:
        assert car.unit.apply(file.read()).release == 42
    car.until(lambda: (told := reported(db)) is not None and told.state is UpdateState.TRIAL)
    car.unit.releases.start()
    car.unit.releases.commit(42)
    car.link.close()
    car.start()  # as the new release
    car.until(lambda: (told := reported(db)) is not None and told.state is UpdateState.COMMITTED)
    assert reported(db).running == 42
    car.link.close()
    station.close()


def test_configuration_update_of_an_offline_unit_and_its_refusal(tmp_path, broker):
    """The offer is retained: the station is offline when the unit gets it, and comes back for the bytes."""
    db = tmp_path / "station.db"
    open_store(db).close()
    car = Car(tmp_path, broker)
    car.link.close()
    data = car.unit.update(7, config="[log]\nlevel = 'debug'\n")
    wanted(db, car.unit, data, car.unit.made)
    station = serve(broker, tmp_path, db)
    assert station.connected.wait(20)
    car.start()
    inbox = car.state / INBOX
    car.until(inbox.exists)
    # `update make` refuses what no unit accepts; what this unit's own file makes of it shows only here.
    car.unit.tools.wrong = "log.level: this unit refuses it"
    with pytest.raises(ValueError, match=r"log\.level"), fetched_update(inbox) as file:
        car.unit.apply(file.read())
    car.until(lambda: (told := reported(db)) is not None and told.state is UpdateState.REFUSED)
    told = reported(db)
    assert (told.running, told.release) == (0, 7)
    assert "log.level" in told.reason
    car.link.close()
    station.close()
    shutil.rmtree(car.state)


def test_only_the_station_can_publish_offers(tmp_path, broker):
    """A unit that publishes an offer, to another or to itself, is refused by the broker."""
    car = Car(tmp_path, broker)
    car.until(lambda: car.uplink.is_up)
    for token, topic in enumerate(("lpr/1/unit-07/dn/cmd", "lpr/1/unit-08/dn/cmd", "lpr/1/unit-07/dn/part")):
        car.link.publish(topic, b"forged", token=900 + token, retain=True)
    refused = set()
    while len(refused) < 3:
        event = car.events.get(timeout=20)
        code = getattr(event, "code", None)
        if code is not None and event.token >= 900:
            assert code == 0x87
            refused.add(event.token)
    car.link.close()

"""A real mosquitto that loses state, denies access, or has small limits: every read arrives once."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

from agent.sync.encoder import RecordEncoder
from agent.sync.uplink import UplinkConfig
from cli.diagnostics import checks
from cli.diagnostics.step import Mark
from cli.station_serve import keys_hint
from hw.config import MqttLinkConfig
from hw.ports import LinkDown, LinkUp, Refused
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.wire.released import released_registry
from station.broker import EmbeddedBroker
from station.service import BrokerAddress
from station.store import open_store
from tests.builders import BOOT, make_picture, make_read
from tests.mosquitto import Mosquitto
from tests.ports import free_port
from tests.road import PATIENCE_S, UNIT, Arrival, Traveller
from tests.station_files import stored_reads

pytestmark = pytest.mark.integration
HOST = "127.0.0.1"


def plain_reads(count: int):
    return [make_read(n, pictures=()) for n in range(1, count + 1)]


def unit_on(broker: Mosquitto, folder, reads, *, protocol="5", **uplink) -> Traveller:
    config = MqttLinkConfig(kind="mqtt", host=HOST, port=broker.port, unit=UNIT, protocol=protocol)
    settings = {"send_pictures": False, "receipt_timeout_s": 2, **uplink}
    return Traveller(folder, config, reads, UplinkConfig(**settings))


def station_on(broker: Mosquitto, folder) -> Arrival:
    return Arrival(folder / "station.db", BrokerAddress(HOST, broker.port))


def step_until(unit: Traveller, met) -> None:
    until = time.monotonic() + PATIENCE_S
    while not met():
        unit.step()
        assert time.monotonic() < until, unit.uplink.counts


def test_broker_restarts_without_its_state(tmp_path):
    """The broker is killed with hundreds of acknowledged messages that no station has, and its file is removed.

    Sessions, subscriptions and messages are gone.  Acknowledged was not delivered: every read arrives, once.
    """
    memory = tmp_path / "memory"
    memory.mkdir()
    broker = Mosquitto(
        tmp_path, "persistence true", f"persistence_location {memory}/", "autosave_interval 1",
        "autosave_on_changes true", "max_queued_messages 0", "user root",
    )  # fmt: skip
    broker.start()
    arrival = station_on(broker, tmp_path)
    arrival.close()
    unit = unit_on(broker, tmp_path, plain_reads(300))
    # The station's session is still there, so the broker keeps, and acknowledges, what nobody has stored.
    step_until(unit, lambda: unit.uplink.counts.acked >= 200)
    assert unit.outbox.stats().receipted == 0
    broker.kill()
    lost = list(memory.glob("*.db"))
    assert lost, "the broker has kept nothing that could be lost"
    for path in lost:
        path.unlink()
    broker.start()
    arrival = station_on(broker, tmp_path)
    assert arrival.stored() == []
    unit.run_dry()
    assert arrival.stored() == list(range(1, 301))
    assert arrival.store.gaps(UNIT) == []
    unit.close()
    arrival.close()
    broker.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_broker_with_receive_maximum_one(tmp_path, protocol):
    """Receive Maximum 1 (MQTT 5): never more in flight, all reads and pictures arrive."""
    broker = Mosquitto(tmp_path, "max_inflight_messages 1").start()
    arrival = station_on(broker, tmp_path)
    reads = [make_read(n) for n in range(1, 11)]
    unit = unit_on(broker, tmp_path, reads, protocol=protocol, send_pictures=True, chunk_bytes=1024)
    max_in_flight = 0

    def dry() -> bool:
        nonlocal max_in_flight
        waiting = unit.step()
        max_in_flight = max(max_in_flight, unit.uplink.in_flight)
        return not waiting

    step_until(unit, dry)
    if protocol == "5":
        assert [event.max_in_flight for event in unit.heard if isinstance(event, LinkUp)] == [1]
        assert max_in_flight == 1
    assert unit.uplink.counts.not_taken == 0
    assert arrival.stored() == list(range(1, 11))
    assert arrival.store.count_pictures() == 20
    unit.close()
    arrival.close()
    broker.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_broker_with_small_maximum_packet_size(tmp_path, protocol):
    """MQTT 5 announces the limit and chunks stay below it; 3.1.1 disconnects, and chunks shrink until they pass."""
    broker = Mosquitto(tmp_path, "max_packet_size 6000").start()
    arrival = station_on(broker, tmp_path)
    pictures = (make_picture(content=b"\xff\xd8" + bytes(range(256)) * 200),)
    reads = [make_read(1, pictures=pictures), *(make_read(n, pictures=()) for n in range(2, 20))]
    unit = unit_on(broker, tmp_path, reads, protocol=protocol, send_pictures=True)
    unit.run_dry()
    assert arrival.stored() == list(range(1, 20))
    assert arrival.store.count_pictures() == 1
    assert unit.outbox.stats().held == unit.outbox.stats().quarantined == 0
    downs = [event for event in unit.heard if isinstance(event, LinkDown)]
    assert bool(downs) is (protocol == "3.1.1")
    unit.close()
    arrival.close()
    broker.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_record_too_large_for_the_broker_waits(tmp_path, protocol):
    """MQTT 5 says the limit, 3.1.1 ends the connection.  Nothing is set aside, and a broker that takes more gets it."""
    broker = Mosquitto(tmp_path, "max_packet_size 1000").start()
    arrival = station_on(broker, tmp_path)
    large = make_read(2, pictures=(), models=tuple("m" * 120 for _ in range(7)))
    reads = [make_read(1, pictures=()), large, make_read(3, pictures=())]
    unit = unit_on(broker, tmp_path, reads, protocol=protocol)
    step_until(unit, lambda: unit.outbox.stats().receipted == 2)
    assert (unit.outbox.stats().reads, unit.outbox.stats().quarantined) == (1, 0)
    counts = unit.uplink.counts
    assert (counts.too_large if protocol == "5" else counts.held_back) >= 1
    assert arrival.stored() == [1, 3]
    unit.close()
    arrival.close()
    broker.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_broker_with_a_payload_limit_is_not_flooded(tmp_path, protocol):
    """``message_size_limit``: 3.1.1 is acknowledged and dropped.  All arrives, and little is sent in vain."""
    broker = Mosquitto(tmp_path, "message_size_limit 6000").start()
    arrival = station_on(broker, tmp_path)
    pictures = (make_picture(content=b"\xff\xd8" + bytes(range(256)) * 200),)
    reads = [make_read(1, pictures=pictures), *(make_read(n, pictures=()) for n in range(2, 12))]
    unit = unit_on(broker, tmp_path, reads, protocol=protocol, send_pictures=True)
    unit.run_dry()
    assert arrival.stored() == list(range(1, 12))
    assert arrival.store.count_pictures() == 1
    assert (unit.outbox.stats().held, unit.outbox.stats().quarantined) == (0, 0)
    if protocol == "3.1.1":
        assert unit.uplink.counts.picture_pauses >= 1
    assert unit.uplink.counts.chunks_sent < 60
    unit.close()
    arrival.close()
    broker.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_all_records_arrive_after_the_broker_denied_access(tmp_path, protocol):
    """The access list lacks the unit: MQTT 5 refuses each message, 3.1.1 acknowledges and drops it.  Nothing is lost or
    set aside, and when the list is put right everything arrives once."""
    acl = tmp_path / "acl"
    acl.write_text("topic read lpr/#\ntopic write lpr/1/+/dn/receipt\n")
    acl.chmod(0o600)
    broker = Mosquitto(tmp_path, f"acl_file {acl}", "user root").start()
    arrival = station_on(broker, tmp_path)
    unit = unit_on(broker, tmp_path, plain_reads(20), protocol=protocol)
    if protocol == "5":
        step_until(unit, lambda: unit.uplink.counts.refused >= 20)
        assert {event.code for event in unit.heard if isinstance(event, Refused)} == {0x87}
    else:
        step_until(unit, lambda: unit.uplink.counts.overdue >= 1)
        assert unit.uplink.counts.acked >= 20
    stats = unit.outbox.stats()
    assert (stats.reads, stats.receipted, stats.quarantined) == (20, 0, 0)
    acl.write_text("topic readwrite lpr/#\n")
    broker.reload()
    unit.run_dry()
    assert arrival.stored() == list(range(1, 21))
    unit.close()
    arrival.close()
    broker.kill()


def test_a_unit_of_mqtt_5_delivers_through_the_embedded_broker(tmp_path):
    """The station's own broker speaks 3.1.1, and MQTT 5 is a unit's default: it falls back and says so."""
    port = free_port()
    with closing(EmbeddedBroker(HOST, port)) as broker:
        broker.start()
        arrival = Arrival(tmp_path / "station.db", BrokerAddress(HOST, port, five=False))
        config = MqttLinkConfig(kind="mqtt", host=HOST, port=port, unit=UNIT)
        unit = Traveller(tmp_path, config, plain_reads(5))
        unit.run_dry()
        assert arrival.stored() == [1, 2, 3, 4, 5]
        assert "MQTT 3.1.1" in next(event.note for event in unit.heard if isinstance(event, LinkUp))
        unit.close()
        arrival.close()


def test_what_a_station_without_keys_cannot_open_is_said_on_both_sides(tmp_path, monkeypatch):
    """The unit keeps its sealed records and says what the station lacks; so does the station."""
    sealer = Sealer(UNIT, SigningKey.generate(), StationKey.generate())
    monkeypatch.setattr(
        "tests.road.make_encoder",
        lambda: RecordEncoder(UNIT, "Example Sheriff", BOOT, released_registry(), sealer),
    )
    port = free_port()
    with closing(EmbeddedBroker(HOST, port)) as broker:
        broker.start()
        arrival = Arrival(tmp_path / "station.db", BrokerAddress(HOST, port, five=False))
        unit = Traveller(tmp_path, MqttLinkConfig(kind="mqtt", host=HOST, port=port, unit=UNIT), plain_reads(3))
        step_until(unit, lambda: "start it with --keys" in unit.uplink.delivery.cause)
        hint = keys_hint([arrival.ingest], has_keys=False)
        assert hint is not None
        assert "encrypted records NOT stored" in hint
        assert "start it with --keys FOLDER" in hint
        assert unit.outbox.stats().reads == 3
        unit.close()
        arrival.close()


_STRUCK = """
import os, sys
from station import service
def struck(self, connection, answers, group):
    os.kill(os.getpid(), 9)
service.StationService._answer = struck
sys.argv = ["patrol-lpr", *sys.argv[1:]]
from cli.__main__ import main
main()
"""


def test_station_killed_between_store_and_receipt(tmp_path):
    """The reads are on its disk without a receipt: sent again, they are duplicates, receipted and stored once."""
    broker = Mosquitto(tmp_path).start()
    options = ["station", "--db", str(tmp_path / "station.db"), "--broker", f"{HOST}:{broker.port}"]
    doomed = subprocess.Popen([sys.executable, "-c", _STRUCK, *options], stdout=subprocess.PIPE, text=True)
    assert "Ctrl-C to stop" in doomed.stdout.readline()
    unit = unit_on(broker, tmp_path, plain_reads(30))
    step_until(unit, lambda: doomed.poll() is not None)
    doomed.stdout.close()
    store = open_store(tmp_path / "station.db")
    before = len(stored_reads(store))
    store.close()
    assert before > 0
    assert unit.outbox.stats().receipted == 0
    arrival = station_on(broker, tmp_path)
    unit.run_dry()
    assert arrival.ingest.counts.duplicates >= before
    assert arrival.stored() == list(range(1, 31))
    unit.close()
    arrival.close()
    broker.kill()


def test_doctor_meets_the_refusal_that_the_agent_meets(tmp_path):
    """A broker without retained messages takes a connection that has no will, and refuses every agent."""
    broker = Mosquitto(tmp_path, "retain_available false").start()
    try:
        link = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=broker.port, unit="unit-07")
        config = SimpleNamespace(unit="unit-07", hw=SimpleNamespace(link=link), state_dir=tmp_path)
        step = checks._link(config)
    finally:
        broker.kill()
    assert step.mark is Mark.FAIL
    assert "the broker keeps no retained messages" in step.detail

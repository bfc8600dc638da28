"""What a hostile or broken broker may cost: bounded memory, bounded time, and a reason that a person can read."""

from __future__ import annotations

import queue

import pytest

from hw.backoff import Backoff
from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from hw.mqtt_client import MAX_PACKET_BYTES
from hw.mqtt_connection import MqttConnection, MqttOptions
from hw.ports import LinkDown, LinkUp
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.contract.test_broken_packets import RECEIPT, Unit
from tests.fake_broker import PATIENCE_S, TOPIC, Broker, packet, text

TAKEN_OVER = packet(0xE0, b"\x8e\x00")


@pytest.fixture(params=[True, False], ids=["5", "3.1.1"])
def broker(request):
    with Broker(five=request.param) as made:
        yield made


@pytest.fixture
def five():
    with Broker() as made:
        yield made


class Counted(Backoff):
    """A back-off without waits that counts how often it was reset."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


def test_the_connect_packet_states_what_is_accepted(five):
    with Unit(five):
        connect = five.welcome().connect
        properties = connect[11 : 11 + connect[10]]
        assert b"\x27" + MAX_PACKET_BYTES.to_bytes(4, "big") in properties
        assert b"\x21" + (256).to_bytes(2, "big") in properties


@pytest.mark.parametrize("head", [0x30, 0x32, 0x20, 0x40, 0x90, 0xD0, 0xE0])
def test_a_packet_too_large_is_not_read(broker, head):
    """256 MB announced: the connection ends at the length, before any of it is read; nothing is kept of it."""
    with Unit(broker) as unit:
        peer = broker.welcome()
        unit.wait_for(LinkUp)
        peer.send(bytes([head]) + b"\xff\xff\xff\x7f")
        peer.wait_for_the_end()
        down = unit.next()
        assert down.is_fault
        assert "268435455 bytes" in down.reason
        broker.welcome()
        assert isinstance(unit.next(), LinkUp)


def test_the_largest_packet_allowed_arrives(broker):
    with Unit(broker) as unit:
        peer = broker.welcome()
        unit.wait_for(LinkUp)
        overhead = len(broker.publish(TOPIC, b"")) - 2
        peer.send(broker.publish(TOPIC, bytes(MAX_PACKET_BYTES - overhead)))
        assert len(unit.next().payload) == MAX_PACKET_BYTES - overhead


def test_qos_2_ends_the_connection(broker):
    """Without PUBREL such messages would be kept for ever, and nobody subscribes to them."""
    with Unit(broker) as unit:
        peer = broker.welcome()
        unit.wait_for(LinkUp)
        nothing = b"\x00" if broker.five else b""
        peer.send(packet(0x34, text(TOPIC) + b"\x00\x09" + nothing + bytes(60_000)))
        peer.wait_for_the_end()
        down = unit.next()
        assert down.is_fault
        assert "QoS 2" in down.reason


@pytest.mark.slow
def test_a_broker_that_sends_and_does_not_read_is_left(broker):
    """Each message of QoS 1 costs an acknowledgement: those must not pile up."""
    downs = queue.SimpleQueue()
    with Unit(broker, lambda event: downs.put(event) if isinstance(event, LinkDown) else None):
        peer = broker.welcome()
        burst = b"".join(broker.publish(TOPIC, b"", mid=mid) for mid in range(1, 1001))
        flood(peer, burst)
        assert "does not read" in downs.get(timeout=PATIENCE_S).reason


def flood(peer, burst):
    """Send until the other side hangs up."""
    for _ in range(20_000):
        try:
            peer.send(burst)
        except OSError:
            return
    pytest.fail("all of it was taken")


@pytest.mark.slow
@pytest.mark.parametrize("asked_s", [0, 65_535])
def test_a_silent_broker_is_noticed_whatever_keep_alive_it_asks_for(five, asked_s):
    """Server Keep Alive 0 switches pings off in MQTT 5; a ping goes out all the same, and silence ends it."""
    options = MqttOptions("127.0.0.1", five.port, "unit-07", keepalive_s=1)
    connection = MqttConnection(options, on_up=lambda *_: None, on_message=lambda _: None)
    assert connection.open()
    peer = five.accept()
    peer.send(peer.connack(b"\x13" + asked_s.to_bytes(2, "big")))
    assert peer.read()[0] == 0xC0
    peer.wait_for_the_end()
    assert connection.ended.wait(30)
    assert "eep" in connection.reason
    connection.close()


@pytest.mark.slow
def test_a_broker_that_acknowledges_nothing_is_left(broker):
    """It answers pings, so that the connection looks well: messages in flight have a time-out of their own."""
    config = MqttLinkConfig(
        kind="mqtt", host="127.0.0.1", port=broker.port, unit="unit-07", protocol="5" if broker.five else "3.1.1"
    )
    events = queue.SimpleQueue()
    link = LinkMqtt(config, backoff=Counted(), ack_timeout_s=0.5)
    link.start(events.put, subscribe=(RECEIPT,), will=None)
    peer = broker.welcome()
    assert isinstance(events.get(timeout=PATIENCE_S), LinkUp)
    link.publish("lpr/1/unit-07/up/read", b"read", token=1)
    peer.wait_for_the_end()
    broker.welcome()
    assert "acknowledged nothing" in events.get(timeout=PATIENCE_S).reason
    link.close()


@pytest.mark.slow
def test_another_client_with_the_same_id_is_named_and_resets_no_back_off(five):
    """Both would otherwise end each other's connection several times a second for ever."""
    backoff = Counted()
    with Unit(five, backoff=backoff, brief_s=0) as unit:
        for _ in range(4):
            peer = five.welcome()
            unit.wait_for(LinkUp)
            unit.link.confirm()
            peer.send(TAKEN_OVER)
            peer.end()
            assert "another client uses this client's id, unit-07" in unit.wait_for(LinkDown).reason
    assert backoff.resets == 0


def test_without_a_reason_the_third_brief_connection_names_it(broker):
    with Unit(broker) as unit:
        reasons = []
        for _ in range(4):
            peer = broker.welcome()
            unit.wait_for(LinkUp)
            peer.end()
            reasons.append(unit.wait_for(LinkDown).reason)
        told = ["another client" in reason for reason in reasons]
        assert told == [False, False, True, True]


@pytest.mark.parametrize("is_confirmed", [True, False], ids=["receipt", "handshake"])
def test_a_receipt_resets_the_back_off_and_a_handshake_does_not(broker, is_confirmed):
    backoff = Counted()
    with Unit(broker, backoff=backoff, brief_s=0) as unit:
        for _ in range(3):
            peer = broker.welcome()
            unit.wait_for(LinkUp)
            if is_confirmed:
                unit.link.confirm()
            peer.end()
            unit.wait_for(LinkDown)
        broker.welcome()
    assert backoff.resets == (3 if is_confirmed else 0)


@pytest.fixture
def counted_station(five, tmp_path):
    """A station at a broker of MQTT 5, and the count of its back-off."""
    backoff, store = Counted(), open_store(tmp_path / "s.db")
    service = StationService(
        BrokerAddress("127.0.0.1", five.port), Ingest(store, "s", lambda: 1), station="s", backoff=backoff
    )
    service.start()
    yield backoff
    service.close()
    store.close()


@pytest.mark.slow
def test_a_station_that_is_taken_over_resets_no_back_off(five, counted_station):
    for _ in range(3):
        peer = five.welcome()
        peer.send(TAKEN_OVER)
        peer.end()
    five.welcome()
    assert counted_station.resets == 0


@pytest.mark.slow
def test_a_message_to_the_station_resets_the_back_off(five, counted_station):
    peer = five.welcome()
    peer.send(five.publish(b"nobody", mid=9))
    assert peer.read()[0] == 0x40
    peer.end()
    five.welcome()
    assert counted_station.resets == 1


OLD_ANSWERS = {"refused": packet(0x20, b"\x00\x01"), "taken": packet(0x20, b"\x00\x00"), "silent": b""}


@pytest.mark.parametrize("answer", [*OLD_ANSWERS, "unsupported"])
def test_a_unit_falls_back_to_3_1_1_and_says_so(five, answer):
    """A broker of 3.1.1 answers in its own way, or hangs up; the next connection is made in its version."""
    with Unit(five) as unit:
        peer = five.accept()
        assert peer.connect[6] == 5
        peer.send(OLD_ANSWERS.get(answer, packet(0x20, b"\x00\x84\x00")))
        peer.end()
        old = five.accept()
        assert old.connect[6] == 4
        old.send(packet(0x20, b"\x00\x00"))
        old.read()
        old.send(packet(0x90, b"\x00\x01\x01"))
        up = unit.wait_for(LinkUp)
        assert ("said nothing to" if answer == "silent" else "does not speak") + " MQTT 5" in up.note
        old.end()
        unit.wait_for(LinkDown)
        assert five.accept().connect[6] == 5


def test_a_broker_that_speaks_5_and_is_full_for_a_moment_is_asked_in_5_again(five):
    """A connection in 3.1.1 would stay for hours, and say that the broker does not speak MQTT 5."""
    with Unit(five) as unit:
        five.welcome().end()
        versions = []
        for _ in range(4):
            peer = five.accept()
            versions.append(peer.connect[6])
            peer.end()
        assert versions == [5, 5, 5, 4]
        assert five.welcome().connect[6] == 5
        assert unit.wait_for(LinkUp).note == ""


def test_a_broker_that_always_hangs_up_is_asked_in_turns_and_reported(five):
    with Unit(five) as unit:
        versions = []
        for _ in range(4):
            peer = five.accept()
            versions.append(peer.connect[6])
            peer.end()
        assert versions == [5, 4, 5, 4]
        reasons = [unit.wait_for(LinkDown).reason for _ in range(4)]
        assert ["3.1.1 is tried" in reason for reason in reasons] == [True, False, True, False]

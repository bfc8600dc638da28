"""Whatever a broker sends, unit and station come up again with the next sound one, and say what happened."""

from __future__ import annotations

import itertools
import queue
import random

import pytest
from paho.mqtt.enums import MQTTErrorCode

from hw.backoff import Backoff
from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from hw.ports import Acked, LinkDown, LinkDownError, LinkUp, Received
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.fake_broker import PATIENCE_S, TOPIC, Broker, broken_packet, packet, text

HASTE = 0.001, 0.01
RECEIPT = TOPIC.decode()

UNREADABLE = {
    "publish without a body": packet(0x30, b""),
    "publish shorter than its topic": packet(0x30, b"\x00\x40abc"),
    "publish without a message id": packet(0x32, text(TOPIC)),
    "property that does not exist": packet(0x30, text(TOPIC) + b"\x02\x7f\x00"),
    "property cut short": packet(0x30, text(TOPIC) + b"\x26"),
    "text property that is no UTF-8": packet(0x30, text(TOPIC) + b"\x07\x26" + text(b"\xff") + text(b"v")),
    "endless property length": packet(0x30, text(TOPIC) + b"\xff\xff\xff\xff\xff"),
    "suback without a body": packet(0x90, b""),
    "suback with a code that does not exist": packet(0x90, b"\x00\x01\x00\x7b"),
    "puback without a body": packet(0x40, b""),
    "puback with a code that does not exist": packet(0x40, b"\x00\x01\x7b\x00"),
    "unsuback without a body": packet(0xB0, b""),
    "pubrec without a body": packet(0x50, b""),
    "pubrel without a body": packet(0x62, b""),
    "pubcomp without a body": packet(0x70, b""),
    "disconnect with a code that does not exist": packet(0xE0, b"\x7b"),
    "connack without a body": packet(0x20, b""),
    "reserved packet type": packet(0x00, b""),
    "endless remaining length": b"\x30\xff\xff\xff\xff\xff",
}


USER_PROPERTY = b"\x26" + text(b"k") + text(b"v")


def published(properties: bytes = b"", *, topic: bytes = TOPIC, head: int = 0x30, mid: bytes = b"") -> bytes:
    size, more = bytearray(), len(properties)
    while more > 0x7F:
        size.append(more & 0x7F | 0x80)
        more >>= 7
    return packet(head, text(topic) + mid + bytes([*size, more]) + properties + b"hello")


UNUSUAL = {
    "topic alias 0": published(b"\x23\x00\x00"),
    "topic alias without a topic": published(b"\x23\x00\x01", topic=b""),
    "topic alias that was not allowed": published(b"\x23\xff\xff"),
    "topic alias twice": published(b"\x23\x00\x01\x23\x00\x02"),
    "subscription id 0": published(b"\x0b\x00"),
    "a thousand subscription ids": published(b"\x0b\x01" * 1_000),
    "nine thousand user properties": published(USER_PROPERTY * 9_000),
    "payload format twice": published(b"\x01\x01\x01\x01"),
    "response topic with a wildcard": published(b"\x08" + text(b"#")),
    "correlation data of 60 kB": published(b"\x09" + text(bytes(60_000))),
    "topic with a wildcard": published(topic=b"lpr/1/#"),
    "topic with a zero": published(topic=b"lpr/1/unit-07/dn/\x00"),
    "topic of surrogates": published(topic=b"\xed\xa0\x80"),
    "longest topic": published(topic=b"a" * 65_535),
    "message id 0": published(head=0x32, mid=b"\x00\x00"),
    "one message id a thousand times": published(head=0x3A, mid=b"\x00\x07") * 1_000,
    "quality of service 3": published(head=0x36, mid=b"\x00\x07"),
    "ten thousand answers to no ping": b"\xd0\x00" * 10_000,
    "ten thousand pings": b"\xc0\x00" * 10_000,
    "acknowledgements of nothing": packet(0x40, b"\x00\x07") * 5_000,
    "releases of nothing": packet(0x62, b"\x00\x01\x00\x00") * 5_000,
    "puback with a property twice": packet(0x40, b"\x00\x01\x10\x08\x1f" + text(b"a") + b"\x1f" + text(b"b")),
    "connect of a server": packet(0x10, text(b"MQTT") + b"\x05\x02\x00\x3c\x00\x00\x00"),
    "subscribe of a server": packet(0x82, b"\x00\x01\x00" + text(b"a") + b"\x01"),
    "suback of nothing": packet(0x90, b"\x00\x63\x00\x87"),
    "suback of five thousand codes": packet(0x90, b"\x00\x01\x00" + b"\x01" * 5_000),
    "connack again": packet(0x20, b"\x00\x00\x00"),
    "connack that refuses now": packet(0x20, b"\x00\x87\x00"),
    "authentication": packet(0xF0, b"\x18\x08\x15" + text(b"SCRAM")),
    "length in more bytes than needed": b"\xd0\x80\x80\x80\x00",
    "disconnect to another server": packet(0xE0, b"\x9d\x09\x1c" + text(b"evil:1")),
    **{f"disconnect {code:#x}": packet(0xE0, bytes([code, 0])) for code in (0, 4, 0x87, 0x8B, 0x8E, 0x97, 0x9C)},
    **{f"nothing in packet {head:#x}": bytes([head, 0]) for head in range(0, 256, 5)},
    **{
        f"all of the space in packet {head:#x}": bytes([head, 0xFF, 0xFF, 0xFF, 0x7F])
        for head in range(0x20, 256, 16)
    },
}
"""Packets that a client need not expect; some are allowed."""


class Unit:
    """A real link on the played broker, and what it said."""

    def __init__(self, broker: Broker, on_event=None, *, backoff=None, brief_s=5, **config) -> None:
        self._events = queue.SimpleQueue()
        settings = MqttLinkConfig(
            kind="mqtt", host="127.0.0.1", port=broker.port, unit="unit-07",
            protocol="5" if broker.five else "3.1.1", **config,
        )  # fmt: skip
        self.link = LinkMqtt(settings, backoff=backoff or Backoff(*HASTE), brief_s=brief_s)
        self.link.start(on_event or self._events.put, subscribe=(RECEIPT,), will=None)

    def next(self):
        return self._events.get(timeout=PATIENCE_S)

    def wait_for(self, kind):
        """Skip to the next event of a kind."""
        while not isinstance(event := self.next(), kind):
            pass
        return event

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()


@pytest.fixture(params=[True, False], ids=["5", "3.1.1"])
def broker(request):
    with Broker(five=request.param) as made:
        yield made


@pytest.fixture
def five():
    with Broker() as made:
        yield made


@pytest.fixture
def serve(tmp_path):
    """Start a real station on a played broker."""
    store = open_store(tmp_path / "s.db")
    running = []

    def start(broker: Broker) -> StationService:
        ingest = Ingest(store, "s", lambda: 1)
        address = BrokerAddress("127.0.0.1", broker.port, five=broker.five)
        running.append(StationService(address, ingest, station="s", backoff=Backoff(*HASTE)))
        running[-1].start()
        running[-1].ingest = ingest
        return running[-1]

    yield start
    for service in running:
        service.close()
    store.close()


@pytest.mark.parametrize("mid", [0, 7])
def test_invalid_utf8_topic_drops_only_that_message(broker, mid):
    """It is handed on under a topic that is nobody's, acknowledged so that it does not come again, and all goes on."""
    with Unit(broker) as unit:
        peer = broker.welcome()
        assert isinstance(unit.next(), LinkUp)
        peer.send(broker.publish(b"lpr/1/unit-07/\xff\xfe", mid=mid))
        assert unit.next() == Received("lpr/1/unit-07/\\xff\\xfe", b"hello")
        if mid:
            head, body = peer.read()
            assert (head, body[:2]) == (0x40, b"\x00\x07")
        peer.send(broker.publish(TOPIC))
        assert unit.next() == Received(RECEIPT, b"hello")


@pytest.mark.parametrize("name", UNREADABLE)
def test_undecodable_packet_ends_connection_not_link(five, name):
    with Unit(five) as unit:
        peer = five.welcome()
        assert isinstance(unit.next(), LinkUp)
        peer.send(UNREADABLE[name])
        peer.end()
        down = unit.wait_for(LinkDown)
        with pytest.raises(LinkDownError):
            unit.link.publish(RECEIPT, b"", token=1)
        five.welcome()
        assert isinstance(unit.next(), LinkUp)
        assert down.reason


RAISED = ["property that does not exist", "property cut short", "suback without a body", "puback without a body"]


@pytest.mark.parametrize("name", RAISED)
def test_fault_is_reported_and_session_discarded(five, name):
    """The broker may hold the packet for us: it must not meet us again at each connection."""
    with Unit(five) as unit:
        first = five.welcome()
        assert not first.is_clean
        unit.wait_for(LinkUp)
        first.send(UNREADABLE[name])
        first.wait_for_the_end()
        assert unit.next().is_fault
        second = five.welcome()
        assert second.is_clean
        unit.wait_for(LinkUp)
        second.end()
        assert not unit.wait_for(LinkDown).is_fault
        assert not five.welcome().is_clean


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit], ids=["error", "exit"])
def test_listener_exception_is_an_outage(broker, raised):
    """SystemExit ends a thread without a word; it is noticed all the same."""
    events = queue.SimpleQueue()

    def listen(event) -> None:
        events.put(event)
        if isinstance(event, Received):
            raise raised("defect")  # a new one: its traceback keeps the sockets of the connection

    with Unit(broker, listen):
        for _ in range(3):
            peer = broker.welcome()
            assert isinstance(events.get(timeout=PATIENCE_S), LinkUp)
            peer.send(broker.publish(TOPIC))
            assert isinstance(events.get(timeout=PATIENCE_S), Received)
            down = events.get(timeout=PATIENCE_S)
            assert isinstance(down, LinkDown)
            assert down.is_fault
            assert raised.__name__ in down.reason


def test_silent_end_of_network_thread_is_detected(broker):
    """Some errors end paho's loop without ``on_disconnect``."""
    with Unit(broker) as unit:
        peer = broker.welcome()
        unit.wait_for(LinkUp)
        unit.link._connection._client.loop_read = lambda: MQTTErrorCode.MQTT_ERR_NOMEM
        peer.send(broker.publish(TOPIC))
        assert isinstance(unit.next(), LinkDown)
        broker.welcome()
        assert isinstance(unit.next(), LinkUp)


def test_listener_always_raising_does_not_end_link(broker):
    def listen(_) -> None:
        raise RuntimeError("defect")

    with Unit(broker, listen):
        for _ in range(5):
            broker.welcome().wait_for_the_end()


@pytest.mark.parametrize("properties", [b"\x21\x00\x00", b"\x27\x00\x00\x00\x00"], ids=["receive", "packet"])
def test_broker_limits_of_zero_are_refused(five, properties):
    """Believed, they would leave the link up and nothing sent for ever."""
    with Unit(five) as unit:
        peer = five.accept()
        peer.send(peer.connack(properties))
        peer.wait_for_the_end()
        assert unit.next().is_fault
        five.welcome()
        assert isinstance(unit.next(), LinkUp)


@pytest.mark.parametrize("stage", ["connect", "subscribe"])
def test_silent_broker_during_connect_is_abandoned(five, stage):
    with Unit(five, connect_timeout_s=0.05) as unit:
        peer = five.accept()
        if stage == "subscribe":
            peer.send(peer.connack())
        peer.wait_for_the_end()
        assert "has not answered" in unit.next().reason


@pytest.mark.slow
def test_link_recovers_from_broken_packets(broker):
    """In place of an answer, or after the link came up."""
    rng = random.Random(f"unit {broker.five}")  # noqa: S311 - reproducible, not secret
    faults = 0
    with Unit(broker) as unit:
        for turn in range(400):
            stage = rng.choice(("connect", "subscribe", "up", "up"))
            peer = broker.welcome() if stage == "up" else broker.accept()
            if stage == "up":
                unit.wait_for(LinkUp)
            elif stage == "subscribe":
                peer.send(peer.connack())
            peer.send(broken_packet(rng))
            peer.end()
            down = unit.wait_for(LinkDown)
            faults += down.is_fault
            assert down.reason, turn
        peer = broker.welcome()
        unit.wait_for(LinkUp)
        unit.link.publish("lpr/1/unit-07/up/read", b"well", token=41)
        _, body = peer.read()
        at = len(text(b"lpr/1/unit-07/up/read"))
        peer.send(packet(0x40, body[at : at + 2]))
        assert unit.next() == Acked(41)
    assert faults > 20, "hardly a packet was broken enough to be unreadable"


@pytest.mark.slow
def test_link_comes_up_after_each_unusual_packet(five):
    with Unit(five) as unit:
        for name, data in UNUSUAL.items():
            peer = five.welcome()
            unit.wait_for(LinkUp)
            peer.send(data)
            peer.end()
            assert unit.wait_for(LinkDown).reason, name
        peer = five.welcome()
        unit.wait_for(LinkUp)
        peer.send(five.publish(TOPIC, b"sound"))
        assert unit.next() == Received(RECEIPT, b"sound")


@pytest.mark.slow
def test_station_receives_after_each_unusual_packet(five, serve):
    service = serve(five)
    for name, data in UNUSUAL.items():
        peer = five.welcome()
        peer.send(data)
        peer.end()
        assert service.is_alive, name
    peer = five.welcome()
    peer.send(five.publish(b"nobody", mid=9))
    head, body = peer.read()
    assert (head, body[:2]) == (0x40, b"\x00\x09")


def test_station_counts_and_acknowledges_invalid_utf8_topic(broker, serve):
    service = serve(broker)
    peer = broker.welcome()
    assert service.connected.wait(PATIENCE_S)
    peer.send(broker.publish(b"lpr/1/unit-07/up/\xff", mid=7))
    head, body = peer.read()
    assert (head, body[:2]) == (0x40, b"\x00\x07")
    assert service.ingest.counts.foreign_topic == 1
    assert service.is_alive
    assert service.connected.is_set()


@pytest.mark.parametrize("name", ["suback without a body", "puback without a body"])
def test_station_counts_fault_and_discards_session(broker, serve, name):
    service = serve(broker)
    first = broker.welcome()
    assert not first.is_clean
    first.send(UNREADABLE[name])
    first.wait_for_the_end()
    assert broker.welcome().is_clean
    assert service.counts.link_faults == 1


@pytest.mark.slow
def test_station_recovers_from_broken_packets(broker, serve):
    service = serve(broker)
    rng = random.Random(f"station {broker.five}")  # noqa: S311 - reproducible, not secret
    for _ in range(60):
        peer = broker.welcome()
        for _ in itertools.repeat(None, rng.randint(1, 3)):
            data = broken_packet(rng)
            try:
                peer.send(data)
            except OSError:
                break
        peer.end()
    peer = broker.welcome()
    assert service.connected.wait(PATIENCE_S)
    peer.send(broker.publish(b"nobody", mid=9))
    head, body = peer.read()
    assert (head, body[:2]) == (0x40, b"\x00\x09")
    assert service.counts.link_faults > 5
    assert service.is_alive

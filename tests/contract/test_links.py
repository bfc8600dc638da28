"""What every link promises: the scripted one, and MQTT 5 and 3.1.1 over a real mosquitto."""

from __future__ import annotations

import queue
import threading

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from hw.backoff import Backoff
from hw.clock import SimClock
from hw.config import MqttLinkConfig
from hw.link_gate import LinkGate
from hw.link_mqtt import LinkMqtt
from hw.link_sim import LinkSim
from hw.ports import Acked, LinkDown, LinkDownError, LinkUp, Received, Will
from tests.mosquitto import Mosquitto
from tests.ports import free_port

PATIENCE_S = 30
WINDOW = 4


class SimRig:
    """The scripted link, stepped by hand."""

    def __init__(self) -> None:
        self.arrived = []
        self.link = LinkSim(self._peer, SimClock(), window=WINDOW)
        self.link.up()

    def _peer(self, topic, payload):
        self.arrived.append((topic, payload))
        return [("lpr/1/unit-07/dn/receipt", b"answer to " + payload)]

    def events(self, sink, count):
        self.link.step()
        return [sink.get_nowait() for _ in range(count)]

    def close(self):
        self.link.close()


class MqttRig:
    """A real broker and a peer on it."""

    def __init__(self, tmp_path, protocol, *, transport="tcp") -> None:
        web_port = free_port()
        # Debian's mosquitto serves WebSockets by IPv4 alone.
        listener = (f"listener {web_port} 127.0.0.1", "protocol websockets", "socket_domain ipv4")
        self.broker = Mosquitto(tmp_path, *(listener if transport == "websockets" else ())).start()
        if transport == "websockets":
            self.broker.wait_for(web_port)
        self.arrived = []
        ready = threading.Event()
        self._peer = Client(CallbackAPIVersion.VERSION2)
        self._peer.on_message = self._answer
        self._peer.on_subscribe = lambda *_: ready.set()
        self._peer.connect("127.0.0.1", self.broker.port)
        self._peer.subscribe("lpr/1/+/up/read", 1)
        self._peer.loop_start()
        assert ready.wait(PATIENCE_S)
        config = MqttLinkConfig(
            kind="mqtt", host="127.0.0.1", port=self.broker.port if transport == "tcp" else web_port, unit="unit-07",
            protocol=protocol, window=WINDOW, transport=transport,
        )  # fmt: skip
        self.link = LinkMqtt(config, backoff=Backoff(0.05, 0.2))

    def _answer(self, client, _data, message):
        self.arrived.append((message.topic, message.payload))
        client.publish("lpr/1/unit-07/dn/receipt", b"answer to " + message.payload, 1)

    def events(self, sink, count):
        return [sink.get(timeout=PATIENCE_S) for _ in range(count)]

    def close(self):
        self.link.close()
        self._peer.disconnect()
        self._peer.loop_stop()
        self.broker.kill()


KINDS = [
    "sim",
    pytest.param("5", marks=pytest.mark.integration),
    pytest.param("3.1.1", marks=pytest.mark.integration),
    pytest.param("5 websockets", marks=pytest.mark.integration),
    pytest.param("3.1.1 websockets", marks=pytest.mark.integration),
]


@pytest.fixture(params=KINDS)
def rig(request, tmp_path):
    protocol, _, transport = request.param.partition(" ")
    made = SimRig() if protocol == "sim" else MqttRig(tmp_path, protocol, transport=transport or "tcp")
    yield made
    made.close()


@pytest.fixture
def mqtt(tmp_path):
    made = MqttRig(tmp_path, "5")
    yield made
    made.close()


def start(rig):
    sink = queue.SimpleQueue()
    rig.link.start(sink.put, subscribe=("lpr/1/unit-07/dn/receipt",), will=None)
    return sink


def test_link_up_reports_window(rig):
    """LinkUp comes once the peer can be heard and spoken to."""
    sink = start(rig)
    (event,) = rig.events(sink, 1)
    assert isinstance(event, LinkUp)
    assert 1 <= event.max_in_flight <= WINDOW


def test_message_is_acknowledged_by_token(rig):
    """Acked names the token; what the peer sends comes as Received."""
    sink = start(rig)
    rig.events(sink, 1)
    rig.link.publish("lpr/1/unit-07/up/read", b"hello", token=41)
    events = rig.events(sink, 2)
    assert Acked(41) in events
    assert Received("lpr/1/unit-07/dn/receipt", b"answer to hello") in events
    assert rig.arrived == [("lpr/1/unit-07/up/read", b"hello")]


def test_publish_while_down_is_refused(tmp_path):
    """Nothing is queued: what is not accepted was not sent."""
    links = (
        LinkSim(lambda *_: [], SimClock()),
        LinkMqtt(MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=9, unit="u")),
    )
    for link in links:
        with pytest.raises(LinkDownError):
            link.publish("lpr/1/u/up/read", b"", token=1)
        link.close()


def test_no_events_after_close(rig):
    """After close nothing is published and nothing more is heard; closing twice is fine."""
    sink = start(rig)
    rig.events(sink, 1)
    rig.link.close()
    rig.link.close()
    with pytest.raises(LinkDownError):
        rig.link.publish("lpr/1/unit-07/up/read", b"late", token=2)
    assert sink.empty()


def test_scripted_link_enforces_window():
    """One more than the window is refused."""
    rig = SimRig()
    start(rig)
    rig.link.step()
    for token in range(WINDOW):
        rig.link.publish("lpr/1/unit-07/up/read", b"x", token=token)
    with pytest.raises(LinkDownError, match="window is full"):
        rig.link.publish("lpr/1/unit-07/up/read", b"x", token=99)


@pytest.mark.integration
def test_link_reconnects_after_broker_kill(mqtt):
    """LinkDown when it goes, LinkUp when it is back, and no message is sent twice by the link itself."""
    sink = start(mqtt)
    mqtt.events(sink, 1)
    mqtt.broker.kill()
    (down,) = mqtt.events(sink, 1)
    assert isinstance(down, LinkDown)
    mqtt.broker.start()
    event = sink.get(timeout=PATIENCE_S)
    while not isinstance(event, LinkUp):
        event = sink.get(timeout=PATIENCE_S)
    mqtt.link.publish("lpr/1/unit-07/up/health", b"back", token=7)
    assert sink.get(timeout=PATIENCE_S) == Acked(7)


@pytest.mark.integration
def test_will_is_published_on_connection_loss(tmp_path):
    """The broker publishes the will when the connection ends without a DISCONNECT packet."""
    broker = Mosquitto(tmp_path).start()
    heard, ready = queue.SimpleQueue(), threading.Event()
    watcher = Client(CallbackAPIVersion.VERSION2)
    watcher.on_message = lambda _c, _d, message: heard.put(message.payload)
    watcher.on_subscribe = lambda *_: ready.set()
    watcher.connect("127.0.0.1", broker.port)
    watcher.subscribe("lpr/1/unit-07/st", 1)
    watcher.loop_start()
    assert ready.wait(PATIENCE_S)
    config = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=broker.port, unit="unit-07", will_delay_s=0)
    link = LinkMqtt(config)
    sink = queue.SimpleQueue()
    link.start(sink.put, subscribe=(), will=Will("lpr/1/unit-07/st", b"gone"))
    assert isinstance(sink.get(timeout=PATIENCE_S), LinkUp)
    link._connection._client.socket().shutdown(2)
    assert heard.get(timeout=PATIENCE_S) == b"gone"
    link.close()
    watcher.disconnect()
    watcher.loop_stop()
    broker.kill()


def test_link_gate_cuts_and_restores():
    """Shut, nothing goes; opened, a fresh link comes up."""
    made = []

    def make():
        made.append(SimRig())
        return made[-1].link

    gate = LinkGate(make)
    sink = queue.SimpleQueue()
    gate.start(sink.put, subscribe=("a",), will=None)
    made[0].link.step()
    assert isinstance(sink.get_nowait(), LinkUp)
    gate.shut()
    assert isinstance(sink.get_nowait(), LinkDown)
    with pytest.raises(LinkDownError):
        gate.publish("a", b"", token=1)
    gate.open()
    made[1].link.step()
    assert isinstance(sink.get_nowait(), LinkUp)
    gate.close()

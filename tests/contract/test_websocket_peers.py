"""MQTT over WebSockets: by TLS and our own certificate to a real mosquitto, and with peers that misbehave."""

from __future__ import annotations

import base64
import hashlib
import queue
import re
import socket
import threading
import tomllib
from contextlib import contextmanager, suppress

import pytest
from pydantic import ValidationError

from hw import websocket
from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from hw.mqtt_client import MAX_FRAME_BYTES
from hw.mqtt_connection import MqttConnection, MqttOptions, TlsFiles
from hw.ports import Acked, LinkUp, Received
from provision.pki import issue, make_authority, revocations, serial_of, write_private
from tests.mosquitto import Mosquitto
from tests.ports import free_port

PATIENCE_S = 30
CONNACK = b"\x20\x03\x00\x00\x00"
"""Of MQTT 5, without properties."""


@contextmanager
def peer(play):
    """A server that plays once; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    closing = threading.Event()

    def run():
        with suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(PATIENCE_S)
                play(sock, closing)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        closing.set()
        listener.close()
        thread.join()


def connection(port, **options):
    asked = MqttOptions("127.0.0.1", port, "unit-07", websocket_path="/lpr", **options)
    return MqttConnection(asked, on_up=lambda *_: None, on_message=lambda _: None)


def request_of(sock):
    found = b""
    while b"\r\n\r\n" not in found and (part := sock.recv(4096)):
        found += part
    return found


def agree(sock):
    """Accept the handshake (RFC 6455, 4.2.2)."""
    request = request_of(sock)
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return request


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK"),
        (b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", "HTTP/1.1 101"),
        (b"sec-websocket-accept\r\n\r\n", "not one of HTTP"),
        (b"sec-websocket-accept: \xff\r\n\r\n", "not one of HTTP"),
        (b"\x20\x02\x00\x00", "no WebSockets at /lpr"),
        (b"", "no WebSockets at /lpr"),
    ],
)
def test_a_peer_that_does_not_agree_is_an_outage_with_the_reason(answer, reason):
    def play(sock, _):
        request_of(sock)
        sock.sendall(answer)

    with peer(play) as port:
        made = connection(port)
        assert not made.open()
        made.close()
    assert reason in made.reason
    assert not made.is_fault


@pytest.mark.parametrize(
    ("first", "again"), [(b"", b""), (b"HTTP/1.1 101 Switching\r\nx: ", b"a")], ids=["nothing", "a byte at a time"]
)
def test_a_handshake_that_never_ends_is_an_outage(first, again):
    """The unit goes on, however the peer drips."""

    def play(sock, closing):
        sock.sendall(first)
        while not closing.wait(0.05):
            sock.sendall(again)

    with peer(play) as port:
        made = connection(port, connect_timeout_s=0.5)
        done = threading.Thread(target=made.open)
        done.start()
        done.join(PATIENCE_S)
        is_held = done.is_alive()
    done.join()
    made.close()
    assert not is_held
    assert made.reason


def test_an_answer_without_an_end_is_an_outage():
    def play(sock, closing):
        while not closing.is_set():
            sock.sendall(b"x" * 4096)

    with peer(play) as port:
        made = connection(port)
        assert not made.open()
        made.close()
    assert f"more than {websocket.MAX_ANSWER_BYTES} bytes" in made.reason


@pytest.mark.slow
def test_a_frame_without_an_end_does_not_fill_the_memory():
    """2^62 bytes, with MQTT packets that are read as they come."""

    def play(sock, closing):
        agree(sock)
        sock.recv(4096)
        sock.sendall(b"\x82\x7f" + (2**62).to_bytes(8, "big") + CONNACK)
        with suppress(OSError):
            while not closing.is_set():
                sock.sendall(b"\xd0\x00" * 4096)

    with peer(play) as port:
        made = connection(port)
        assert made.open()
        assert made.ended.wait(PATIENCE_S)
        made.close()
    assert f"a frame of more than {MAX_FRAME_BYTES} bytes" in made.reason
    assert made.is_fault


def test_the_path_and_the_protocol_are_in_the_request():
    requests = queue.SimpleQueue()
    with peer(lambda sock, _: requests.put(agree(sock))) as port:
        made = connection(port)
        made.open()
        request = requests.get(timeout=PATIENCE_S)
        made.close()
    assert request.startswith(b"GET /lpr HTTP/1.1\r\n")
    assert b"Sec-Websocket-Protocol: mqtt\r\n" in request


class WebBroker(Mosquitto):
    """Mosquitto with WebSockets by TLS, for clients of the fleet alone."""

    def __init__(self, folder):
        self.authority = make_authority(folder / "authority", "tests")
        self.web_port = free_port()
        (folder / "ca.pem").write_bytes(self.authority.pem)
        for name, hosts in (("broker", ("localhost", "127.0.0.1")), ("unit-07", ())):
            key, cert = issue(self.authority, name, hosts=hosts)
            write_private(folder / f"{name}.key", key)
            (folder / f"{name}.pem").write_bytes(cert)
        self.revoked = folder / "crl.pem"
        self.revoked.write_bytes(revocations(self.authority, []))
        super().__init__(
            folder, f"listener {self.web_port} 127.0.0.1", "protocol websockets", "socket_domain ipv4",
            f"cafile {folder / 'ca.pem'}", f"certfile {folder / 'broker.pem'}", f"keyfile {folder / 'broker.key'}",
            "require_certificate true", "use_identity_as_username true", f"crlfile {self.revoked}", "user root",
        )  # fmt: skip


@pytest.fixture
def broker(tmp_path):
    made = WebBroker(tmp_path)
    yield made
    made.kill()


@contextmanager
def link_of_a_unit(broker, folder):
    """A link with the unit's certificate, and its events."""
    broker.start()
    broker.wait_for(broker.web_port)
    config = MqttLinkConfig.model_validate({
        "kind": "mqtt", "host": "localhost", "port": broker.web_port, "unit": "unit-07", "transport": "websockets",
        "tls": {"ca": folder / "ca.pem", "cert": folder / "unit-07.pem", "key": folder / "unit-07.key"},
    })  # fmt: skip
    link, events = LinkMqtt(config), queue.SimpleQueue()
    link.start(events.put, subscribe=("lpr/1/unit-07/up/read",), will=None)
    try:
        yield link, events
    finally:
        link.close()


@pytest.mark.integration
def test_a_unit_is_known_by_its_certificate(broker, tmp_path):
    """As without WebSockets: a message goes out and comes back."""
    with link_of_a_unit(broker, tmp_path) as (link, events):
        assert isinstance(events.get(timeout=PATIENCE_S), LinkUp)
        large = bytes(range(256)) * 256
        link.publish("lpr/1/unit-07/up/read", large, token=1)
        found = [events.get(timeout=PATIENCE_S) for _ in range(2)]
    assert Acked(1) in found
    assert Received("lpr/1/unit-07/up/read", large) in found


@pytest.mark.integration
def test_mosquitto_lets_a_revoked_unit_in(broker, tmp_path):
    """As docs/station.md warns; once this fails, the warning is for older versions alone."""
    broker.revoked.write_bytes(revocations(broker.authority, [serial_of((tmp_path / "unit-07.pem").read_bytes())]))
    with link_of_a_unit(broker, tmp_path) as (_, events):
        assert isinstance(events.get(timeout=PATIENCE_S), LinkUp)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
def test_a_broker_of_another_authority_hears_nothing(broker, tmp_path):
    broker.start()
    broker.wait_for(broker.web_port)
    other = make_authority(tmp_path / "other", "others")
    (tmp_path / "other.pem").write_bytes(other.pem)
    options = MqttOptions(
        "localhost", broker.web_port, "unit-07", tls=TlsFiles(ca=tmp_path / "other.pem"), websocket_path="/mqtt"
    )
    made = MqttConnection(options, on_up=lambda *_: None, on_message=lambda _: None)
    assert not made.open()
    made.close()
    assert "certificate verify failed" in made.reason


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"path": "/x"}, 'path without transport = "websockets"'),
        ({"transport": "websockets", "path": "x"}, "path"),
        ({"transport": "websockets", "path": "/a b"}, "path"),
        ({"transport": "websockets", "path": "/a\r\nx: y"}, "path"),
        ({"transport": "websockets", "host": "broker.example.org"}, "tls is missing"),
    ],
)
def test_a_wrong_address_is_refused_with_its_key(told, said):
    """A plain connection stays on this machine, whatever it is wrapped in."""
    with pytest.raises(ValidationError, match=said):
        MqttLinkConfig.model_validate({"kind": "mqtt", "host": "localhost", "unit": "u", **told})


def test_the_documented_table_is_valid(repo):
    text = (repo / "docs/station.md").read_text(encoding="utf-8")
    told = tomllib.loads(re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1])["hw"]["link"]
    made = MqttLinkConfig.model_validate({**told, "unit": "unit-07", "tls": {}})
    assert (made.transport, made.port) == ("websockets", 443)

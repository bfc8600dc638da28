"""What stands between a unit and its station is met over a real connection, and named in the sentence about it."""

from __future__ import annotations

import datetime as dt
import queue
import socket
import ssl
import threading
from contextlib import suppress

import pytest

from agent.sync.delivery import Signs, why_undelivered
from hw.backoff import Backoff
from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from hw.ports import LinkDown
from provision.pki import CA_CERT, issue, make_authority, write_private
from tests.fake_broker import PATIENCE_S

NOW = dt.datetime.now(dt.UTC)
YEAR = dt.timedelta(days=400)
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n"
HERE = ("localhost",)


def answers(data: bytes):
    """A server that sends this to whatever comes first."""

    def talk(peer) -> None:
        peer.recv(1)
        peer.sendall(data)
        peer.recv(1_000)

    return talk


def waits_for_a_web_browser(peer) -> None:
    asked = b""
    while b"\r\n\r\n" not in asked and (data := peer.recv(1_000)):
        asked += data
    peer.sendall(REDIRECT)


def hangs_up(peer) -> None:
    """At once, whatever was sent."""


def refuses_subscriptions(code: int, *, five: bool):
    def talk(peer) -> None:
        peer.recv(1_000)
        peer.sendall(b"\x20\x03\x00\x00\x00" if five else b"\x20\x02\x00\x00")
        mid = peer.recv(1_000)[2:4]
        body = mid + (b"\x00" if five else b"") + bytes([code])
        peer.sendall(bytes([0x90, len(body)]) + body)
        peer.recv(1_000)

    return talk


class Server:
    """Plays what is at the broker's address, for any number of connections."""

    def __init__(self, talk, context: ssl.SSLContext | None = None) -> None:
        self._talk, self._context = talk, context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer = self._socket.accept()[0]
            except OSError:
                return
            peer.settimeout(PATIENCE_S)
            with suppress(OSError):
                if self._context is not None:
                    peer = self._context.wrap_socket(peer, server_side=True)
                self._talk(peer)
            peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)


def causes(port: int, *, n: int, host: str = "127.0.0.1", **config) -> list[str]:
    """The sentences after each of the first failed connections."""
    events: queue.SimpleQueue = queue.SimpleQueue()
    made = LinkMqtt(
        MqttLinkConfig(kind="mqtt", host=host, port=port, unit="unit-07", **config), backoff=Backoff(0.001, 0.01)
    )
    made.start(events.put, subscribe=("lpr/1/unit-07/dn/receipt",), will=None)
    said = []
    while len(said) < n:
        event = events.get(timeout=PATIENCE_S)
        if isinstance(event, LinkDown):
            said.append(why_undelivered(Signs(is_up=False, down_reason=event.reason, was_fault=event.is_fault)))
    made.close()
    return said


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (answers(REDIRECT), "does not answer in MQTT; it may be a captive portal"),
        (answers(b"HTTP/1.0 400 Bad Request\r\n\r\n"), "does not answer in MQTT; it may be a captive portal"),
        (answers(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not answer in MQTT"),
        (answers(b"220 mail ESMTP\r\n"), "does not answer in MQTT"),
        (hangs_up, "closes the connection at once"),
        (refuses_subscriptions(0x87, five=True), "does not let the unit subscribe to the station's answers"),
        (refuses_subscriptions(0x80, five=True), "does not let the unit subscribe to the station's answers"),
    ],
)
def test_server_that_is_no_broker_or_forbids_answers_is_named(talk, words):
    with Server(talk) as server:
        assert all(words in cause for cause in causes(server.port, n=3))


def test_broker_of_3_1_1_that_forbids_answers_is_named():
    with Server(refuses_subscriptions(0x80, five=False)) as server:
        (cause,) = causes(server.port, n=1, protocol="3.1.1")
    assert "does not let the unit subscribe to the station's answers" in cause


def test_portal_before_a_broker_on_websockets_is_named():
    with Server(waits_for_a_web_browser) as server:
        (cause,) = causes(server.port, n=1, transport="websockets")
    assert "it may be a captive portal" in cause
    assert "302 Found" in cause


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


class Pki:
    """Two authorities, and whatever certificates they issue."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self._known = {name: make_authority(folder / name, name) for name in ("fleet", "other")}
        self.ca = folder / "fleet" / CA_CERT

    def pair(self, name: str, *, of: str = "fleet", hosts=(), at: dt.datetime | None = None):
        """Paths of certificate and key; valid for 100 days from ``at``."""
        key, cert = issue(self._known[of], name, hosts=hosts, days=100, now=at)
        path = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        write_private(path.with_suffix(".key"), key)
        path.with_suffix(".pem").write_bytes(cert)
        return path.with_suffix(".pem"), path.with_suffix(".key")

    def server(self, talk, pair, *, asks: bool = False) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return Server(talk, context)


OUTDATED = "not valid at the time of this unit's clock; check the clock"
ANOTHER = "does not have the broker's certificate; it may be a captive portal or another broker"


@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"hosts": HERE, "at": NOW - YEAR}, OUTDATED),
        ({"hosts": HERE, "at": NOW + YEAR}, OUTDATED),
        ({"hosts": HERE, "of": "other"}, ANOTHER),
        ({"hosts": ("broker.example.org",)}, ANOTHER),
    ],
    ids=["expired", "clock years back", "another authority", "another name"],
)
def test_certificate_of_the_broker_that_is_refused_is_named_with_its_reason(pki, how, words):
    with pki.server(hangs_up, pki.pair("broker", **how)) as server:
        (cause,) = causes(server.port, n=1, host="localhost", tls={"ca": pki.ca})
    assert words in cause


@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "own", [None, {"of": "other"}, {"at": NOW - YEAR}], ids=["none", "another authority", "expired"]
)
def test_certificate_of_the_unit_that_the_broker_refuses_is_named(pki, own):
    """TLS 1.3 tells it after the handshake, and not always before the connection is gone."""
    files = {} if own is None else dict(zip(("cert", "key"), pki.pair("unit-07", **own), strict=True))
    with pki.server(hangs_up, pki.pair("broker", hosts=HERE), asks=True) as server:
        said = causes(server.port, n=3, host="localhost", tls={"ca": pki.ca, **files})
    assert all("unit's certificate" in cause for cause in said)


def test_name_that_is_not_known_is_named(pki):
    (cause,) = causes(8883, n=1, host="no-such-broker.invalid", tls={"ca": pki.ca})
    assert "name of the broker is not known" in cause

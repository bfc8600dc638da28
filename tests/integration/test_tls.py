"""Mutual TLS on the shipped broker: access, permissions, and changes of certificates."""

from __future__ import annotations

import datetime as dt
import queue
import threading

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from hw.backoff import Backoff
from hw.config import MqttLinkConfig, TlsConfig
from hw.link_mqtt import LinkMqtt
from hw.ports import Acked, HwConfigError, LinkDown, LinkUp, Received, Refused
from provision.pki import issue, make_authority, revocations, serial_of, write_private
from station.errors import BrokerError
from station.service import BrokerAddress, StationService
from tests.mosquitto import FleetBroker

pytestmark = [
    pytest.mark.integration,
    # paho drops the socket of a failed handshake without closing it; the garbage collector does at once.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning"),
]
PATIENCE_S = 20


class Rig:
    """The broker, and units on it."""

    def __init__(self, tmp_path, repo, **options) -> None:
        self.folder = tmp_path
        self.broker = FleetBroker(tmp_path, repo, **options)
        self.broker.start()
        self.links: list[LinkMqtt] = []

    def link(self, unit: str, *, cert: str | None = None, subscribe: tuple[str, ...] = ()) -> queue.Queue:
        cert = cert or unit
        home = self.folder / f"keys-{cert}"
        if not (home / f"{cert}.pem").exists():
            self.broker.give(cert, into=home)
        tls = TlsConfig(ca=home / "ca.pem", cert=home / f"{cert}.pem", key=home / f"{cert}.key")
        config = MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=self.broker.port, unit=unit, tls=tls)
        made = LinkMqtt(config, backoff=Backoff(0.05, 0.2))
        self.links.append(made)
        events: queue.Queue = queue.Queue()
        made.start(events.put, subscribe=subscribe, will=None)
        return events

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.broker.kill()


@pytest.fixture
def rig(tmp_path, repo):
    made = Rig(tmp_path, repo)
    yield made
    made.close()


def wait_for(events: queue.Queue, kind: type):
    while True:
        event = events.get(timeout=PATIENCE_S)
        if isinstance(event, kind):
            return event


def test_unit_with_certificate_publishes_and_receives(rig):
    listener = rig.link("station", subscribe=("lpr/1/+/up/read",))
    wait_for(listener, LinkUp)
    unit = rig.link("unit-07", subscribe=("lpr/1/unit-07/dn/receipt",))
    wait_for(unit, LinkUp)
    rig.links[1].publish("lpr/1/unit-07/up/read", b"a read", token=1)
    assert wait_for(listener, Received).payload == b"a read"
    assert wait_for(unit, Acked).token == 1
    rig.links[0].publish("lpr/1/unit-07/dn/receipt", b"a receipt", token=2)
    assert wait_for(unit, Received).payload == b"a receipt"


def test_unit_cannot_publish_or_subscribe_as_another(rig):
    """The broker accepts a forbidden subscription, but nothing is delivered."""
    station = rig.link("station", subscribe=("lpr/1/+/up/read",))
    wait_for(station, LinkUp)
    thief = rig.link("unit-08", subscribe=("lpr/1/+/dn/receipt", "lpr/1/+/up/#"))
    wait_for(thief, LinkUp)
    owner = rig.link("unit-07", subscribe=("lpr/1/unit-07/dn/receipt",))
    wait_for(owner, LinkUp)
    rig.links[1].publish("lpr/1/unit-07/up/read", b"forged", token=1)
    assert wait_for(thief, Refused).code == 0x87
    rig.links[2].publish("lpr/1/unit-07/up/read", b"own", token=2)
    assert wait_for(station, Received).payload == b"own"
    rig.links[0].publish("lpr/1/unit-07/dn/receipt", b"for 07", token=3)
    assert wait_for(owner, Received).payload == b"for 07"
    # A message that the thief may hear comes after the two that it may not.
    rig.links[0].publish("lpr/1/unit-08/dn/receipt", b"for 08", token=4)
    assert wait_for(thief, Received).payload == b"for 08"


def test_broker_refuses_clients_without_certificate(rig):
    plain = Client(CallbackAPIVersion.VERSION2)
    heard = threading.Event()
    plain.on_connect = lambda *_: heard.set()
    plain.connect("127.0.0.1", rig.broker.port)
    plain.loop_start()
    assert not heard.wait(1.0)
    plain.loop_stop()
    home = rig.folder / "nobody"
    home.mkdir()
    (home / "ca.pem").write_bytes(rig.broker.authority.pem)
    config = MqttLinkConfig(
        kind="mqtt", host="127.0.0.1", port=rig.broker.port, unit="x", tls=TlsConfig(ca=home / "ca.pem")
    )
    anonymous = LinkMqtt(config, backoff=Backoff(0.05, 0.1))
    events: queue.Queue = queue.Queue()
    anonymous.start(events.put, subscribe=(), will=None)
    assert isinstance(events.get(timeout=PATIENCE_S), LinkDown)
    anonymous.close()


def test_broker_of_another_authority_is_refused(rig):
    other = make_authority(rig.folder / "other", "Somebody else")
    home = rig.folder / "keys-unit-07"
    rig.broker.give("unit-07", into=home)
    (home / "ca.pem").write_bytes(other.pem)
    events = rig.link("unit-07")
    assert "certificate verify failed" in wait_for(events, LinkDown).reason.lower()


def test_renewed_certificate_is_used_without_a_restart(rig):
    """The agent is not restarted: the file is replaced, and the next connection uses it."""
    home = rig.folder / "keys-unit-07"
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=30)
    rig.broker.give("unit-07", into=home, days=1, now=past)
    events = rig.link("unit-07")
    wait_for(events, LinkDown)
    (home / "unit-07.pem").write_bytes(b"half a certificate, in the middle of the renewal")
    assert "certificates cannot be used" in wait_until(events, "certificates").reason
    rig.broker.give("unit-07", into=home)
    wait_for(events, LinkUp)


def wait_until(events: queue.Queue, words: str) -> LinkDown:
    while words not in (event := wait_for(events, LinkDown)).reason:
        pass
    return event


def test_revoked_certificate_is_refused(rig):
    events = rig.link("unit-07")
    wait_for(events, LinkUp)
    cert = (rig.folder / "keys-unit-07" / "unit-07.pem").read_bytes()
    (rig.broker.home / "crl.pem").write_bytes(revocations(rig.broker.authority, [serial_of(cert)]))
    rig.broker.kill()
    wait_for(events, LinkDown)
    rig.links[0].close()
    rig.broker.start()
    # A link that meets the broker only now: another may still report that there was none.
    event = rig.link("unit-07").get(timeout=PATIENCE_S)
    assert isinstance(event, LinkDown), "a revoked unit came in"
    fresh = rig.link("unit-09")
    wait_for(fresh, LinkUp)


def connect_as(rig, client_id: str, *, cert: str, port: int | None = None) -> tuple[Client, threading.Event]:
    """A client of any client id with a certificate; the event is set while it is connected."""
    home = rig.folder / f"keys-{cert}"
    if not (home / f"{cert}.pem").exists():
        rig.broker.give(cert, into=home)
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
    client.tls_set(str(home / "ca.pem"), str(home / f"{cert}.pem"), str(home / f"{cert}.key"))
    up = threading.Event()
    client.on_connect = lambda *_: up.set()
    client.on_disconnect = lambda *_: up.clear()
    client.connect("127.0.0.1", port or rig.broker.port)
    client.loop_start()
    assert up.wait(PATIENCE_S)
    return client, up


def leave(client: Client) -> None:
    client.disconnect()
    client.loop_stop()


def test_stolen_card_cannot_take_the_client_id_of_another_unit(rig):
    """The broker takes the client id from the certificate, whatever a client calls itself."""
    owner = rig.link("unit-07", subscribe=("lpr/1/unit-07/dn/receipt",))
    wait_for(owner, LinkUp)
    station = rig.link("station")
    wait_for(station, LinkUp)
    thief, is_up = connect_as(rig, "unit-07", cert="unit-08")
    rig.links[1].publish("lpr/1/unit-07/dn/receipt", b"a receipt", token=1)
    # The next event after the thief came is the receipt, not the loss of the connection.
    assert owner.get(timeout=PATIENCE_S).payload == b"a receipt"
    assert is_up.is_set()
    leave(thief)


def test_stolen_card_cannot_take_the_client_id_of_the_station(rig):
    station = rig.link("station", subscribe=("lpr/1/+/up/read",))
    wait_for(station, LinkUp)
    unit = rig.link("unit-07")
    wait_for(unit, LinkUp)
    thief, is_up = connect_as(rig, "station", cert="unit-08")
    rig.links[1].publish("lpr/1/unit-07/up/read", b"a read", token=1)
    assert station.get(timeout=PATIENCE_S).payload == b"a read"
    assert is_up.is_set()
    leave(thief)


def test_workers_of_one_certificate_have_client_ids_of_their_own(tmp_path, repo):
    rig = Rig(tmp_path, repo, has_workers=True)
    try:
        both = [connect_as(rig, f"station-{n}", cert="station", port=rig.broker.workers_port) for n in (1, 2)]
        assert all(up.is_set() for _, up in both)
        for client, _ in both:
            leave(client)
    finally:
        rig.close()


def test_revocation_ends_an_open_connection_after_the_documented_restart(rig):
    """A reload leaves it open, which is why provision/broker/patrol-lpr-crl.service restarts the broker."""
    events, other = rig.link("unit-07"), rig.link("unit-09")
    wait_for(events, LinkUp)
    wait_for(other, LinkUp)
    cert = (rig.folder / "keys-unit-07" / "unit-07.pem").read_bytes()
    (rig.broker.home / "crl.pem").write_bytes(revocations(rig.broker.authority, [serial_of(cert)]))
    rig.broker.reload()
    rig.links[0].publish("lpr/1/unit-07/up/read", b"still", token=1)
    assert wait_for(events, Acked).token == 1
    rig.broker.kill()
    rig.broker.start()
    wait_for(other, LinkDown)
    wait_for(other, LinkUp)
    assert isinstance(wait_for(events, LinkDown), LinkDown)
    # What the other unit could send meanwhile comes through; the revoked one does not come in again.
    rig.links[1].publish("lpr/1/unit-09/up/read", b"after", token=2)
    assert wait_for(other, Acked).token == 2
    assert not any(isinstance(event, LinkUp) for event in list(events.queue))


def test_missing_certificate_is_an_error_at_the_start(tmp_path):
    tls = TlsConfig(ca=tmp_path / "absent.pem")
    with pytest.raises(HwConfigError, match="certificates cannot be used"):
        LinkMqtt(MqttLinkConfig(kind="mqtt", host="127.0.0.1", unit="u", tls=tls))


def test_plain_tcp_is_for_localhost_only():
    with pytest.raises(ValueError, match="tls is missing"):
        MqttLinkConfig(kind="mqtt", host="mqtt.example.org", unit="u")
    with pytest.raises(BrokerError, match="another machine"):
        StationService(BrokerAddress("mqtt.example.org"), None, station="s").start()


def test_key_that_does_not_match_its_certificate_is_an_error(tmp_path):
    authority = make_authority(tmp_path / "ca", "fleet")
    (key, _), (_, cert) = issue(authority, "a"), issue(authority, "b")
    write_private(tmp_path / "a.key", key)
    (tmp_path / "b.pem").write_bytes(cert)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tls = TlsConfig(ca=tmp_path / "ca.pem", cert=tmp_path / "b.pem", key=tmp_path / "a.key")
    with pytest.raises(HwConfigError):
        LinkMqtt(MqttLinkConfig(kind="mqtt", host="127.0.0.1", unit="u", tls=tls))

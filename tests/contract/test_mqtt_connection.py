"""One connection to a broker, with what the unit asks for and with what the station asks for."""

from __future__ import annotations

import queue
from contextlib import contextmanager

import pytest

from hw.mqtt_connection import MqttConnection, MqttMessage, MqttOptions, TlsFiles, tls_context
from hw.ports import HwConfigError, LinkDownError
from tests.fake_broker import PATIENCE_S, TOPIC, Broker, packet, text

FILTER = TOPIC.decode()


@pytest.fixture(params=[True, False], ids=["5", "3.1.1"])
def broker(request):
    with Broker(five=request.param) as made:
        yield made


@contextmanager
def connected(broker, *, forget_session=False, **options):
    """An open connection with its events in a queue, and the broker's side of it."""
    events = queue.SimpleQueue()
    asked = MqttOptions("127.0.0.1", broker.port, "unit-07", **{
        "is_mqtt5": broker.five, "subscriptions": (FILTER,), **options
    })  # fmt: skip
    connection = MqttConnection(
        asked,
        on_up=lambda *limits: events.put(limits),
        on_message=events.put,
        on_acked=lambda mid, code: events.put((mid, code.value)),
        forget_session=forget_session,
    )
    assert connection.open()
    try:
        yield connection, broker.welcome(), events
    finally:
        connection.close()


def test_it_is_up_once_subscribed_and_messages_go_both_ways(broker):
    with connected(broker) as (connection, peer, events):
        assert events.get(timeout=PATIENCE_S) == (256, None)
        connection.wait_until_up()
        assert connection.is_up
        peer.send(broker.publish(TOPIC, b"hello"))
        assert events.get(timeout=PATIENCE_S) == MqttMessage(FILTER, b"hello", 0, 0)
        mid = connection.publish("up", b"read")
        _, body = peer.read()
        assert body[:4] == text(b"up")
        peer.send(packet(0x40, mid.to_bytes(2, "big")))
        assert events.get(timeout=PATIENCE_S) == (mid, 0)


def test_with_manual_ack_the_broker_hears_of_a_message_only_when_it_is_safe(broker):
    with connected(broker, manual_ack=True) as (connection, peer, events):
        events.get(timeout=PATIENCE_S)
        peer.send(broker.publish(TOPIC, b"read", mid=7))
        message = events.get(timeout=PATIENCE_S)
        connection.publish("up", b"in between")
        assert peer.read()[0] == 0x32, "our own message comes first: nothing was acknowledged before"
        connection.ack(message)
        head, body = peer.read()
        assert (head, body[:2]) == (0x40, b"\x00\x07")


def test_without_it_a_message_is_acknowledged_when_it_was_handed_on(broker):
    with connected(broker) as (_, peer, events):
        events.get(timeout=PATIENCE_S)
        peer.send(broker.publish(TOPIC, b"receipt", mid=7))
        head, body = peer.read()
        assert (head, body[:2]) == (0x40, b"\x00\x07")


@pytest.mark.parametrize(
    ("five", "keeps_session", "forget_session", "is_clean"),
    [
        (True, True, False, False),
        (True, True, True, True),
        (True, False, False, False),  # MQTT 5 has the session's expiry for that
        (False, True, False, False),
        (False, True, True, True),
        (False, False, False, True),
    ],
)
def test_the_session_is_asked_for_or_forgotten(five, keeps_session, forget_session, is_clean):
    with (
        Broker(five=five) as broker,
        connected(broker, keeps_session=keeps_session, forget_session=forget_session) as (_, peer, _),
    ):
        assert peer.is_clean == is_clean


def test_mqtt_5_carries_expiry_and_receive_maximum():
    with Broker() as broker, connected(broker, session_expiry_s=86_400, receive_maximum=64) as (_, peer, _):
        properties = peer.connect[11 : 11 + peer.connect[10]]
        assert b"\x11" + (86_400).to_bytes(4, "big") in properties
        assert b"\x21" + (64).to_bytes(2, "big") in properties


def test_the_first_reason_counts_and_nothing_is_sent_afterwards(broker):
    with connected(broker) as (connection, peer, events):
        events.get(timeout=PATIENCE_S)
        peer.end()
        assert connection.ended.wait(PATIENCE_S)
        with pytest.raises(LinkDownError):
            connection.publish("up", b"too late")
    assert connection.reason.startswith("connection lost")
    assert (connection.was_up, connection.is_up, connection.is_fault) == (True, False, False)


def test_end_sends_one_disconnect_packet(broker):
    with connected(broker) as (connection, peer, events):
        events.get(timeout=PATIENCE_S)
        connection.end()
        connection.end()
        assert connection.ended.is_set()
        assert peer.read()[0] == 0xE0
        with pytest.raises(EOFError):
            peer.read()
    assert connection.reason == "closed"


def test_a_broker_that_is_not_there_is_named():
    with Broker() as broker:
        port = broker.port
    connection = MqttConnection(
        MqttOptions("127.0.0.1", port, "unit-07"), on_up=lambda *_: None, on_message=lambda _: None
    )
    assert not connection.open()
    assert connection.reason.startswith(f"127.0.0.1:{port}: ")
    connection.close()


def test_certificates_that_cannot_be_used_are_said_before_anything_is_sent(tmp_path):
    with pytest.raises(HwConfigError, match="certificates cannot be used"):
        tls_context(TlsFiles(ca=tmp_path / "absent.pem"))

"""Why nothing is receipted: each cause has its sentence, first from signs, then from an uplink that meets it."""

from __future__ import annotations

import pytest

from agent.sync.delivery import Delivery, Signs, why_undelivered
from hw.ports import Acked, LinkDown, LinkUp, Refused
from protocol.errors import WireError
from protocol.wire.enums import NackCode
from tests.unit.sync.test_uplink import READ_TOPIC, Rig, S, nack


def down(reason, **more):
    return Signs(is_up=False, down_reason=reason, **more)


CAUSES = {
    "no link": (Signs(is_up=False), "no broker is configured"),
    "no network": (
        down("host:8883: [Errno 101] Network is unreachable"),
        "no connection to the broker: host:8883",
    ),
    "portal, TLS": (down("h:8883: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "captive portal"),
    "portal, HTTP": (
        down("connection lost", was_fault=True),
        "does not answer in MQTT; it may be a captive portal",
    ),
    "expired": (down("h:8883: [SSL] certificate verify failed: certificate has expired"), "check the clock"),
    "clock years back": (down("h: certificate verify failed: certificate is not yet valid"), "check the clock"),
    "own certificate": (
        down("connection lost: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"),
        "does not accept this unit's certificate",
    ),
    "subscription": (
        down("subscription refused: Not authorized"),
        "does not let the unit subscribe to the station's answers",
    ),
    "no such name": (down("h:8883: [Errno -2] Name or service not known"), "name of the broker is not known"),
    "hangs up": (
        down("connection lost: the server closed it without an answer"),
        "closes the connection at once",
    ),
    "fault of a broker": (down("lost", was_fault=True, has_been_up=True), "no connection to the broker: lost"),
    "no retain": (down("refused by the broker: Retain not supported"), "keeps no retained messages"),
    "no qos": (down("refused by the broker: QoS not supported"), "acknowledges no messages"),
    "busy": (down("refused by the broker: Server busy"), "takes no more connections"),
    "bad id": (down("refused by the broker: Client identifier not valid"), "this unit's id as client id"),
    "no entry": (down("refused by the broker: Not authorized"), "not authorised at the broker"),
    "ends connections": (
        down("connection lost", held=2, has_been_up=True),
        "it receives 2 of the records",
    ),
    "keys": (Signs(is_up=True, forged=3, acked=9), "not signed with a key that this unit knows"),
    "access list": (Signs(is_up=True, refusal_code=0x87), "does not authorise the unit to publish"),
    "too large, refused": (
        Signs(is_up=True, refusal_code=0x95, held=4),
        "4 records are larger",
    ),
    "too large, stated": (Signs(is_up=True, too_large=5), "5 records are larger than the broker accepts"),
    "refuses": (
        Signs(is_up=True, refusal_code=0x97, refusal="Quota exceeded"),
        "the broker refuses the records: Quota exceeded",
    ),
    "station refuses": (Signs(is_up=True, nack="storage", acked=1), "the station refuses the records: storage"),
    "no station": (Signs(is_up=True, acked=1), "no station confirms them"),
    "mute": (Signs(is_up=True), "the broker does not acknowledge the records"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause_has_its_sentence(name):
    signs, sentence = CAUSES[name]
    assert sentence in why_undelivered(signs)


def test_the_sentence_tells_minutes_and_cause():
    assert Delivery(754, "it rains").sentence == "nothing receipted for 12 minutes, because it rains"
    assert Delivery().sentence == ""


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path)
    yield made
    made.close()


def answer_all(rig, how):
    """Six minutes in which every record meets the same."""
    for _ in range(36):
        for sent in rig.pump():
            if sent[0] == READ_TOPIC:
                how(sent)
            else:
                rig.ack([sent])
        rig.now += 10 * S
    rig.pump()
    return rig.uplink.delivery


class Unsigned:
    def check(self, payload):
        raise WireError("no key has signed this")


def test_nothing_waits(tmp_path):
    rig = Rig(tmp_path, reads=0)
    rig.up()
    assert answer_all(rig, lambda _: None) == Delivery()
    rig.close()


def test_no_station(rig):
    rig.up()
    delivery = answer_all(rig, lambda sent: rig.ack([sent]))
    assert delivery.undelivered_s == 360
    assert delivery.sentence.startswith(
        "nothing receipted for 6 minutes, because the broker accepts the records, but no"
    )


@pytest.mark.parametrize(("code", "words"), [(0x87, "authorise"), (0x95, "larger than"), (0x97, "records: no")])
def test_refused_by_the_broker(rig, code, words):
    rig.up()
    assert words in answer_all(rig, lambda sent: rig.uplink.handle(Refused(sent[2], code, "no"), rig.now)).cause


def test_larger_than_the_broker_takes(rig):
    rig.uplink.handle(LinkUp(16, 100), rig.now)
    assert "5 records are larger than the broker accepts" in answer_all(rig, lambda _: None).cause


def test_keys_unknown(rig):
    rig.uplink._verifier = Unsigned()
    rig.up()

    def signed_by_another(sent):
        rig.ack([sent])
        rig.receipt([sent])

    assert "seal.receipt_key" in answer_all(rig, signed_by_another).cause


def test_the_station_refuses_for_now(rig):
    rig.up()

    def full(sent):
        rig.uplink.handle(Acked(sent[2]), rig.now)
        rig.receive(nack(sent[1], NackCode.STORAGE, retry=True))

    assert "the station refuses the records: storage" in answer_all(rig, full).cause


def test_no_connection_is_told_although_nothing_is_sent(rig):
    rig.uplink.handle(LinkDown("no route to host"), rig.now)
    delivery = answer_all(rig, lambda _: None)
    assert (delivery.undelivered_s, "no route to host" in delivery.cause) == (360, True)


def test_a_receipt_ends_it_and_the_next_wait_counts_from_there(rig):
    rig.up()
    answer_all(rig, lambda sent: rig.ack([sent]))
    rig.now += 300 * S
    sent = rig.pump()
    rig.receipt(sent[:1])
    rig.apply()
    rig.pump()
    assert rig.uplink.delivery.undelivered_s == 0
    rig.now += 7 * S
    rig.pump()
    assert rig.uplink.delivery.undelivered_s == 7

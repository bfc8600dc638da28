"""The station's turn on a broker: stored first, then acknowledged and receipted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from hw.mqtt_connection import MqttMessage
from station.errors import StoreError
from station.service import BrokerAddress, StationService, _Arrivals


class Turn:
    """Ingest and connection in one, which note what is called."""

    def __init__(self, *, fails: bool = False) -> None:
        self.calls: list[str] = []
        self.counts = SimpleNamespace(storage_failures=0, commits=0)
        self.conflicting: set[str] = set()
        self.last_failure = "disk"
        self.fails = fails

    def take(self, topic, payload):
        self.calls.append(f"take {payload.decode()}")

    def commit(self):
        self.calls.append("commit")
        self.counts.storage_failures += self.fails
        self.counts.commits += not self.fails
        return [("lpr/1/unit-07/dn/receipt", b"answer")]

    def offers(self):
        if self.fails:
            raise StoreError("the database is away")
        return []

    def ack(self, message):
        self.calls.append(f"ack {message.payload.decode()}")

    def publish(self, topic, payload, *, retain=False):
        self.calls.append("answer")


@pytest.mark.parametrize("fails", [False, True])
def test_the_broker_keeps_messages_until_they_are_stored(fails):
    """A station that is killed before its commit gets them again; after a failed commit the units send again."""
    turn = Turn(fails=fails)
    service = StationService(BrokerAddress("127.0.0.1"), turn, station="s")
    service._take(turn, [MqttMessage("t", payload, 1, 1) for payload in (b"a", b"b")])
    assert turn.calls == ["take a", "take b", "commit", "ack a", "ack b", "answer"]


def test_an_outage_of_the_database_is_logged_once_with_its_count_at_the_end():
    """A log that grows by a line every two seconds hides what else happens, and fills the disk."""
    turn = Turn(fails=True)
    service = StationService(BrokerAddress("127.0.0.1"), turn, station="s")
    with capture_logs() as logs:
        for n in range(50):
            service._take(turn, [MqttMessage("t", b"a", n, 1), MqttMessage("t", b"b", n, 1)])
            service._offer(turn, {})
        turn.fails = False
        service._take(turn, [MqttMessage("t", b"a", 1, 1)])
        service._offer(turn, {})
    assert [entry["event"] for entry in logs] == [
        "storage_failed",
        "offers_unreadable",
        "storage_works_again",
        "offers_readable_again",
    ]
    assert [(e["failures"], e["messages"]) for e in logs[2:]] == [(50, 100), (50, 0)]
    with capture_logs() as logs:
        turn.fails = True
        service._take(turn, [MqttMessage("t", b"a", 1, 1)])
    assert [entry["event"] for entry in logs] == ["storage_failed"]


def test_two_units_with_one_name_are_logged_once():
    turn = Turn()
    service = StationService(BrokerAddress("127.0.0.1"), turn, station="s")
    with capture_logs() as logs:
        for _ in range(3):
            turn.conflicting.add("unit-07")
            service._take(turn, [MqttMessage("t", b"a", 1, 1)])
    assert [(entry["event"], entry["unit"]) for entry in logs] == [("two_units_with_one_name", "unit-07")]


def test_what_waits_for_the_disk_is_bounded():
    """A broker that ignores the window: what is above the limits is neither kept nor acknowledged, and counted."""
    arrivals = _Arrivals()
    for number in range(100):
        arrivals.add(MqttMessage("t", bytes(2**20), number, 1))
    assert arrivals.overrun == 84
    assert len(arrivals.next_group(100, 0.0)) == 16
    arrivals.add(MqttMessage("t", bytes(2**20), 1, 1))
    assert arrivals.overrun == 84
    for number in range(5_000):
        arrivals.add(MqttMessage("t", b"", number, 1))
    assert len(arrivals.next_group(10_000, 0.0)) == 2048

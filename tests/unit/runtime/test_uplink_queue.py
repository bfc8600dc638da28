"""The uplink's queue: what a broker can put into it is bounded, and what the link itself says is never lost."""

from __future__ import annotations

import threading

from agent.runtime.queues import UplinkQueue
from hw.ports import Acked, LinkDown, LinkUp, Received

LARGE = Received("lpr/1/unit-07/dn/receipt", bytes(65_536))
SMALL = Received("lpr/1/unit-07/dn/receipt", b"")


def test_a_flood_of_large_messages_is_bounded_in_bytes():
    uplink_queue = UplinkQueue(patience_s=0)
    for _ in range(1000):
        uplink_queue.event(LARGE)
    kept = drain(uplink_queue)
    assert sum(len(event.payload) for event in kept) <= 8 * 2**20
    assert uplink_queue.dropped == 1000 - len(kept)


def test_a_flood_of_small_messages_is_bounded_in_number():
    uplink_queue = UplinkQueue(patience_s=0)
    for _ in range(5000):
        uplink_queue.event(SMALL)
    assert len(drain(uplink_queue)) == 1024


def test_what_the_link_says_is_kept_in_a_flood():
    uplink_queue = UplinkQueue(max_messages=2, patience_s=0)
    for event in (LinkUp(1), SMALL, SMALL, SMALL, Acked(1), LinkDown("lost")):
        uplink_queue.event(event)
    uplink_queue.health(b"health")
    assert drain(uplink_queue) == [LinkUp(1), SMALL, SMALL, Acked(1), LinkDown("lost"), ("health", b"health")]


def test_the_uplink_gets_no_more_at_a_time_than_lets_it_beat():
    uplink_queue = UplinkQueue()
    for _ in range(500):
        uplink_queue.event(SMALL)
    assert len(uplink_queue.take()) == 64


def test_a_sender_that_waits_goes_on_when_there_is_room_or_nobody_takes_any_more():
    for finish in (UplinkQueue.take, UplinkQueue.close):
        uplink_queue = UplinkQueue(max_messages=1, patience_s=60)
        uplink_queue.event(SMALL)
        sender = threading.Thread(target=uplink_queue.event, args=(SMALL,))
        sender.start()
        finish(uplink_queue)
        sender.join(30)
        assert not sender.is_alive()
        assert uplink_queue.dropped == 0


def test_room_is_given_back():
    uplink_queue = UplinkQueue(max_messages=3, patience_s=0)
    for _ in range(10):
        for _ in range(3):
            uplink_queue.event(LARGE)
        assert len(uplink_queue.take()) == 3
    assert uplink_queue.dropped == 0


def drain(uplink_queue):
    kept = []
    while came := uplink_queue.take():
        kept += came
    return kept

"""The commit thread's queue: cameras wait for a slow disk, the uplink never does, and nothing grows without bound."""

from __future__ import annotations

import threading

from agent.buffer import Receipted
from agent.runtime.queues import ReadQueue, UplinkQueue
from agent.runtime.uplink import uplink_loop
from hw.clock import SimClock
from hw.ports import Received


class Beats:
    """A worker that counts; ``after`` the given number of beats the event is set."""

    def __init__(self, rounds: int = 0) -> None:
        self.beats, self.pauses, self._rounds = 0, 0, rounds
        self.beaten = threading.Event()

    @property
    def stopping(self) -> bool:
        return self.beats >= self._rounds

    def beat(self) -> None:
        self.beats += 1
        self.beaten.set()

    def pause(self, _: float) -> None:
        self.pauses += 1


def test_commands_never_wait_for_the_commit_thread():
    """Nobody takes anything: as with a commit thread that hangs in a write."""
    reads = ReadQueue(limit=1)
    reads.put("track", Beats())
    for number in range(20_000):
        reads.add_command(number)
    assert not reads.takes_commands
    taken = []
    while not reads.empty:
        some = reads.take()
        taken += some
        reads.done(len(some))
    assert taken == ["track", *range(20_000)]
    assert (reads.takes_commands, reads.all_done, reads.waits) == (True, True, 0)


def test_what_a_receipt_names_is_bounded():
    """256 names take some 50 KB: a thousand receipts would be large."""
    reads = ReadQueue()
    receipt = Receipted(tuple((seq, seq.to_bytes(16, "big")) for seq in range(256)))
    count = 0
    while reads.takes_commands:
        reads.add_command(receipt)
        count += 1
    assert count == 64
    assert len(reads.take()) == 64
    assert reads.takes_commands


def test_a_camera_waits_with_heartbeats_until_there_is_room():
    reads, worker = ReadQueue(limit=1), Beats()
    reads.put("first", worker)
    waiting = threading.Thread(target=reads.put, args=("second", worker))
    waiting.start()
    assert worker.beaten.wait(30)
    reads.add_command("receipt")
    assert reads.take() == ["first", "receipt"]
    waiting.join(30)
    assert (reads.take(), reads.waits) == (["second"], 1)


class Station:
    """An uplink that turns every message into a command."""

    def __init__(self, commands) -> None:
        self._commands, self.handled = commands, 0

    def handle(self, event, _: int) -> None:
        self.handled += 1
        self._commands(event)

    def pump(self, _: int) -> None:
        return


def test_the_uplink_beats_and_takes_no_more_while_the_commit_thread_hangs():
    """A broker that repeats receipts: bounded at the commit thread's queue, then at the uplink's own."""
    reads, events = ReadQueue(max_named=100), UplinkQueue(max_messages=200, patience_s=0)
    for _ in range(1_000):
        events.event(Received("lpr/1/unit-07/dn/receipt", b""))
    uplink, worker = Station(reads.add_command), Beats(rounds=50)
    uplink_loop(uplink, events, SimClock(), on_link=lambda *_: None, may_take=lambda: reads.takes_commands)(worker)
    assert worker.beats == 50
    assert worker.pauses > 0
    assert (uplink.handled, events.dropped) == (128, 800)
    while not reads.empty:
        reads.take()
    again = Beats(rounds=3)
    uplink_loop(uplink, events, SimClock(), on_link=lambda *_: None, may_take=lambda: reads.takes_commands)(again)
    assert (uplink.handled, again.pauses) == (200, 0)

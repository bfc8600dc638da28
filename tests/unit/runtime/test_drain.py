"""The end of a finite source: nothing that waits is left because of the moment at which somebody looked."""

from __future__ import annotations

from types import SimpleNamespace

from agent.runtime.drain import Drain
from agent.runtime.queues import ReadQueue
from hw.clock import SimClock


def test_a_message_counts_until_it_is_dealt_with():
    """Between the queue and the disk it is in neither."""
    reads = ReadQueue()
    assert reads.all_done
    reads.add_command("message")
    assert not reads.all_done
    taken = reads.take()
    assert reads.empty
    assert not reads.all_done
    reads.done(len(taken))
    assert reads.all_done


class Commit:
    """A read on its way to the disk: it gets there right after the first question, and is sent after some rounds."""

    def __init__(self):
        self.pending, self.reads, self.asked = True, 0, []

    @property
    def has_pending(self):
        self.asked.append("pending")
        was = self.pending
        self.arrive()
        return was

    def stats_at_end(self):
        self.asked.append("stats")
        found = SimpleNamespace(reads=self.reads, others=0, plates=0, overviews=0)
        self.arrive()
        return found

    def arrive(self):
        if self.pending:
            self.pending, self.reads = False, 1


def test_the_drain_waits_for_a_read_that_reaches_the_disk_between_two_questions():
    clock, commit, rounds = SimClock(utc_ns=0), Commit(), []

    def wait(seconds):
        clock.advance_to(clock.mono_ns() + round(seconds * 1e9))

    def on_round():
        rounds.append(1)
        if len(rounds) == 5:
            commit.reads = 0

    supervisor = SimpleNamespace(failure=None, wait=wait)
    drain = Drain(commit, SimpleNamespace(is_up=False), None, supervisor, clock, pictures=False)
    drain.allow(3.0, on_round)
    drain.stop()
    assert len(rounds) == 5

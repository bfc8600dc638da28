"""Threads start, are watched, and end in order; a failure ends the process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from agent.runtime.supervisor import Supervisor, ThreadStuckError, WorkerContext

if TYPE_CHECKING:
    from collections.abc import Callable


class HandClock:
    """A clock that the test moves."""

    boot_id = bytes(16)

    def __init__(self) -> None:
        self.now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns

    def utc_ns(self) -> int:
        return self.now_ns

    def synchronised(self) -> bool:
        return False


def until_stopped(worker: WorkerContext) -> None:
    worker.pause(60)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def supervisor(clock: HandClock) -> Supervisor:
    return Supervisor(clock)


def test_a_loop_runs_until_it_is_asked_to_end(supervisor: Supervisor) -> None:
    """Stop asks first and joins then; afterwards the name is free again."""
    supervisor.spawn("gnss", until_stopped)

    assert supervisor.alive("gnss")
    supervisor.stop("gnss", timeout_s=10)

    assert not supervisor.alive("gnss")
    assert supervisor.failure is None


def test_unhandled_exception_wakes_the_main_thread(supervisor: Supervisor) -> None:
    """The main thread learns of it at once and ends the process."""

    def fails(_: WorkerContext) -> None:
        raise RuntimeError("broken")

    supervisor.spawn("vision", fails)
    supervisor.wait(60)

    assert repr(supervisor.failure) == "RuntimeError('broken')"


def test_loop_without_heartbeat_is_overdue(supervisor: Supervisor, clock: HandClock) -> None:
    """The watchdog is not fed while a thread with a deadline is late; others may be silent for ever."""
    supervisor.spawn("vision", until_stopped, deadline_s=5)
    supervisor.spawn("gnss", until_stopped)

    clock.now_ns = 7_000_000_000

    assert supervisor.overdue() == {"vision": pytest.approx(2.0)}
    supervisor.stop("vision", "gnss", timeout_s=10)


def test_heartbeat_restarts_the_deadline(supervisor: Supervisor, clock: HandClock) -> None:
    """What beats in time is never late."""
    beaten = threading.Event()
    go = threading.Event()

    def beats(worker: WorkerContext) -> None:
        go.wait(60)
        worker.beat()
        beaten.set()
        worker.pause(60)

    supervisor.spawn("commit", beats, deadline_s=5)
    clock.now_ns = 7_000_000_000
    go.set()
    beaten.wait(60)

    assert supervisor.overdue() == {}
    supervisor.stop("commit", timeout_s=10)


def test_stuck_thread_is_named(supervisor: Supervisor) -> None:
    """A library call that hangs is reported, and does not keep the process running."""
    inside, release = threading.Event(), threading.Event()

    def hang(_: WorkerContext) -> None:
        inside.set()
        release.wait(60)

    supervisor.spawn("camera", hang)
    inside.wait(60)
    with pytest.raises(ThreadStuckError, match=r"camera \(.*test_supervisor\.py:\d+ hang"):
        supervisor.stop("camera", timeout_s=0)
    release.set()


def test_two_threads_cannot_share_a_name(supervisor: Supervisor) -> None:
    """A second one would be watched by nobody."""
    supervisor.spawn("uplink", until_stopped)

    with pytest.raises(ValueError, match="uplink"):
        supervisor.spawn("uplink", until_stopped)
    supervisor.stop("uplink", timeout_s=10)


def test_all_loops_are_asked_to_stop_before_any_is_joined(supervisor: Supervisor) -> None:
    """A loop that waits for another loop's end does not hold up the stop."""
    first_asked = threading.Event()
    second_asked = threading.Event()

    def waits_for(mine: threading.Event, other: threading.Event) -> Callable[[WorkerContext], None]:
        def loop(worker: WorkerContext) -> None:
            worker.pause(60)
            mine.set()
            other.wait(60)

        return loop

    supervisor.spawn("a", waits_for(first_asked, second_asked))
    supervisor.spawn("b", waits_for(second_asked, first_asked))
    supervisor.stop("a", "b", timeout_s=20)

    assert not supervisor.alive("a")
    assert not supervisor.alive("b")


def test_threads_have_their_time_to_end_under_a_clock_that_runs_faster() -> None:
    """A simulated clock says nothing of how long a thread of this computer takes."""

    class Fast(HandClock):
        def mono_ns(self) -> int:
            self.now_ns += 3_600_000_000_000
            return self.now_ns

    ended = threading.Event()

    def slow(worker: WorkerContext) -> None:
        worker.pause(60)
        ended.wait(0.2)

    supervisor = Supervisor(Fast())
    supervisor.spawn("vision", slow)
    supervisor.stop("vision", timeout_s=30)

    assert not supervisor.alive("vision")

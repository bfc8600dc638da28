"""Starts, monitors and stops threads.  The only place that starts one.

Every loop gets a :class:`WorkerContext`, for heartbeats and the request to stop.  An exception that a loop does not
handle ends the whole process, which systemd restarts.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.errors import FatalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)
_NS_PER_S = 1_000_000_000


class ThreadStuckError(FatalError):
    """A thread did not end in time; only the end of the process will end it."""


class WorkerContext:
    """A loop's interface to its supervisor.  Any thread may read it, one thread beats."""

    def __init__(self, name: str, clock: Clock, *, deadline_s: float | None) -> None:
        self.name = name
        self.deadline_s = deadline_s
        self._clock = clock
        self._stop = threading.Event()
        self._asked_ns: int | None = None
        self._last_beat_ns = clock.mono_ns()

    def beat(self) -> None:
        """Record a heartbeat."""
        self._last_beat_ns = self._clock.mono_ns()

    @property
    def stopping(self) -> bool:
        """True once the loop is asked to end."""
        return self._stop.is_set()

    def pause(self, seconds: float) -> bool:
        """Wait, at most until the loop is asked to end; returns ``stopping``."""
        return self._stop.wait(seconds)

    def ask_to_stop(self) -> int:
        """Ask the loop to end (supervisor); return the time of the first call, as ``time.monotonic_ns`` says.

        Threads end in the computer's time, whatever the agent's clock is: a simulated one may run faster.
        """
        if self._asked_ns is None:
            self._asked_ns = time.monotonic_ns()
        self._stop.set()
        return self._asked_ns

    def overdue_s(self) -> float:
        """Seconds past the deadline; 0 if within it or without one."""
        if self.deadline_s is None:
            return 0.0
        return max(0.0, (self._clock.mono_ns() - self._last_beat_ns) / _NS_PER_S - self.deadline_s)


@dataclass(slots=True)
class _Running:
    worker: WorkerContext
    thread: threading.Thread


class Supervisor:
    """Owns the threads of the agent.  Used only by the main thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._failure: BaseException | None = None
        self._woken = threading.Event()

    def spawn(self, name: str, loop: Callable[[WorkerContext], None], *, deadline_s: float | None = None) -> None:
        """Start a loop in a thread of its own; raises ValueError if the name is taken."""
        if name in self._running:
            raise ValueError(f"thread {name} is already running")
        worker = WorkerContext(name, self._clock, deadline_s=deadline_s)
        thread = threading.Thread(target=self._guard, args=(loop, worker), name=name, daemon=True)
        self._running[name] = _Running(worker, thread)
        thread.start()

    def _guard(self, loop: Callable[[WorkerContext], None], worker: WorkerContext) -> None:
        try:
            loop(worker)
        except BaseException as error:  # noqa: BLE001 - the one place: log and end the process
            _LOG.error("thread_failed", thread=worker.name, error=type(error).__name__, where=where(error))
            self._failure = self._failure or error
        finally:
            self._woken.set()

    @property
    def failure(self) -> BaseException | None:
        """The first exception that ended a thread, if any."""
        return self._failure

    def wake(self) -> None:
        """Make a waiting ``wait`` return; safe in a signal handler."""
        self._woken.set()

    def wait(self, seconds: float) -> None:
        """Wait until a thread ends, ``wake`` is called or the time is over."""
        self._woken.wait(seconds)
        self._woken.clear()

    def alive(self, name: str) -> bool:
        """True while the named thread runs."""
        return name in self._running and self._running[name].thread.is_alive()

    def overdue(self) -> dict[str, float]:
        """Threads past their deadline with the seconds they are late."""
        late = {name: r.worker.overdue_s() for name, r in self._running.items() if r.thread.is_alive()}
        return {name: seconds for name, seconds in late.items() if seconds > 0}

    def ask_to_stop(self, name: str) -> None:
        """Ask a loop to end and return at once; does nothing if it does not run."""
        if name in self._running:
            self._running[name].worker.ask_to_stop()

    def stop(self, *names: str, timeout_s: float) -> None:
        """Ask all named loops to end, then join each; the time-out counts from when each was first asked.

        Raises ThreadStuckError naming those that did not end in time.
        """
        known = [self._running[n] for n in names if n in self._running]
        timeout_ns = int(timeout_s * _NS_PER_S)
        until_ns = [running.worker.ask_to_stop() + timeout_ns for running in known]
        for running, end_ns in zip(known, until_ns, strict=True):
            running.thread.join(max(0.0, (end_ns - time.monotonic_ns()) / _NS_PER_S))
        if stuck := [f"{r.worker.name} ({_stands(r.thread)})" for r in known if r.thread.is_alive()]:
            raise ThreadStuckError(f"threads did not end within {timeout_s:g} s: {', '.join(stuck)}")
        for running in known:
            del self._running[running.worker.name]


def _stands(thread: threading.Thread) -> str:
    """The thread's stack, innermost frame first, without values."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, for just this
    found = traceback.extract_stack(frame)[-3:] if frame is not None else []
    return " < ".join(f"{Path(line.filename).name}:{line.lineno} {line.name}" for line in reversed(found))


def where(error: BaseException) -> str:
    """Return the innermost line of an error: enough to find it, without values that may contain a plate."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""

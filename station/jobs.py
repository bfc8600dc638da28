"""Long work that people wait for: how far it is, what came of it, and how it is stopped.  Nothing of it is stored."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from protocol.errors import PatrolError
from station.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


_ENDED = frozenset({JobState.DONE, JobState.FAILED})


class JobStoppedError(JobError):
    """Nobody wants the result."""

    def __init__(self) -> None:
        super().__init__("stopped")


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A person's job, as it is now."""

    what: str
    """Told by whoever began it."""
    state: JobState
    share: float
    """Of the work, 0 to 1, as far as it can be known."""
    result: T | None
    """If it is done."""
    error: PatrolError | None
    """Why it failed."""
    until_us: int
    """When its result is forgotten, if it has ended."""

    @property
    def has_ended(self) -> bool:
        """True if nothing more happens to it."""
        return self.state in _ENDED


@dataclass(slots=True, eq=False)
class _Work(Generic[T]):
    what: str
    run: Callable[[Callable[[float], None]], T]
    on_gone: Callable[[], None]
    state: JobState = JobState.WAITING
    share: float = 0.0
    result: T | None = None
    error: PatrolError | None = None
    until_us: int = 0
    stopped: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def shown(self) -> Job[T]:
        return Job(self.what, self.state, self.share, self.result, self.error, self.until_us)

    def tell(self, share: float) -> None:
        if self.stopped:
            raise JobStoppedError
        self.share = min(1.0, share)


class Jobs(Generic[T]):
    """One job for each person, run one after the other by whoever calls :meth:`run_next`; thread-safe."""

    def __init__(self, clock_us: Callable[[], int], *, kept_us: int, max_unfinished: int) -> None:
        """Results are kept for ``kept_us``; at most ``max_unfinished`` jobs of all people wait or run."""
        self._clock_us = clock_us
        self._kept_us = kept_us
        self._max_unfinished = max_unfinished
        self._lock = threading.Lock()
        self._works: dict[str, _Work[T]] = {}
        """By person, in the order in which they were begun."""

    def begin(
        self,
        person: str,
        what: str,
        run: Callable[[Callable[[float], None]], T],
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a job in the queue; one of the person that has ended goes.

        ``run`` is given a function that it tells its share now and then, and whose errors it passes on: the job was
        stopped.  ``on_gone`` is called when job and result are gone, in any case but an error of this method.  Raises
        JobError while another one of the person, or too many of all people, have not ended.
        """
        with self._lock:
            self._refuse(person)
            earlier = self._works.pop(person, None)
            self._works[person] = _Work(what, run, on_gone)
        if earlier is not None:
            earlier.on_gone()

    def refuse(self, person: str) -> None:
        """Raise JobError if a job of this person could not be begun now."""
        with self._lock:
            self._refuse(person)

    def get(self, person: str) -> Job[T] | None:
        """Return a person's job; None if there is none."""
        self._drop_overdue()
        with self._lock:
            work = self._works.get(person)
            return None if work is None else work.shown()

    def wait(self, person: str, seconds: float) -> None:
        """Return when the person's job has ended, or after some time."""
        with self._lock:
            work = self._works.get(person)
        if work is not None:
            work.ended.wait(seconds)

    def end(self, person: str) -> Job[T] | None:
        """Stop a person's job, or forget its result; return what it was."""
        with self._lock:
            work = self._works.pop(person, None)
            if work is None:
                return None
            work.stopped = True
            is_running = work.state is JobState.RUNNING
        if not is_running:  # else whoever runs it does this
            work.on_gone()
        return work.shown()

    def run_next(self) -> bool:
        """Run the job that waits longest; return False if none waits.

        Raises what is no error of ours; the job has failed then.
        """
        self._drop_overdue()
        with self._lock:
            work = next((one for one in self._works.values() if one.state is JobState.WAITING), None)
            if work is None:
                return False
            work.state = JobState.RUNNING
        result: T | None = None
        error: PatrolError | None = JobError("an error of the program, of which its log says more")
        try:
            result, error = work.run(work.tell), None
        except PatrolError as raised:
            error = raised
        finally:
            self._end(work, result, error)
        return True

    def close(self) -> None:
        """Stop and forget all."""
        with self._lock:
            persons = list(self._works)
        for person in persons:
            self.end(person)

    def _end(self, work: _Work[T], result: T | None, error: PatrolError | None) -> None:
        with self._lock:
            work.result, work.error = result, error
            work.state = JobState.DONE if error is None else JobState.FAILED
            work.until_us = self._clock_us() + self._kept_us
            stopped = work.stopped
        work.ended.set()
        if stopped:
            work.on_gone()

    def _drop_overdue(self) -> None:
        now_us = self._clock_us()
        with self._lock:
            over = [name for name, work in self._works.items() if work.state in _ENDED and work.until_us < now_us]
            gone = [self._works.pop(name) for name in over]
        for work in gone:
            work.on_gone()

    def _refuse(self, person: str) -> None:
        unfinished = {name: work for name, work in self._works.items() if work.state not in _ENDED}
        if person in unfinished:
            raise JobError(f"{unfinished[person].what} has not ended: wait, or stop it")
        if len(unfinished) >= self._max_unfinished:
            raise JobError("other people's work waits already: try again in a minute")

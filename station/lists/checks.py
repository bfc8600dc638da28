"""Checks of owners' files that take a while: what they found, how far they are, and how they are stopped.

Files and drafts are in temporary folders of this process, and nothing of them is in the database: see
``docs/adr/0037-owners-files-are-checked-by-the-process-that-took-them.md``.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from protocol.errors import HotlistError, PatrolError
from station.lists.check import check_list, previous_list
from station.lists.plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from protocol.seal.keys import VerifyKey
    from station.lists.report import Report

KEPT_US = 3_600_000_000
"""How long a draft can be fetched."""
MAX_UNFINISHED = 4
"""Checks of all people that wait or run."""


class CheckState(StrEnum):
    """Where a check is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


_ENDED = frozenset({CheckState.DONE, CheckState.FAILED})


@dataclass(frozen=True, slots=True)
class OwnerFiles:
    """What a person gives."""

    name: str
    """Of the owner's file, as the person calls it."""
    source: IO[bytes]
    plan: IO[bytes]
    previous: IO[bytes] | None
    """The list before it."""


@dataclass(frozen=True, slots=True)
class ListCheck:
    """A person's check, as it is now."""

    name: str
    list_id: str
    state: CheckState
    share_read: float
    """Of the owner's file, 0 to 1; after that the rows are sorted and the draft is written."""
    report: Report | None
    """If it is done."""
    message: str
    """Why it failed."""
    until_us: int
    """When its files are deleted, if it has ended."""

    @property
    def has_ended(self) -> bool:
        """True if nothing more happens to it."""
        return self.state in _ENDED


@dataclass(slots=True, eq=False)
class _Job:
    """A check and its folder."""

    files: TemporaryDirectory[str]
    name: str
    as_of_us: int
    authorities: Sequence[VerifyKey]
    list_id: str = ""
    state: CheckState = CheckState.WAITING
    share_read: float = 0.0
    report: Report | None = None
    message: str = ""
    until_us: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        return Path(self.files.name)

    def shown(self) -> ListCheck:
        return ListCheck(
            self.name, self.list_id, self.state, self.share_read, self.report, self.message, self.until_us
        )

    def run(self) -> Report:
        """Raises HotlistError, and _StoppedError."""
        source, before = self.folder / "list.csv", self.folder / "before"
        size = max(1, source.stat().st_size)

        def on_bytes(read: int) -> None:
            if self.stopped.is_set():
                raise _StoppedError
            self.share_read = min(1.0, read / size)

        previous = previous_list(before, self.authorities) if before.exists() else None
        return check_list(
            source, self.folder / "list.toml", self.folder / "list.draft",
            as_of_us=self.as_of_us, previous=previous, on_bytes=on_bytes,
        )  # fmt: skip


class ListChecks:
    """One check for each person, run one after the other by whoever calls :meth:`run_next`; thread-safe."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        """By person, in the order in which they were begun."""

    def begin(
        self,
        person: str,
        files: OwnerFiles,
        *,
        as_of_us: int,
        authorities: Sequence[VerifyKey],
        note: Callable[[str], None],
    ) -> None:
        """Keep copies of the files, and put the check of them in the queue; an earlier one of the person goes.

        ``note`` is told the list's id before; what it raises ends this.  Raises HotlistError for a plan that is wrong,
        and while an earlier check has not ended.
        """
        with self._lock:
            self._refuse(person)
        with _removed_on_error("lpr-list-") as made:
            job = _Job(made, files.name, as_of_us, authorities)
            for name, file in (("list.csv", files.source), ("list.toml", files.plan), ("before", files.previous)):
                if file is not None:
                    _copy(file, job.folder / name)
            with _own_names(job.folder):
                job.list_id = load_plan(job.folder / "list.toml").list.id
            note(job.list_id)
            with self._lock:
                self._refuse(person)
                earlier = self._jobs.pop(person, None)
                self._jobs[person] = job
        if earlier is not None:
            earlier.files.cleanup()

    def get(self, person: str) -> ListCheck | None:
        """Return a person's check; None if there is none."""
        self._drop_overdue()
        with self._lock:
            job = self._jobs.get(person)
            return None if job is None else job.shown()

    def open_draft(self, person: str) -> tuple[IO[bytes], ListCheck]:
        """Return the draft of a check that is done, open; raises HotlistError if there is none."""
        self._drop_overdue()
        with self._lock:
            job = self._jobs.get(person)
            if job is None or job.state is not CheckState.DONE:
                raise HotlistError("there is no draft: check the owner's file again")
            return (job.folder / "list.draft").open("rb"), job.shown()

    def end(self, person: str) -> ListCheck | None:
        """Stop a person's check and delete its files; return what it was."""
        with self._lock:
            job = self._jobs.pop(person, None)
            if job is None:
                return None
            job.stopped.set()
            if job.state is not CheckState.RUNNING:
                job.files.cleanup()  # else by whoever runs it
            return job.shown()

    def run_next(self) -> bool:
        """Run the check that waits longest; return False if none waits.

        Raises what is no error of a file; the check has failed then.
        """
        self._drop_overdue()
        with self._lock:
            job = next((one for one in self._jobs.values() if one.state is CheckState.WAITING), None)
            if job is None:
                return False
            job.state = CheckState.RUNNING
        state, report, message = CheckState.FAILED, None, "an error of the program: its log says more"
        try:
            with _own_names(job.folder):
                report = job.run()
            state, message = CheckState.DONE, ""
        except PatrolError as error:
            message = str(error)
        finally:
            self._end_running(job, state, report, message)
        return True

    def close(self) -> None:
        """Stop and delete all."""
        with self._lock:
            persons = list(self._jobs)
        for person in persons:
            self.end(person)

    def _end_running(self, job: _Job, state: CheckState, report: Report | None, message: str) -> None:
        with self._lock:
            job.state, job.report, job.message = state, report, message
            job.until_us = self._clock_us() + KEPT_US
            if job.stopped.is_set():
                job.files.cleanup()

    def _drop_overdue(self) -> None:
        now_us = self._clock_us()
        with self._lock:
            over = [person for person, job in self._jobs.items() if job.state in _ENDED and job.until_us < now_us]
            for person in over:
                self._jobs.pop(person).files.cleanup()

    def _refuse(self, person: str) -> None:
        unfinished = {name: job for name, job in self._jobs.items() if job.state not in _ENDED}
        if person in unfinished:
            raise HotlistError(f"your check of {unfinished[person].name} has not ended: wait, or stop it")
        if len(unfinished) >= MAX_UNFINISHED:
            raise HotlistError("checks of other people wait already: try again in a minute")


class _StoppedError(HotlistError):
    """Nobody wants the result."""


@contextmanager
def _removed_on_error(prefix: str) -> Iterator[TemporaryDirectory[str]]:
    """A temporary folder that stays, unless something fails."""
    try:
        made = TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise HotlistError(f"no folder for the files can be made: {error.strerror or error}") from error
    try:
        yield made
    except BaseException:
        made.cleanup()
        raise


@contextmanager
def _own_names(folder: Path) -> Iterator[None]:
    """Errors name the file without our folder."""
    try:
        yield
    except _StoppedError:
        raise
    except PatrolError as error:
        raise HotlistError(str(error).replace(f"{folder}/", "")) from error
    except OSError as error:
        raise HotlistError(f"the check cannot go on: {error.strerror or error}") from error


def _copy(file: IO[bytes], path: Path) -> None:
    try:
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    except OSError as error:
        raise HotlistError(f"the file cannot be kept for the check: {error.strerror or error}") from error

"""Checks of owners' files for pages: they take a while, show how far they are, and can be stopped.

Files and drafts are in temporary folders of this process, and nothing of them is in the database: see
``docs/adr/0037-long-work-of-pages-runs-in-the-process-that-was-asked.md``.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from protocol.errors import HotlistError
from station.jobs import Jobs
from station.lists.check import check_list, previous_list
from station.lists.plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from protocol.seal.keys import VerifyKey
    from station.jobs import Job
    from station.lists.report import Report

KEPT_US = 3_600_000_000
"""How long a draft can be fetched."""
MAX_UNFINISHED = 4


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
class CheckedList:
    """What came of a check."""

    list_id: str
    report: Report
    draft: Path


@dataclass(frozen=True, slots=True)
class _Check:
    """A check and its folder."""

    folder: Path
    list_id: str
    as_of_us: int
    authorities: Sequence[VerifyKey]

    def run(self, tell: Callable[[float], None]) -> CheckedList:
        """Raises HotlistError, and what ``tell`` raises.  The share is that of the file that is read."""
        source, before, draft = (self.folder / name for name in ("list.csv", "before", "list.draft"))
        size = max(1, source.stat().st_size)
        with _own_names(self.folder):
            previous = previous_list(before, self.authorities) if before.exists() else None
            report = check_list(
                source, self.folder / "list.toml", draft,
                as_of_us=self.as_of_us, previous=previous, on_bytes=lambda read: tell(read / size),
            )  # fmt: skip
        return CheckedList(self.list_id, report, draft)


class ListChecks:
    """One check for each person; thread-safe."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self.jobs: Jobs[CheckedList] = Jobs(clock_us, kept_us=KEPT_US, max_unfinished=MAX_UNFINISHED)

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
        JobError while an earlier check has not ended.
        """
        self.jobs.refuse(person)
        with _removed_on_error("lpr-list-") as made:
            folder = Path(made.name)
            for name, file in (("list.csv", files.source), ("list.toml", files.plan), ("before", files.previous)):
                if file is not None:
                    _copy(file, folder / name)
            with _own_names(folder):
                list_id = load_plan(folder / "list.toml").list.id
            note(list_id)
            check = _Check(folder, list_id, as_of_us, authorities)
            self.jobs.begin(person, files.name, check.run, made.cleanup)

    def open_draft(self, person: str) -> tuple[IO[bytes], str]:
        """Return the draft of a check that is done, open, and the list's id; raises HotlistError if there is none."""
        job: Job[CheckedList] | None = self.jobs.get(person)
        try:
            if job is not None and job.result is not None:
                return job.result.draft.open("rb"), job.result.list_id
        except FileNotFoundError:
            pass  # deleted at this moment
        raise HotlistError("there is no draft: check the owner's file again")


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
    except HotlistError as error:
        raise HotlistError(str(error).replace(f"{folder}/", "")) from error
    except OSError as error:
        raise HotlistError(f"the check cannot go on: {error.strerror or error}") from error


def _copy(file: IO[bytes], path: Path) -> None:
    try:
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    except OSError as error:
        raise HotlistError(f"the file cannot be kept for the check: {error.strerror or error}") from error

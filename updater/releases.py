"""Releases installed side by side on a unit.  Root's part of updates; standard library only.

::

    /opt/patrol-lpr/code/41/        an environment              releases/41/code -> ../../code/41
    /opt/patrol-lpr/models/41/      models, where not shipped   releases/41/models -> ../../models/41
    /opt/patrol-lpr/current -> releases/42                      releases/41/config.toml  laid over the unit's own
    /opt/patrol-lpr/committed -> releases/41                    bin -> current/code/bin

``current`` runs, ``committed`` is proven.  While they differ, ``current`` is on trial: it becomes the committed one by
one rename when it says that it is well, else ``current`` goes back by one rename.  Every start of the agent asks first,
through ``python -m updater.releases start`` of the committed release, so a broken one cannot keep itself in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from updater.errors import ReleaseError
from updater.release_state import CONFIRMED, HOME, STATE, State, Trial, linked, read_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_STARTS = 3
_MAX_FAILED = 32
_MAX_NUMBER_BYTES = 16
_SYSTEMCTL = "/usr/bin/systemctl"


class Releases:
    """The releases of one unit.  ``done`` is called with the name of each step, for tests that cut the power there."""

    def __init__(self, home: Path = HOME, *, done: Callable[[str], None] = lambda _: None) -> None:
        self.home = home
        self.done = done

    def folder(self, release: int) -> Path:
        """Folder of a release."""
        return self.home / "releases" / str(release)

    @property
    def current(self) -> int:
        """The release that runs, or will at the next start; raises ReleaseError if none is installed."""
        return self._linked("current")

    @property
    def committed(self) -> int:
        """The committed release."""
        return self._linked("committed")

    def load(self) -> State:
        """Stored state; empty if it cannot be read."""
        return read_state(self.home) or State(floor=self.committed)

    def adopt(self) -> None:
        """Adopt what an installer put into ``code/0`` as the committed release 0."""
        folder = self.folder(0)
        folder.mkdir(parents=True, exist_ok=True)
        _link(folder / "code", "../../code/0")
        for name in ("committed", "current"):
            self._switch(name, 0)
        self._save(replace(self.load(), trial=None))
        _link(self.home / "bin", "current/code/bin")

    def begin(self, release: int) -> None:
        """Run a complete release on trial from the next start."""
        self._save(self._noted(Trial(release), release, "trial", ""))
        self.done("trial noted")
        self._switch("current", release)
        self.done("switched")

    def start(self) -> bool:
        """Before each start of the agent: count the start, or roll back; return whether a release is on trial.

        Also completes steps that a power cut interrupted.
        """
        state, current, committed = self.load(), self.current, self.committed
        trial = state.trial
        if trial is None:
            if current != committed:
                self._go_back(replace(state, trial=Trial(current, failed="trial state is missing")))
            return False
        if trial.release == committed:
            self._finish_commit(state)
        elif trial.failed or current not in {trial.release, committed}:
            self._go_back(state)
        elif current == committed:
            self._save(replace(state, trial=None))
        elif trial.starts >= MAX_STARTS:
            self.fail(f"not healthy in {trial.starts} starts")
        else:
            self._save(replace(state, trial=replace(trial, starts=trial.starts + 1)))
            return True
        return False

    def commit(self, release: int) -> None:
        """Commit the release on trial; raises ReleaseError if another one, or none, is on trial."""
        state = self.load()
        trial = state.trial
        if trial is None or trial.failed or not release == trial.release == self.current:
            raise ReleaseError(f"release {release} is not on trial")
        self._save(replace(state, previous=self.committed))
        self.done("previous noted")
        self._switch("committed", release)
        self.done("committed")
        self._finish_commit(self.load())

    def fail(self, reason: str) -> bool:
        """Roll back the release on trial; return whether there was one."""
        state = self.load()
        if state.trial is None or self.current == self.committed:
            return False
        state = replace(state, trial=replace(state.trial, failed=reason))
        self._save(state)
        self.done("failure noted")
        self._go_back(state)
        return True

    def return_to_previous(self) -> int:
        """Manual rollback to the previous release; raises ReleaseError if there is none."""
        if self.fail("rolled back by an operator"):
            return self.current
        state = self.load()
        if state.previous is None or not self.folder(state.previous).is_dir():
            raise ReleaseError("there is no release to roll back to")
        # Cut short in between, the next start finds a release without a trial and goes back as well.
        self._switch("committed", state.previous)
        self.done("committed went back")
        self._switch("current", state.previous)
        self.done("current went back")
        noted = self._noted(None, self.committed, "rolled_back", "rolled back by an operator")
        self._save(replace(noted, previous=None, roll_backs=noted.roll_backs + 1))
        return self.current

    def refuse(self, release: int, reason: str) -> None:
        """Record that an update was rejected, and why."""
        noted = self._noted(self.load().trial, release, "refused", reason)
        self._save(replace(noted, refusals=noted.refusals + 1))

    def _go_back(self, state: State) -> None:
        """Complete the rollback that ``trial.failed`` started; can be interrupted and repeated at any point."""
        trial = state.trial or Trial(self.current)
        self._switch("current", self.committed)
        self.done("went back")
        reason = trial.failed or "links and stored state do not match"
        self._save(
            replace(
                state, trial=None, failed=(*state.failed, trial.release)[-_MAX_FAILED:], last_release=trial.release,
                last_outcome="rolled_back", last_reason=reason, roll_backs=state.roll_backs + 1,
            )
        )  # fmt: skip
        self.done("roll-back noted")

    def _finish_commit(self, state: State) -> None:
        release = self.committed
        self._save(
            replace(
                state, trial=None, floor=max(state.floor, release), last_release=release, last_outcome="committed",
                last_reason="", commits=state.commits + 1,
            )
        )  # fmt: skip
        self.done("commit noted")
        self._prune(state.previous)

    def _prune(self, previous: int | None) -> None:
        """Delete all releases but the running and the previous one."""
        kept = {str(self.current), str(self.committed), str(previous)}
        for path in (self.home / "releases").iterdir():
            if path.name not in kept:
                shutil.rmtree(path)
        used = {str(path.readlink()) for path in (self.home / "releases").glob("*/*") if path.is_symlink()}
        for kind in ("code", "models"):
            for path in (self.home / kind).glob("*"):
                if f"../../{kind}/{path.name}" not in used:
                    shutil.rmtree(path)
        self.done("pruned")

    def _noted(self, trial: Trial | None, release: int, outcome: str, reason: str) -> State:
        return replace(
            self.load(), trial=trial, last_release=release, last_outcome=outcome, last_reason=reason[:500]
        )

    def _linked(self, name: str) -> int:
        found = linked(self.home, name)
        if found is None:
            raise ReleaseError(f"{self.home / name}: does not point to a release; run provision/install.sh")
        return found

    def _switch(self, name: str, release: int) -> None:
        if not self.folder(release).is_dir():
            raise ReleaseError(f"{self.folder(release)}: not there")
        _link(self.home / name, f"releases/{release}")

    def _save(self, state: State) -> None:
        write_durably(self.home / STATE, json.dumps(asdict(state), sort_keys=True).encode())


def write_durably(path: Path, data: bytes) -> None:
    """Install a file with one rename, readable by all and synced to disk."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(0o644)
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(path: Path, target: str) -> None:
    """Replace a symbolic link with one rename."""
    part = path.with_name(f"{path.name}.link")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(path)
    sync_folder(path.parent)


def confirmed_release(path: Path = CONFIRMED) -> int:
    """Read the agent's confirmation, accepting only a number; raises ReleaseError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            return int(file.read(_MAX_NUMBER_BYTES))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path}: not a release number: {error}") from None


def main(words: list[str], releases: Releases | None = None) -> int:
    """Entry point for systemd: ``adopt``, ``start``, ``commit`` or ``expire``."""
    releases = releases or Releases()
    try:
        match words:
            case ["adopt"]:
                releases.adopt()
            case ["start"]:
                if releases.start():
                    _systemctl("restart", "patrol-lpr-trial.timer")
            case ["commit"]:
                try:
                    releases.commit(confirmed_release())
                finally:
                    CONFIRMED.unlink(missing_ok=True)
            case ["expire"]:
                if releases.fail("not healthy in time"):
                    _systemctl("restart", "patrol-lpr.service")
            case _:
                sys.stderr.write("usage: python -m updater.releases adopt|start|commit|expire\n")
                return 2
    except (ReleaseError, OSError) as error:
        sys.stderr.write(f"patrol-lpr: {error}\n")
        return 1
    return 0


def _systemctl(verb: str, unit: str) -> None:
    subprocess.run([_SYSTEMCTL, "--no-block", verb, unit], check=False)  # noqa: S603 - a fixed program, fixed words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The signed policies of a unit, as files: verified at each start, and never replaced by an older version."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agent.buffer.mark import write_durably
from agent.sync.transfer import FileKind, FileRefusedError, Want
from protocol.errors import PatrolError, SignedFileError
from protocol.policy.envelope import KIND, MAX_FILE_BYTES, SignedPack, open_pack
from protocol.seal.keys import VerifyKey
from protocol.signed_file import refuse_unless_newer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


_LOG = structlog.get_logger(__name__)
FOLDER = "policy"
"""In the state folder."""
FETCHED = "policy.lprpol"
_SUFFIX = ".lprpol"
_VERSIONS = "versions.json"
_MAX_FILES = 64


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is in the folder."""

    packs: tuple[SignedPack, ...] = ()
    problems: tuple[str, ...] = ()
    """One sentence for each file that does not hold."""


class PolicyStore:
    """The folder of policies.  ``install`` is called by the uplink's thread, or by a command."""

    def __init__(self, folder: Path, keys: Sequence[VerifyKey], *, unit: str) -> None:
        """Without ``keys`` no policy is accepted, and the strict default holds."""
        self.folder = folder
        self._keys = keys
        self._unit = unit

    def load(self, now_s: float | None = None) -> Loaded:
        """Verify all files; a policy that has expired by ``now_s`` does not hold any more."""
        packs, problems = [], []
        floors = self._floors()
        for path in sorted(self.folder.glob(f"*{_SUFFIX}"))[:_MAX_FILES]:
            try:
                signed = self._opened(path)
                refuse_unless_newer(
                    signed.header, unit=self._unit, in_force=floors.get(signed.header.id, 1) - 1, now_s=now_s
                )
                packs.append(signed)
            except (PatrolError, OSError) as error:
                problems.append(f"{path.name}: {error}")
        return Loaded(tuple(packs), tuple(problems))

    def check(self, path: Path, now_s: float | None = None) -> SignedPack:
        """Verify a file that is to be installed.  Raises SignedFileError or PolicyError, and OSError."""
        signed = self._opened(path)
        in_force = self._floors().get(signed.header.id, 0)
        refuse_unless_newer(signed.header, unit=self._unit, in_force=in_force, now_s=now_s)
        return signed

    def install(self, path: Path, now_s: float | None = None) -> SignedPack:
        """Verify a file and put it in force.  Raises what ``check`` raises; then nothing has changed."""
        signed = self.check(path, now_s)
        self._make_folder()
        write_durably(self.folder / f"{signed.header.id}{_SUFFIX}", path.read_bytes())
        floors = {**self._floors(), signed.header.id: signed.header.version}
        write_durably(self.folder / _VERSIONS, json.dumps(floors, sort_keys=True).encode())
        return signed

    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Return what changes when a file does: names, times and sizes."""
        try:
            found = [
                (entry.name, entry.stat()) for entry in os.scandir(self.folder) if entry.name.endswith(_SUFFIX)
            ]
        except OSError:
            return ()
        return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in found))

    def _opened(self, path: Path) -> SignedPack:
        with path.open("rb") as file:
            return open_pack(file, self._keys)

    def _floors(self) -> dict[str, int]:
        """The highest version of each policy that was ever in force here."""
        try:
            told = json.loads((self.folder / _VERSIONS).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(told, dict):
            return {}
        return {name: version for name, version in told.items() if isinstance(version, int)}

    def _make_folder(self) -> None:
        if self.folder.is_dir():
            return
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            # Made by a command of root: the agent, another user, must be able to replace its files.
            owner = self.folder.parent.stat()
            os.chown(self.folder, owner.st_uid, owner.st_gid)


def load_policy_keys(path: Path) -> list[VerifyKey]:
    """Read the public keys that sign policies; none if the file is not there.  Raises KeyFileError."""
    return VerifyKey.load_all(path) if path.exists() else []


def policy_kind(store: PolicyStore, folder: Path, now_s: Callable[[], float | None]) -> FileKind:
    """Policies as files that a station offers; ``folder`` is for fetched bytes, ``now_s`` tells UTC once known."""

    def verify(path: Path) -> None:
        try:
            store.check(path, now_s())
        except (PatrolError, OSError) as error:
            raise FileRefusedError(str(error)) from error

    def install(path: Path) -> None:
        try:
            signed = store.install(path, now_s())
        except (PatrolError, OSError) as error:
            # Verified a moment ago, so the disk failed: the start tries again.
            _LOG.error("policy_not_installed", reason=str(error))
        else:
            _LOG.info("policy_installed", policy=signed.pack.name)

    return FileKind(KIND, folder, FETCHED, MAX_FILE_BYTES, lambda _: Want.NOW, verify=verify, on_installed=install)


def install_fetched(store: PolicyStore, path: Path) -> None:
    """Install a file that was fetched before, if it is newer than what holds."""
    if path.exists():
        try:
            store.install(path)
        except SignedFileError:
            # Installed already, as after every other start.
            return
        except (PatrolError, OSError) as error:
            _LOG.error("policy_not_installed", reason=str(error))

"""The lists on a unit: sealed files, the state that says which are in force, and the matcher made of them.

A package is verified while it is sealed into a file of its own; only when the list could be opened does the state file
name it (rename(2)), so a package that is cut off, altered or refused leaves the list in force untouched, and a power
cut leaves the old list or the new one.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.hotlist.matcher import Matcher
from agent.hotlist.opening import list_info, open_list, open_part
from hw.output import sync_folder
from protocol.errors import HotlistError, SealError
from protocol.hotlist.manifest import Kind, Manifest, is_list_id, refuse_unless_fits
from protocol.hotlist.package import each_block, read_head
from protocol.seal.container import MAGIC as SEALED_MAGIC
from protocol.seal.container import SealedFile, SealedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.hotlist.matcher import OpenList
    from agent.hotlist.records import ListInfo
    from protocol.hotlist.package import Head, Reader
    from protocol.seal.keys import StationKey, VerifyKey

STATE = "in-force.json"
MAX_LISTS = 32
_FORMAT = 1
_MAX_STATE_BYTES = 2**20
_PRIVATE = 0o600


class _Kept(BaseModel):
    """What the state file says of one list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    floor: Annotated[int, Field(ge=0)]
    """Highest version that was ever in force."""
    full: str | None = None
    """Names of the sealed files; None: the list is not in force any more."""
    delta: str | None = None
    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of the full package."""

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.full, self.delta) if name)


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[int, Field(ge=1, le=_FORMAT)] = _FORMAT
    lists: dict[str, _Kept] = {}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a unit accepts."""

    agency: str
    authorities: tuple[VerifyKey, ...]
    """Public keys of the list authorities."""
    max_alarms_per_million: int | None = None
    """Alarm budget of the policy: expected matches of a million cars that are not listed, for each list."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A list that could not be opened at the start."""

    list_id: str
    reason: str


@dataclass(slots=True)
class ListsInForce:
    """The lists of one unit.

    ``matcher`` may be read by any thread at any time; ``install``, ``unlock`` and ``lock`` by one at a time.
    """

    folder: Path
    terms: Terms
    public: StationKey
    """The unit's key, to which lists are sealed; its public half is enough for :meth:`install`."""
    clock_us: Callable[[], int | None]
    """UTC, or None while it is unknown."""
    matcher: Matcher = field(default_factory=Matcher, init=False)
    faults: tuple[Fault, ...] = field(default=(), init=False)
    """Lists that are on disk and cannot be used; the others are in force."""
    _key: StationKey | None = field(default=None, init=False)
    _state: _State = field(default_factory=_State, init=False)
    _stamp: tuple[int, int] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        """Raises HotlistError if the state file is damaged, OSError if the folder cannot be used."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            self._state, self._stamp = self._load_state()
            self._sweep()

    @property
    def is_locked(self) -> bool:
        """True until :meth:`unlock`: lists are on disk, and nothing is matched."""
        return self._key is None

    def unlock(self, key: StationKey) -> None:
        """Open the lists with the private half of the unit's key; a list that fails is in ``faults``."""
        if key.private is None or key.id != self.public.id:
            raise HotlistError("this is not the key to which the lists of this unit are sealed")
        with self._lock:
            self._key = key
            self._open_all()

    def lock(self) -> None:
        """Forget the key and everything in memory, such as at the end of a shift."""
        with self._lock:
            self._key = None
            self.matcher = Matcher()
            self.faults = ()

    def refresh(self) -> bool:
        """Open the lists again if another process, such as ``patrol-lpr hotlist install``, changed them."""
        with self._lock:
            if self._stat() == self._stamp:
                return False
            with self._alone():  # files that the state names are not deleted meanwhile
                self._refresh_state()
            return True

    def install(self, package: Path | IO[bytes]) -> ListInfo:
        """Verify a package, seal it to this unit and put it in force; return what is in force then.

        The package may be sealed to this unit's key, if that is unlocked.  Raises HotlistError if it is refused, and
        SealError or OSError; the list in force is untouched then.
        """
        with self._lock, self._alone():
            self._refresh_state()
            if isinstance(package, Path):
                with package.open("rb") as file:
                    return self._install(file, package)
            return self._install(package, None)

    def remove(self, list_id: str) -> None:
        """Take a list out of force; its version stays known, so that an older one is refused later."""
        with self._lock, self._alone():
            self._refresh_state()
            kept = self._state.lists.get(list_id)
            if kept is None or kept.full is None:
                raise HotlistError(f"list {list_id}: not in force on this unit")
            self._commit(list_id, _Kept(floor=kept.floor))
            self.matcher = Matcher(tuple(o for o in self.matcher.open_lists if o.info.list_id != list_id))

    # Installing

    def _install(self, file: IO[bytes], path: Path | None) -> ListInfo:
        start = file.read(len(SEALED_MAGIC))
        file.seek(0)
        if start == SEALED_MAGIC:
            if self._key is None or path is None:
                raise HotlistError("the package is sealed and this unit's lists are locked: sign on first")
            with SealedFile(path, self._key) as sealed:
                return self._take(sealed)
        return self._take(file)

    def _take(self, file: Reader) -> ListInfo:
        head = read_head(file, self.terms.authorities)
        manifest = head.manifest
        kept = self._refuse_unless_fits(manifest)
        name = f"{manifest.settings.list_id}.{manifest.version}.{manifest.kind.value}"
        part = self.folder / f"{name}.part"
        try:
            self._seal(head, file, part)
            following = self._following(manifest, kept, name)
            opened = self._try_open(following, {name: part})
            part.replace(self.folder / name)
        finally:
            part.unlink(missing_ok=True)
        sync_folder(self.folder)
        self._commit(manifest.settings.list_id, following)
        if opened is None:
            return list_info(manifest)
        others = [o for o in self.matcher.open_lists if o.info.list_id != opened.info.list_id]
        self.matcher = Matcher((*others, opened))
        self.faults = tuple(fault for fault in self.faults if fault.list_id != opened.info.list_id)
        return opened.info

    def _refuse_unless_fits(self, manifest: Manifest) -> _Kept:
        list_id = manifest.settings.list_id
        kept = self._state.lists.get(list_id, _Kept(floor=0))
        refuse_unless_fits(
            manifest,
            agency=self.terms.agency,
            now_utc_us=self.clock_us(),
            floor=kept.floor,
            max_alarms_per_million=self.terms.max_alarms_per_million,
        )
        in_force = [name for name, other in self._state.lists.items() if other.full and name != list_id]
        if len(in_force) >= MAX_LISTS:
            raise HotlistError(f"{len(in_force)} lists are in force, at most {MAX_LISTS} can be: remove one first")
        return kept

    def _following(self, manifest: Manifest, kept: _Kept, name: str) -> _Kept:
        if manifest.kind is Kind.FULL:
            return _Kept(floor=manifest.version, full=name, digest=manifest.digest)
        if kept.full is None or kept.digest != manifest.base_digest:
            raise HotlistError(
                f"list {manifest.settings.list_id}: version {manifest.version} changes full version "
                f"{manifest.base_version}, which is not here: get the full list"
            )
        return _Kept(floor=manifest.version, full=kept.full, delta=name, digest=kept.digest)

    def _seal(self, head: Head, file: Reader, part: Path) -> None:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(handle, "wb") as out:
            self._give_to_owner(handle)
            sealed = SealedWriter(out, [self.public], len(head.raw) + head.manifest.payload_bytes)
            sealed.write(head.raw)
            for block in each_block(file, head.manifest):
                sealed.write(block)
            sealed.close()
            out.flush()
            os.fsync(out.fileno())

    def _try_open(self, kept: _Kept, unnamed: dict[str, Path]) -> OpenList | None:
        """Open a list; None while locked: then it is opened at the next unlocking."""
        if self._key is None or kept.full is None:
            return None
        parts = [
            open_part(unnamed.get(name, self.folder / name), self._key, self.terms.authorities)
            for name in kept.files
        ]
        return open_list(*parts)

    def _commit(self, list_id: str, kept: _Kept) -> None:
        before = self._state.lists.get(list_id)
        state = _State(lists={**self._state.lists, list_id: kept})
        data = json.dumps(state.model_dump(mode="json"), indent=1, sort_keys=True).encode()
        part = self.folder / f"{STATE}.part"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(handle, "wb") as out:
            self._give_to_owner(handle)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(self.folder / STATE)
        sync_folder(self.folder)
        self._state, self._stamp = state, self._stat()
        for name in set(before.files if before else ()) - set(kept.files):
            (self.folder / name).unlink(missing_ok=True)

    # Starting

    def _open_all(self) -> None:
        opened, faults = [], []
        for list_id, kept in sorted(self._state.lists.items()):
            try:
                found = self._try_open(kept, {})
            except (HotlistError, SealError, OSError) as error:
                faults.append(Fault(list_id, str(error)))
                continue
            if found is not None:
                opened.append(found)
        self.matcher, self.faults = Matcher(tuple(opened)), tuple(faults)

    def _refresh_state(self) -> None:
        if self._stat() != self._stamp:
            self._state, self._stamp = self._load_state()
            if self._key is not None:
                self._open_all()

    def _load_state(self) -> tuple[_State, tuple[int, int] | None]:
        path = self.folder / STATE
        stamp = self._stat()
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_STATE_BYTES)
        except FileNotFoundError:
            return _State(), None
        try:
            state = _State.model_validate_json(data)
        except ValidationError as error:
            raise HotlistError(
                f"{path}: damaged; delete the folder {self.folder} and install the lists again"
            ) from error
        for list_id, kept in state.lists.items():
            if not is_list_id(list_id) or any(
                not name.startswith(f"{list_id}.") or "/" in name for name in kept.files
            ):
                raise HotlistError(f"{path}: it names files that are no lists; delete the folder {self.folder}")
        return state, stamp

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from changing the folder; the lock ends with the process."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _give_to_owner(self, handle: int) -> None:
        """What root installs belongs to the user of the service, who owns the folder."""
        if os.geteuid() == 0:
            owner = self.folder.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = (self.folder / STATE).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _sweep(self) -> None:
        """Delete what an interrupted installation left."""
        named = {STATE, *(name for kept in self._state.lists.values() for name in kept.files)}
        for path in self._own_files():
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _own_files(self) -> Iterator[Path]:
        for path in self.folder.iterdir():
            stem = path.name.removesuffix(".part")
            list_id, _, rest = stem.partition(".")
            if stem == STATE or (is_list_id(list_id) and rest.endswith((Kind.FULL.value, Kind.DELTA.value))):
                yield path

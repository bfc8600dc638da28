"""Hot lists, as a component: opens them, installs packages that were fetched, sees those installed by a command."""

from __future__ import annotations

import queue
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.hotlist.keys import PIN_FILE, PinKeys, derived_key
from agent.hotlist.matcher import Matcher
from agent.hotlist.store import ListsInForce, Terms
from agent.runtime.audit import UNIT
from agent.runtime.component import Component
from agent.sync.transfer import FileKind, Want
from protocol.errors import HotlistError, KeyFileError, PatrolError, PinError
from protocol.seal.container import MAGIC
from protocol.seal.keys import SigningKey, VerifyKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.audit import Auditor
    from agent.hotlist.records import ListInfo
    from agent.runtime.audit import ListNote
    from agent.runtime.config import AgentConfig
    from agent.runtime.supervisor import Supervisor, WorkerContext
    from protocol.seal.keys import StationKey

_LOG = structlog.get_logger(__name__)
FOLDER = "hotlists"
PACKAGE = "package.lprhot"
SLOTS = 4
"""Kinds of files for lists: hotlist, hotlist-2 ...  Each holds the offer of one list."""
MAX_PACKAGE_BYTES = 2 * 2**30
_DEADLINE_S = 600.0
"""A list of five million entries is opened in seconds; on a slow card it is sealed in minutes."""
_STOP_S = 10.0
_ROUND_S = 2.0
_ROUNDS_BETWEEN = 30


@dataclass(slots=True)
class ListCounts:
    """Since the start of the process."""

    installed: int = 0
    """Packages put in force."""
    refused: int = 0
    """Packages refused: signature, version, agency, expiry, or damage."""
    unopened: int = 0
    """Lists on disk that could not be opened."""


@dataclass(frozen=True, slots=True)
class UnitLists:
    """The lists of a unit and how they are opened."""

    lists: ListsInForce
    key: StationKey | None
    """The key to open them with at the start; None if an officer's PIN does."""
    pins: PinKeys | None


def _per_million(*per_1000: float | None) -> int | None:
    found = [budget for budget in per_1000 if budget is not None]
    return round(min(found) * 1000) if found else None


def build_lists(
    config: AgentConfig,
    unit_key: Callable[[], SigningKey],
    clock_us: Callable[[], int | None],
    *,
    budget_per_1000: float | None = None,
) -> UnitLists | None:
    """Open the folder of the lists; None if no list authority is configured.

    ``budget_per_1000`` is the policy's alarm budget; the smaller one holds.
    Raises KeyFileError, HotlistError if the folder's state or the file of PINs is damaged, or OSError.
    """
    table = config.hotlist
    if table.key is None:
        return None
    terms = Terms(
        config.agency,
        tuple(VerifyKey.load_all(table.key)),
        _per_million(table.max_alarms_per_1000, budget_per_1000),
    )
    folder = config.state_dir / FOLDER
    own = unit_key()
    pins = PinKeys(config.state_dir / PIN_FILE, own)
    if table.open == "start":
        key = derived_key(own)
        return UnitLists(ListsInForce(folder, terms, key, clock_us), key, None)
    if not pins.exists:
        raise KeyFileError(
            f"{pins.path}: lists open with an officer's PIN, and there is none: run "
            '`patrol-lpr hotlist pin BADGE`, or set hotlist.open = "start"'
        )
    try:
        public = pins.public()
    except KeyFileError as error:
        raise HotlistError(str(error)) from error
    return UnitLists(ListsInForce(folder, terms, public, clock_us), None, pins)


def list_kinds(config: AgentConfig, on_fetched: Callable[[Path], None]) -> tuple[FileKind, ...]:
    """Return the kinds of files that are lists; none without a list authority.

    A fetched package is removed by the component, which verifies it; so it is not fetched again.
    """
    table = config.hotlist
    if table.key is None or table.fetch == "never":
        return ()
    return tuple(
        FileKind(
            name,
            inbox(config, name),
            PACKAGE,
            MAX_PACKAGE_BYTES,
            lambda _: Want.NOW,
            free_only=table.fetch == "free",
            on_installed=on_fetched,
        )
        for name in kind_names()
    )


def kind_names() -> tuple[str, ...]:
    """Return the names of the kinds on the wire."""
    return tuple("hotlist" if slot == 1 else f"hotlist-{slot}" for slot in range(1, SLOTS + 1))


def inbox(config: AgentConfig, kind: str) -> Path:
    """Return the folder for the fetched bytes of a kind."""
    return config.state_dir / f"{kind}-in"


class ListComponent(Component):
    """The thread that opens and installs lists; ``matcher`` may be read by any thread at any time."""

    name = "hotlists"

    def __init__(
        self,
        unit: UnitLists | None,
        inboxes: tuple[Path, ...],
        supervisor: Supervisor,
        auditor: Auditor,
        note: ListNote,
    ) -> None:
        """``unit`` is None without a list authority: then nothing is matched."""
        self._auditor = auditor
        self._note = note
        self._is_on_duty: Callable[[], bool] = lambda: True
        self._unit = unit
        self._inboxes = inboxes
        self._supervisor = supervisor
        self._not_taken: set[Path] = set()
        """Packages that the disk did not take."""
        self._rounds = 0
        self._work: queue.SimpleQueue[Path | StationKey] = queue.SimpleQueue()
        self.counts = ListCounts()

    @property
    def matcher(self) -> Matcher:
        """The lists in force; an empty one while they are locked."""
        return Matcher() if self._unit is None else self._unit.lists.matcher

    @property
    def is_locked(self) -> bool:
        """True if there are lists that only an officer's PIN opens, and nobody has signed on."""
        return self._unit is not None and self._unit.lists.is_locked

    def watch_shifts(self, is_on_duty: Callable[[], bool]) -> None:
        """Lists that a PIN opened are forgotten when ``is_on_duty`` returns False; call it before the start."""
        self._is_on_duty = is_on_duty

    def sign_on(self, officer: str, pin: str) -> None:
        """Open the lists with the PIN of an officer who has signed on; nothing happens if no PIN is needed.

        It takes the time of one Argon2id, about 0.2 s on a PC; the lists are opened in this component's thread.  An
        officer without a PIN for the lists leaves them locked, which is logged and audited.
        """
        if self._unit is None or self._unit.pins is None or not self.is_locked:
            return
        try:
            key = self._unit.pins.unlock(officer, pin)
        except (PinError, KeyFileError) as error:
            _LOG.warning("hotlists_stay_locked", reason=str(error))
            self._auditor.add(officer, "list_unlock", "hot lists", outcome="refused")
            return
        self._auditor.add(officer, "list_unlock", "hot lists")
        self._work.put(key)

    def on_fetched(self, path: Path) -> None:
        """A package lies in an inbox; called in the uplink's thread."""
        self._work.put(path)

    def start(self) -> None:
        """Start the thread."""
        if self._unit is not None:
            self._supervisor.spawn(self.name, self._run, deadline_s=_DEADLINE_S)

    def stop(self) -> None:
        """End the thread."""
        if self._unit is not None:
            self._supervisor.stop(self.name, timeout_s=_STOP_S)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {f"hotlist.{name}": value for name, value in asdict(self.counts).items()}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        infos = self.matcher.lists
        return {"hotlist.lists": len(infos), "hotlist.entries": sum(info.entries for info in infos)}

    def _run(self, worker: WorkerContext) -> None:
        unit = self._unit
        if unit is None:
            return
        if unit.key is not None:
            self._open(unit.lists, unit.key)
        self._install_waiting(unit.lists)
        while not worker.stopping:
            worker.beat()
            try:
                work = self._work.get(timeout=_ROUND_S)
            except queue.Empty:
                self._refresh(unit.lists)
                self._install_again(unit.lists)
                if unit.pins is not None and not unit.lists.is_locked and not self._is_on_duty():
                    unit.lists.lock()
                    _LOG.info("hotlists_locked")
                continue
            if isinstance(work, Path):
                self._install(unit.lists, work)
            else:
                self._open(unit.lists, work)

    def _open(self, lists: ListsInForce, key: StationKey) -> None:
        try:
            lists.unlock(key)
        except HotlistError as error:
            # The file of PINs was made anew: the next start uses its key.
            _LOG.error("hotlists_stay_locked", reason=str(error))
            return
        self._report(lists)
        # What was replaced while the agent was off; other changes are audited where they are made.
        if (change := self._note.unaudited(lists.matcher.lists)) is not None:
            self._auditor.add(UNIT, "list_change", change[0], outcome=change[1])
        self._install_waiting(lists)

    def _install_waiting(self, lists: ListsInForce) -> None:
        """Install what was fetched before the last stop, or was sealed while the lists were locked."""
        for folder in self._inboxes:
            if (folder / PACKAGE).exists():
                self._install(lists, folder / PACKAGE)

    def _install_again(self, lists: ListsInForce) -> None:
        """About once a minute, try again what the disk did not take: it is not offered a second time."""
        self._rounds += 1
        if self._rounds % _ROUNDS_BETWEEN == 0:
            for path in sorted(self._not_taken):
                self._install(lists, path)

    def _refresh(self, lists: ListsInForce) -> None:
        try:
            if lists.refresh():
                versions = ", ".join(f"{info.list_id} version {info.version}" for info in lists.matcher.lists)
                self._auditor.add(UNIT, "list_change", f"by a command; in force: {versions or 'none'}")
                self._note.set(lists.matcher.lists)
                self._report(lists)
        except (HotlistError, OSError) as error:
            self.counts.unopened += 1
            _LOG.error("hotlists_unreadable", error=str(error))

    def _install(self, lists: ListsInForce, path: Path) -> None:
        if not path.exists() or (lists.is_locked and _is_sealed(path)):
            return  # installed already at the start, or to be opened at the next sign-on
        try:
            info = lists.install(path)
        except OSError as error:
            if path not in self._not_taken:
                _LOG.error("hotlist_not_installed", error=str(error))
                self._auditor.add(UNIT, "list_change", "a package", outcome=f"not installed: {error}")
            self._not_taken.add(path)
            return
        except PatrolError as error:
            self.counts.refused += 1
            _LOG.error("hotlist_refused", error=str(error))
            self._auditor.add(UNIT, "list_change", "a package", outcome=f"refused: {error}")
        else:
            self.counts.installed += 1
            _log(info)
            self._auditor.add(UNIT, "list_change", f"{info.list_id} version {info.version}")
            self._note.add(info)
        self._not_taken.discard(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.error("hotlist_package_not_deleted", error=str(error))

    def _report(self, lists: ListsInForce) -> None:
        for info in lists.matcher.lists:
            _log(info)
        for fault in lists.faults:
            self.counts.unopened += 1
            _LOG.error("hotlist_not_opened", list=fault.list_id, error=fault.reason)


def _is_sealed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _log(info: ListInfo) -> None:
    _LOG.info(
        "hotlist_in_force",
        list=info.list_id,
        version=info.version,
        entries=info.entries,
        as_of_us=info.as_of_utc_us,
    )

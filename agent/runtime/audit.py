"""The audit log of the running agent: entries of any thread, put into the chain by the commit thread."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from agent.audit import AuditDraft, ChainState, Head, Pending
from agent.buffer.mark import write_durably
from agent.errors import OutboxDiskError
from agent.runtime.component import Component

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent.audit import Auditor
    from agent.hotlist.records import ListInfo
    from agent.runtime.queues import ReadQueue
    from hw.ports import Clock

_LOG = structlog.get_logger(__name__)
CHAIN_FILE = "audit-chain.json"
"""In the state folder."""
UNIT = "unit"
"""Who acts, if it is no person."""
_CONFIG_FILE = "audited-config"
_LISTS_FILE = "audited-lists"
_DIGEST_BYTES = 32
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ChainFile:
    """The head of the chain in a small file."""

    path: Path

    def load(self) -> ChainState | None:
        """Return the state; None if there is none, or it cannot be read."""
        try:
            told = json.loads(self.path.read_bytes())
            pending = tuple(Pending(_head(entry), bytes.fromhex(entry["id"])) for entry in told["pending"])
            return ChainState(_head(told["head"]), pending)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def save(self, state: ChainState) -> None:
        """Replace it durably; raises OutboxDiskError."""
        told = {
            "head": _plain(state.head),
            "pending": [{**_plain(entry.head), "id": entry.record_id.hex()} for entry in state.pending],
        }
        try:
            write_durably(self.path, json.dumps(told).encode())
        except OSError as error:
            raise OutboxDiskError(f"{self.path}: the audit log cannot go on: {error.strerror}") from error


def _plain(head: Head) -> dict[str, int | str]:
    return {"n": head.n, "digest": head.digest.hex()}


def _head(told: dict[str, Any]) -> Head:
    head = Head(int(told["n"]), bytes.fromhex(told["digest"]))
    if head.n < 0 or len(head.digest) != _DIGEST_BYTES:
        raise ValueError("not the head of a chain")
    return head


class QueuedAuditor:
    """Hands entries to the commit thread, with the time of the call."""

    def __init__(self, reads: ReadQueue, clock: Clock) -> None:
        self._reads = reads
        self._clock = clock

    def add(
        self,
        who: str,
        action: str,
        obj: str,
        *,
        purpose: str = "",
        case_number: str = "",
        outcome: str = "ok",
    ) -> None:
        """Add an entry about what was just done, or refused; any thread, never waits."""
        self._reads.add_audit(AuditDraft(who, action, obj, purpose, case_number, outcome, self._clock.mono_ns()))


class NotedValue:
    """What was audited last, in a small file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def change(self, value: str) -> str | None:
        """Note a value; return the one before, empty for none, or None if it is the same.

        A value that could not be noted is a change again at the next call.
        """
        before = self.value()
        if before == value:
            return None
        try:
            write_durably(self._path, value.encode("ascii"))
        except OSError as error:
            _LOG.warning("change_not_noted", reason=str(error))
        return before

    def value(self) -> str:
        """Return the noted value; empty for none."""
        try:
            return self._path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""


class ConfigWatch(Component):
    """Audits a configuration other than that of the start before."""

    name = "config-audit"

    def __init__(self, state_dir: Path, sha256: bytes, auditor: Auditor) -> None:
        self._note = NotedValue(state_dir / _CONFIG_FILE)
        self._sha256 = sha256.hex()
        self._auditor = auditor

    def start(self) -> None:
        """Compare; the first configuration is no change."""
        before = self._note.change(self._sha256)
        if before:
            new = f"sha256 {self._sha256[:_SHOWN]}"
            self._auditor.add(UNIT, "config_change", new, outcome=f"was {before[:_SHOWN]}")


class ListNote:
    """The hot lists of which the audit log has an entry, in a small file, so that each change has exactly one."""

    def __init__(self, state_dir: Path) -> None:
        self._note = NotedValue(state_dir / _LISTS_FILE)

    def add(self, changed: ListInfo) -> None:
        """The log has an entry about this list; others may be locked."""
        known = self._known() or {}
        self._note.change(_lists_text({**known, changed.list_id: changed.version}))

    def set(self, lists: Iterable[ListInfo]) -> None:
        """The log has an entry about all lists in force."""
        self._note.change(_lists_text(_versions(lists)))

    def unaudited(self, lists: Iterable[ListInfo]) -> tuple[str, str] | None:
        """Note the lists in force; return them and when they changed, for the log, or None if it knows them."""
        found = _versions(lists)
        if not found or found == self._known():
            return None
        shown = ", ".join(f"{name} version {version}" for name, version in sorted(found.items()))
        before = self._note.change(_lists_text(found))
        if before == hashlib.sha256(shown.encode()).hexdigest():
            return None  # as an older release noted them
        return shown, "since the last start" if before else "first"

    def _known(self) -> dict[str, int] | None:
        try:
            known = json.loads(self._note.value())
        except ValueError:
            return None
        return known if isinstance(known, dict) else None


def _versions(lists: Iterable[ListInfo]) -> dict[str, int]:
    return {listed.list_id: listed.version for listed in lists}


def _lists_text(versions: dict[str, int]) -> str:
    return json.dumps(versions, sort_keys=True)

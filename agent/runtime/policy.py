"""The policies in force: reloaded when their files change; whether anything is recorded at this moment, and why not."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from agent.policy.policies import Policies
from agent.policy.position import where_now
from agent.policy.reads import PolicyCounts
from agent.policy.records import Pause, PauseReason
from agent.runtime.audit import UNIT, NotedValue
from agent.runtime.component import Component
from protocol.policy.pack import strict_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agent.audit import Auditor
    from agent.policy.policy import Policy
    from agent.policy.reads import ReadPolicy
    from agent.records import Fix
    from agent.runtime.component import Tick
    from agent.runtime.policy_store import PolicyStore
    from agent.runtime.supervisor import Supervisor, WorkerContext
    from protocol.policy.envelope import SignedPack

_LOG = structlog.get_logger(__name__)
_LOOK_S = 1.0
_DEADLINE_S = 30.0
_STOP_S = 5.0
_NS_PER_S = 1_000_000_000
_NS_PER_US = 1_000
_NOTE = "audited-policies"
_SHOWN = 12


class PoliciesInForce:
    """The policies of this moment; replaced as a whole, read by any thread."""

    def __init__(self, store: PolicyStore, agency: str) -> None:
        self._store = store
        self._agency = agency
        self._strict = strict_pack()
        self.problems: tuple[str, ...] = ()
        self.sha256 = ""
        """Of all policies together."""
        self._state = store.state()
        self._loaded = store.load()
        self._expired: frozenset[str] = frozenset()
        """Names of those that were over when the time was last known."""
        self._apply(self._expired)

    def __call__(self) -> Policies:
        """Return them."""
        return self._policies

    def reload(self, now_s: float | None) -> bool:
        """Read the files if they have changed, and drop what has expired; return True if other policies hold now.

        What was dropped by a wrong time holds again when the time is corrected.
        """
        state, before = self._store.state(), self.sha256
        is_changed = state != self._state
        if is_changed:
            self._state, self._loaded = state, self._store.load()
        expired = self._expired
        if now_s is not None:
            expired = frozenset(s.pack.name for s in self._loaded.packs if _has_expired(s, now_s))
        if is_changed or expired != self._expired:
            self._apply(expired)
        return self.sha256 != before

    def _apply(self, expired: frozenset[str]) -> None:
        self._expired = expired
        packs = [signed.pack for signed in self._loaded.packs if signed.pack.name not in expired]
        over = [signed.pack.name for signed in self._loaded.packs if signed.pack.name in expired]
        self.problems = (*self._loaded.problems, *(f"{name} has expired: sign a new version" for name in over))
        digest = hashlib.sha256()
        for pack in packs or (self._strict,):
            digest.update(hashlib.sha256(pack.canonical()).digest())
        sha256 = digest.hexdigest()
        if sha256 != self.sha256:
            self._policies = Policies(packs, self._agency, self._strict)
            self.sha256 = sha256


def _has_expired(signed: SignedPack, now_s: float) -> bool:
    expires_s = signed.header.expires_s
    return expires_s is not None and now_s >= expires_s


class RecordingGate:
    """Says for each moment whether frames may be processed.  Any thread."""

    def __init__(
        self,
        policies: Callable[[], Policies] | None,
        fix: Callable[[], Fix | None],
        utc_ns: Callable[[int], int | None],
    ) -> None:
        """Without ``policies`` they always may."""
        self._policies = policies
        self._fix = fix
        self._utc_ns = utc_ns
        self.current: Pause | None = None
        """The latest answer to the main thread, for lamp and feed."""

    def pause(self, t_mono_ns: int) -> Pause | None:
        """Return why a frame of this moment may not be processed; None if it may."""
        if self._policies is None:
            return None
        utc_ns = self._utc_ns(t_mono_ns)
        now_us = None if utc_ns is None else utc_ns // _NS_PER_US
        return self._policies().pause(where_now(self._fix(), t_mono_ns), now_us)

    def policy(self, t_mono_ns: int) -> Policy | None:
        """Return the policy that holds here; None if policies are off."""
        return None if self._policies is None else self._policies().at(where_now(self._fix(), t_mono_ns))


class PolicyComponent(Component):
    """Reloads the policies, and puts every pause of recording into the books, whoever caused it."""

    name = "policy"

    def __init__(
        self,
        in_force: PoliciesInForce | None,
        gate: RecordingGate,
        reads: ReadPolicy | None,
        auditor: Auditor,
        supervisor: Supervisor,
        *,
        is_private: Callable[[], bool],
        now_s: Callable[[], float | None],
        state_dir: Path,
    ) -> None:
        """``is_private``: the driver has pressed the privacy button."""
        self._in_force = in_force
        self._gate = gate
        self._reads = reads
        self._auditor = auditor
        self._supervisor = supervisor
        self._is_private = is_private
        self._now_s = now_s
        self._note = NotedValue(state_dir / _NOTE)
        self._pause: Pause | None = None
        self._since_mono_ns = 0
        self._last_mono_ns = 0
        self._pauses = 0
        self._paused_ns = 0

    def start(self) -> None:
        """Audit other policies than at the start before, and start the thread that reloads them."""
        if self._in_force is not None:
            self._tell(self._in_force)
            self._supervisor.spawn(self.name, self.run, deadline_s=_DEADLINE_S)

    def stop(self) -> None:
        """Join the thread; raises ThreadStuckError."""
        self._change(None, self._last_mono_ns)
        if self._in_force is not None:
            self._supervisor.stop(self.name, timeout_s=_STOP_S)

    def run(self, worker: WorkerContext) -> None:
        """Look for other files until asked to end; the thread's loop."""
        if self._in_force is None:
            return
        while not worker.stopping:
            worker.beat()
            if self._in_force.reload(self._now_s()):
                self._tell(self._in_force)
            worker.pause(_LOOK_S)

    def watch(self, tick: Tick) -> None:
        """Note whether anything is recorded at this moment."""
        self._last_mono_ns = tick.t_mono_ns
        self._gate.current = self._gate.pause(tick.t_mono_ns)
        self._change(Pause(PauseReason.BUTTON) if self._is_private() else self._gate.current, tick.t_mono_ns)

    def _change(self, pause: Pause | None, t_mono_ns: int) -> None:
        if pause == self._pause:
            return
        if self._pause is not None:
            lasted_ns = t_mono_ns - self._since_mono_ns
            self._paused_ns += lasted_ns
            self._auditor.add(UNIT, "recording_on", str(self._pause), outcome=f"after {lasted_ns // _NS_PER_S} s")
            _LOG.info("recording_on", after=str(self._pause))
        if pause is not None:
            self._pauses += 1
            self._auditor.add(UNIT, "recording_off", str(pause))
            _LOG.info("recording_off", reason=str(pause))
        self._pause, self._since_mono_ns = pause, t_mono_ns

    def _tell(self, in_force: PoliciesInForce) -> None:
        for problem in in_force.problems:
            _LOG.error("policy_refused", reason=problem)
        names = ", ".join(in_force().names)
        _LOG.info("policies", names=names)
        before = self._note.change(in_force.sha256)
        if before is not None:
            outcome = f"was {before[:_SHOWN]}" if before else "first"
            self._auditor.add(UNIT, "policy_change", f"{names} sha256 {in_force.sha256[:_SHOWN]}", outcome=outcome)
            for problem in in_force.problems:
                self._auditor.add(UNIT, "policy_change", problem, outcome="refused")

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        reads = asdict(PolicyCounts() if self._reads is None else self._reads.counts)
        now_ns = self._last_mono_ns - self._since_mono_ns if self._pause is not None else 0
        return {
            **{f"policy.{name}": value for name, value in reads.items()},
            "policy.pauses": self._pauses,
            "policy.paused_s": (self._paused_ns + now_ns) // _NS_PER_S,
        }

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        problems = 0 if self._in_force is None else len(self._in_force.problems)
        return {"policy.paused": int(self._pause is not None), "policy.refused_files": problems}

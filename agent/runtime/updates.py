"""The agent's side of updates: confirms that it is healthy, and restarts into a new release at a quiet moment.

It may not install anything.  It writes files that root's systemd units watch, and reads the state that root writes.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from agent.sync.transfer import FetchCounts, TransferState
from agent.update.trial import HealthSample, TrialWatch
from protocol.wire.codec import encode
from protocol.wire.control.transfer import UpdateReport
from protocol.wire.enums import UpdateState
from updater.release_state import INBOX, State, linked, read_state

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.config import UpdateTable
    from agent.sync.transfer import FileTransfer

_LOG = structlog.get_logger(__name__)
_NS_PER_S = 1_000_000_000
_LOOK_S = 5.0
_LINK_SEEN = "link-seen"


class UpdateReporter:
    """Does nothing if no release is installed, as in a checkout.  Used by the main thread."""

    def __init__(self, config: UpdateTable, state_dir: Path, fetcher: FileTransfer | None = None) -> None:
        self._config = config
        self._fetcher = fetcher
        self._told: tuple[object, ...] = ()
        self._folder = (state_dir / INBOX).parent
        self._look_due_ns = 0
        self._quiet_since_ns = 0
        self._sightings = 0
        self.release = linked(config.home, "current")
        """The release that this process belongs to."""
        self._next = self.release
        self.state = read_state(config.home) or State()
        seen = self._folder / _LINK_SEEN
        self._link_noted = False
        self._trial: TrialWatch | None = None
        if self.on_trial:
            self._trial = TrialWatch(well_s=config.well_s, needs_link=seen.exists())
        elif self.release is not None:
            # It is for the last run of a committed release only.
            seen.unlink(missing_ok=True)

    @property
    def on_trial(self) -> bool:
        """True while this release is on trial."""
        return self.release is not None and self.release != linked(self._config.home, "committed")

    def step(self, sample: HealthSample, sightings: int, t_mono_ns: int) -> bool:
        """Update the trial; return True if the agent should end, to be restarted as another release.

        ``sightings`` counts the plates seen since the start: a moment is quiet if there was none for a while.
        """
        if self.release is None:
            return False
        if sample.link_up and self._trial is None and not self._link_noted:
            self._note_link()
        if self._trial is not None and self._trial.step(sample, t_mono_ns):
            self._confirm()
        if sightings != self._sightings or not self._quiet_since_ns:
            self._sightings, self._quiet_since_ns = sightings, t_mono_ns
        if t_mono_ns < self._look_due_ns:
            return False
        self._look_due_ns = t_mono_ns + round(_LOOK_S * _NS_PER_S)
        self.state = read_state(self._config.home) or self.state
        self._next = linked(self._config.home, "current")
        quiet = t_mono_ns - self._quiet_since_ns >= self._config.quiet_s * _NS_PER_S
        if self.pending and quiet:
            _LOG.info("release_changes", running=self.release, next=self._next)
            return True
        return False

    @property
    def pending(self) -> bool:
        """True while another release is ready for the next start."""
        return self._next is not None and self._next != self.release

    def report(self, unit: str, boot_id: bytes, config_sha256: bytes, *, again: bool) -> bytes | None:
        """Return the report for the station if it has changed, or if ``again``."""
        if self.release is None:
            return None
        release, state, reason = self._outcome()
        committed = linked(self._config.home, "committed") or 0
        told = (self.release, committed, release, state, reason)
        if told == self._told and not again:
            return None
        self._told = told
        fetched = 0 if self._fetcher is None else self._fetcher.fetched
        return encode(
            UpdateReport(
                unit=unit,
                boot_id=boot_id,
                running=self.release,
                committed=committed,
                release=release,
                state=state,
                reason=reason,
                fetched_bytes=fetched,
                config_sha256=config_sha256,
            )
        )

    def _outcome(self) -> tuple[int, UpdateState, str]:
        """State of the offered update as root has written it, else the state of the transfer."""
        noted, fetcher = self.state, self._fetcher
        offer = None if fetcher is None else fetcher.offer
        if fetcher is not None and offer is not None:
            if fetcher.state is TransferState.REFUSED:
                return (
                    offer.release,
                    UpdateState.REFUSED,
                    f"{offer.size_bytes} bytes are more than an update may have",
                )
            before = fetcher.state is TransferState.HANDED and noted.last_release != offer.release
            if before or fetcher.state in {TransferState.FETCHING, TransferState.WAITING}:
                return offer.release, UpdateState(fetcher.state.value), ""
        if noted.last_outcome in set(UpdateState):
            reason = "".join(c if c.isprintable() else " " for c in noted.last_reason)
            return noted.last_release, UpdateState(noted.last_outcome), reason
        return 0, UpdateState.IDLE, ""

    def counters(self) -> dict[str, int]:
        """Counters of root and of the transfer."""
        state = self.state
        fetched = asdict(FetchCounts() if self._fetcher is None else self._fetcher.counts)
        # Updates are verified by root, which counts its refusals.
        del fetched["refused"]
        return {
            "commits": state.commits,
            "roll_backs": state.roll_backs,
            "refusals": state.refusals,
            **fetched,
        }

    def gauges(self) -> dict[str, int]:
        """Gauges."""
        return {
            "update.release": self.release or 0,
            "update.on_trial": int(self._trial is not None),
            "update.pending": int(self.pending),
            "update.fetched_bytes": 0 if self._fetcher is None else self._fetcher.fetched,
        }

    def _confirm(self) -> None:
        """Write the confirmation; root compares it with the release on trial."""
        if self._leave(self._config.confirm, str(self.release)):
            self._trial = None
            _LOG.info("release_confirmed", release=self.release)

    def _note_link(self) -> None:
        self._link_noted = self._leave(self._folder / _LINK_SEEN, "")

    def _leave(self, path: Path, text: str) -> bool:
        """Write a file; a failure must not end the agent, so it is retried."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        except OSError as error:
            _LOG.error("note_write_failed", path=str(path), error=error.strerror)
            return False
        return True

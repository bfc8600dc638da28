"""Keeps what the witness has seen in a file, counts, and says what it refused."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import structlog

from agent.buffer.mark import write_durably
from agent.runtime.component import Component
from agent.witness import WitnessCounts, WitnessState, decode_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent.runtime.component import Tick
    from agent.witness import Witness

_LOG = structlog.get_logger(__name__)
DOUBT_NS = 120_000_000_000
"""Time after which a smaller checkpoint is refused, unless a better one has come."""
FILE = "witness.json"
"""In the state folder."""


@dataclass(frozen=True, slots=True)
class WitnessFile:
    """See :class:`agent.witness.WitnessStore`."""

    path: Path

    def load(self) -> WitnessState:
        """From one that cannot be read nothing is taken: the next checkpoint is then the first."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return WitnessState()
        except OSError as error:
            _LOG.error("witness_unreadable", path=str(self.path), reason=str(error))
            return WitnessState()
        found = decode_state(data)
        if found is None:
            _LOG.error("witness_damaged", path=str(self.path))
        return found or WitnessState()

    def save(self, state: WitnessState) -> None:
        """Durably; a damaged file is kept beside it."""
        if self.path.exists() and decode_state(self.path.read_bytes()) is None:
            self.path.replace(self.path.with_suffix(".damaged"))
        write_durably(self.path, state.encode())


class WitnessComponent(Component):
    """Logs when the station's log is refused, and when it is right again.  None: the unit cannot sign."""

    name = "witness"

    def __init__(self, witness: Witness | None) -> None:
        self._witness = witness
        self._told = ""
        self._lock = threading.Lock()
        self._doubts_since_ns: int | None = None

    def watch(self, tick: Tick) -> None:
        """Log each change; refuse a smaller checkpoint that no better one has followed."""
        self._settle(tick.t_mono_ns)
        reason = "" if self._witness is None else self._witness.refusal
        if reason == self._told:
            return
        self._told = reason
        if reason:
            _LOG.error("station_log_refused", reason=reason)
        else:
            _LOG.warning("station_log_accepted_again")

    def _settle(self, t_mono_ns: int) -> None:
        if self._witness is None or not self._witness.doubts:
            self._doubts_since_ns = None
        elif self._doubts_since_ns is None:
            self._doubts_since_ns = t_mono_ns
        elif t_mono_ns - self._doubts_since_ns >= DOUBT_NS:
            with self._lock:
                try:
                    self._witness.settle()
                except OSError as error:
                    _LOG.warning("witness_not_saved", reason=str(error))

    def take(self, payload: bytes) -> bytes | None:
        """Handle a checkpoint; return the answer.  Called in the uplink's thread."""
        if self._witness is None:
            return None
        try:
            with self._lock:
                return self._witness.take(payload)
        except OSError as error:
            # Not countersigned, because it could not be kept; the station sends the next one.
            _LOG.warning("witness_not_saved", reason=str(error))
            return None

    @property
    def refusal(self) -> str:
        """Why the station's log is refused; empty if it is not."""
        return "" if self._witness is None else self._witness.refusal

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        counts = WitnessCounts() if self._witness is None else self._witness.counts
        return {f"witness.{name}": value for name, value in asdict(counts).items()}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        size = 0 if self._witness is None else self._witness.size
        return {"witness.size": size, "witness.refuses": int(bool(self.refusal))}

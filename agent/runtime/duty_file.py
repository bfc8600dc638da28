"""The file of the shifts' state: replaced as a whole, so that a power cut leaves the old or the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.buffer.mark import write_durably
from agent.shift.state import MAX_STATE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

_LOG = structlog.get_logger(__name__)
FILE_NAME = "duty.json"
DAMAGED_NAME = "duty.damaged"


class DutyFile:
    """One file in the state folder, which only the agent can read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._damaged = folder / DAMAGED_NAME
        self.failures = 0
        """Failed writes since the start of the process."""
        self._failing = False

    def load(self) -> bytes | None:
        """Return the document; None if there is none, or the disk cannot read it."""
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_STATE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            _LOG.error("duty_state_unreadable", file=str(self._path), reason=error.strerror)
            return None

    def save(self, document: bytes) -> None:
        """Replace the document; a failure is logged once and counted, and the next save tries again."""
        try:
            write_durably(self._path, document, mode=0o600)
        except OSError as error:
            self.failures += 1
            if not self._failing:
                _LOG.error("duty_state_not_saved", file=str(self._path), reason=error.strerror)
            self._failing = True
        else:
            self._failing = False

    def set_aside(self, why: str) -> None:
        """Keep a document that cannot be used under another name, for whoever looks into it."""
        _LOG.error("duty_state_damaged", moved_to=str(self._damaged), reason=why)
        try:
            self._path.replace(self._damaged)
        except OSError as error:
            _LOG.error("duty_state_not_moved", file=str(self._path), reason=error.strerror)

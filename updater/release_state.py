"""State of the releases on a unit, written by root, readable by all.  Standard library only.

``current`` is the running release, ``committed`` the last one that passed its trial; if they differ, ``current`` is
on trial.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

HOME = Path("/opt/patrol-lpr")
RELEASE_KEY = Path("/etc/patrol-lpr/release.pub")
"""Public key for updates."""
CONFIRMED = Path("/run/patrol-lpr/update-confirmed")
"""An agent on trial writes its release number here after it was healthy for long enough."""
INBOX = Path("updates/inbox.lprup")
"""In the state folder: the update that the agent fetched, for root."""
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Trial:
    """A release on trial."""

    release: int
    starts: int = 0
    failed: str = ""
    """Reason for the rollback; written before it starts."""


@dataclass(frozen=True, slots=True)
class State:
    """Stored state; if lost or damaged, the committed release is used."""

    floor: int = 0
    """Highest release ever committed: updates at or below it are rejected."""
    previous: int | None = None
    """Target of a manual rollback."""
    trial: Trial | None = None
    failed: tuple[int, ...] = ()
    """Latest releases that were rolled back."""
    last_release: int = 0
    last_outcome: str = ""
    """``trial``, ``committed``, ``rolled_back`` or ``refused``."""
    last_reason: str = ""
    commits: int = 0
    roll_backs: int = 0
    refusals: int = 0


def read_state(home: Path) -> State | None:
    """Stored state; None if missing or unreadable."""
    try:
        told = json.loads((home / STATE).read_bytes())
        trial = None if told["trial"] is None else Trial(**told["trial"])
        # A newer release may have noted more than this one knows.
        known = {field.name: told[field.name] for field in fields(State) if field.name in told}
        return State(**{**known, "trial": trial, "failed": tuple(told["failed"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def linked(home: Path, name: str) -> int | None:
    """The release that ``current`` or ``committed`` points to; None if no release is installed."""
    try:
        folder, _, number = str((home / name).readlink()).partition("/")
        return int(number) if folder == "releases" else None
    except (OSError, ValueError):
        return None

"""How releases stand on the unit: what root has noted, read by whoever likes.  The standard library only.

``current`` is the release that runs, ``committed`` the one that is proven; while they differ, ``current`` is on trial.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

HOME = Path("/opt/patrol-lpr")
RELEASE_KEY = Path("/etc/patrol-lpr/release.pub")
"""Whose signature this unit believes."""
CONFIRMED = Path("/run/patrol-lpr/update-confirmed")
"""The agent on trial writes its release's number here when it has been well for long enough."""
INBOX = Path("updates/inbox.lprup")
"""Below the state folder: what the agent has fetched, for root to look at."""
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Trial:
    """A release that has to prove itself."""

    release: int
    starts: int = 0
    failed: str = ""
    """Why it is being rolled back; written before the way back begins."""


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered beside the links; lost or damaged, the committed release runs."""

    floor: int = 0
    """Highest release ever committed: no update at or below it is taken."""
    previous: int | None = None
    """What a person may go back to."""
    trial: Trial | None = None
    failed: tuple[int, ...] = ()
    """Releases that were rolled back, the latest ones."""
    last_release: int = 0
    last_outcome: str = ""
    """``trial``, ``committed``, ``rolled_back`` or ``refused``."""
    last_reason: str = ""
    commits: int = 0
    roll_backs: int = 0
    refusals: int = 0


def read_state(home: Path) -> State | None:
    """What is remembered; None where it is lost or there is none."""
    try:
        told = json.loads((home / STATE).read_bytes())
        trial = None if told["trial"] is None else Trial(**told["trial"])
        # A newer release may have noted more than this one knows.
        known = {field.name: told[field.name] for field in fields(State) if field.name in told}
        return State(**{**known, "trial": trial, "failed": tuple(told["failed"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def linked(home: Path, name: str) -> int | None:
    """The release that ``current`` or ``committed`` names; None where no release is installed."""
    try:
        folder, _, number = str((home / name).readlink()).partition("/")
        return int(number) if folder == "releases" else None
    except (OSError, ValueError):
        return None

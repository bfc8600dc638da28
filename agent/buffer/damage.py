"""A mark beside the file records that damage was detected, by the writer or a reader.

The next opening then checks every page, even if the process or the board was restarted in between.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent.buffer.faults import classify_error, is_contradiction, is_unreadable
from agent.buffer.mark import write_durably
from agent.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

SUSPECT_NAME = "outbox-3.suspect"
MAX_UNREADABLE = 5
"""Number of consecutive failed reads that count as damage."""
MAX_CLEARED = 2
"""Number of full checks that may find nothing after certain damage before the file is replaced anyway."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Damage that was detected."""

    seen: bool = True
    """No full check has been made since."""
    certain: bool = False
    """Repeated wrong reads, or contents that violate the schema: a failing disk does not explain it."""
    cleared: int = 0
    """Consecutive full checks that found nothing after certain damage."""
    why: str = ""


def read_mark(folder: Path) -> Mark | None:
    """Return the mark; None if no damage was detected.  Raises OSError."""
    path = folder / SUSPECT_NAME
    try:
        return Mark(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, PermissionError):
        # Torn, from an older agent, which left an empty file, or left by root, who ran the doctor.
        return Mark()


def note_damage(folder: Path, why: str, *, certain: bool) -> None:
    """Write the mark durably; raises OSError."""
    before = read_mark(folder)
    if before is not None and before.seen and (before.certain or not certain):
        return
    cleared = 0 if before is None else before.cleared
    _write(folder, Mark(seen=True, certain=certain, cleared=cleared, why=why))


def note_proven(folder: Path, why: str) -> None:
    """Write a mark that makes the next opening replace the file without a check.  Raises OSError."""
    _write(folder, Mark(seen=True, certain=True, cleared=MAX_CLEARED, why=why))


def note_cleared(folder: Path) -> None:
    """Remove the mark after a full check, or after a run without damage; raises OSError."""
    before = read_mark(folder)
    if before is None:
        return
    if before.seen and before.certain:
        # Kept for one run, so that the same damage does not lead to the same check for ever.
        _write(folder, Mark(seen=False, certain=True, cleared=before.cleared + 1, why=before.why))
    else:
        (folder / SUSPECT_NAME).unlink(missing_ok=True)


def _write(folder: Path, mark: Mark) -> None:
    write_durably(folder / SUSPECT_NAME, json.dumps(asdict(mark)).encode())


class DamageWatch:
    """Classifies the errors of one connection, counts consecutive failed reads, writes the mark.  One per thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unreadable: Counter[str] = Counter()
        """Consecutive failed reads, by operation."""

    def well(self, doing: str) -> None:
        """Reset the count of an operation that succeeded."""
        del self._unreadable[doing]

    def sort(
        self, error: sqlite3.Error | OSError, doing: str, *, nothing_free: Callable[[], bool] = lambda: False
    ) -> OutboxError:
        """Return the error to raise: disk full, disk failing, or damage, which is marked."""
        contradiction = is_contradiction(error)
        if not contradiction and not is_unreadable(error):
            return classify_error(error, self._path, nothing_free=nothing_free)
        self._unreadable[doing] += 1
        certain = contradiction or self._unreadable[doing] >= MAX_UNREADABLE
        self.mark(str(error), certain=certain)
        if not certain:
            return classify_error(error, self._path, nothing_free=nothing_free)
        return OutboxDamagedError(
            f"{self._path}: damaged ({error}); restart the agent: it salvages readable records and announces the rest"
        )

    def mark(self, why: str, *, certain: bool) -> None:
        """Write the mark; if that fails, it is tried again at the next error."""
        with suppress(OSError):
            note_damage(self._path.parent, why, certain=certain)

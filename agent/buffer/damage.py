"""Damage is remembered: whoever meets it, writer or reader, leaves a mark beside the file.

The next opening then looks at every page, however often the process or the board was started in between.
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

SUSPECT_NAME = "outbox.suspect"
MAX_UNREADABLE = 5
"""So many failed reads in a row are damage."""
MAX_CLEARED = 2
"""So often the look at every page may find nothing after certain damage; then the file is replaced all the same."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of damage that was met."""

    seen: bool = True
    """Not processed into since it was met."""
    certain: bool = False
    """Read wrongly again and again, or against the rules of the file: no failing disk explains it."""
    cleared: int = 0
    """How often in a row the look at every page found nothing after certain damage."""
    why: str = ""


def read_mark(folder: Path) -> Mark | None:
    """Return the mark; None when no damage was met.  Raises OSError."""
    path = folder / SUSPECT_NAME
    try:
        return Mark(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, PermissionError):
        # Torn, from an older agent, which left an empty file, or left by root, who ran the doctor.
        return Mark()


def note_damage(folder: Path, why: str, *, certain: bool) -> None:
    """Leave the mark, durably; raises OSError."""
    before = read_mark(folder)
    if before is not None and before.seen and (before.certain or not certain):
        return
    cleared = 0 if before is None else before.cleared
    _write(folder, Mark(seen=True, certain=certain, cleared=cleared, why=why))


def note_proven(folder: Path, why: str) -> None:
    """Leave a mark that asks for no look: the next opening replaces the file.  Raises OSError."""
    _write(folder, Mark(seen=True, certain=True, cleared=MAX_CLEARED, why=why))


def note_cleared(folder: Path) -> None:
    """The file was looked at or passed a whole run without damage; raises OSError."""
    before = read_mark(folder)
    if before is None:
        return
    if before.seen and before.certain:
        # Kept for one run: the same damage met again must not lead to the same look for ever.
        _write(folder, Mark(seen=False, certain=True, cleared=before.cleared + 1, why=before.why))
    else:
        (folder / SUSPECT_NAME).unlink(missing_ok=True)


def _write(folder: Path, mark: Mark) -> None:
    write_durably(folder / SUSPECT_NAME, json.dumps(asdict(mark)).encode())


class DamageWatch:
    """Sorts the errors of one connection, counts failed reads in a row, and leaves the mark.  One per thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unreadable: Counter[str] = Counter()
        """Failed reads in a row, by what was being done."""

    def well(self, doing: str) -> None:
        """It was done."""
        del self._unreadable[doing]

    def sort(
        self, error: sqlite3.Error | OSError, doing: str, *, nothing_free: Callable[[], bool] = lambda: False
    ) -> OutboxError:
        """Return the error to raise: no room, a failing disk, or damage, which is marked."""
        contradiction = is_contradiction(error)
        if not contradiction and not is_unreadable(error):
            return classify_error(error, self._path, nothing_free=nothing_free)
        self._unreadable[doing] += 1
        certain = contradiction or self._unreadable[doing] >= MAX_UNREADABLE
        self.mark(str(error), certain=certain)
        if not certain:
            return classify_error(error, self._path, nothing_free=nothing_free)
        return OutboxDamagedError(
            f"{self._path}: damaged ({error}); restart the agent, it saves what can be read and announces the rest"
        )

    def mark(self, why: str, *, certain: bool) -> None:
        """Leave the mark; a disk that does not take it is asked again at the next error."""
        with suppress(OSError):
            note_damage(self._path.parent, why, certain=certain)

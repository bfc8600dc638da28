"""What an import found: counts by reason, the first rows of each, and all bad rows in a file if one is wanted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_EXAMPLES = 20
_MAX_KINDS = 50


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule in the report."""

    rule: str
    enabled: bool
    regions: str
    min_probability: float
    alarms_per_1000: float
    tightened: str = ""
    """What was tightened, and why."""


@dataclass(slots=True)
class Report:
    """Counts and examples; texts hold line numbers, and no plates."""

    rows: int = 0
    """Rows of the file that are not blank, without the header."""
    blank: int = 0
    entries: int = 0
    patterns: int = 0
    bad: int = 0
    duplicates: int = 0
    """The same entry again; the first is kept."""
    repeated: int = 0
    """Further entries of the same plate and state."""
    contradictions: int = 0
    """Of these, such as name another vehicle."""
    missing_region: int = 0
    unknown_regions: tuple[str, ...] = ()
    formulas: int = 0
    """Rows with a text that a spreadsheet would run."""
    encoding: str = ""
    delimiter: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    rules: tuple[RuleLine, ...] = ()
    held: tuple[str, ...] = ()
    on_bad: Callable[[int, str], None] | None = None

    def add_bad(self, line: int, reason: str) -> None:
        """Count a bad row."""
        self.bad += 1
        self.reasons[self._kind(reason)] += 1
        self.note("bad rows", f"line {line}: {reason}")
        if self.on_bad is not None:
            self.on_bad(line, reason)

    def note(self, what: str, text: str) -> None:
        """Keep an example."""
        kept = self.examples.setdefault(what, [])
        if len(kept) < MAX_EXAMPLES:
            kept.append(text)

    def _kind(self, reason: str) -> str:
        """Reasons that differ only in a number or a text are one kind."""
        kind = reason.split(":", maxsplit=1)[0]
        kind = "cannot be parsed" if "cannot be parsed" in kind else kind
        return kind if kind in self.reasons or len(self.reasons) < _MAX_KINDS else "other"
